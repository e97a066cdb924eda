package engine

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// shadowed is a message of a client with a shadow sanction. Only the author receives it. It
// is not published: it has no position, and history does not have it.
type shadowed struct {
	Connection string          `json:"connection"`
	User       string          `json:"user,omitempty"` // all connections of the user are the author's; "": only the connection
	Payload    json.RawMessage `json:"payload"`
	Edits      string          `json:"edits,omitempty"`    // the id of the message of which Payload is a new version
	Retracts   string          `json:"retracts,omitempty"` // the id of the message that Payload retracts
}

// shadowTime is the time in which the other nodes receive a shadowed message.
const shadowTime = time.Second

// sayShadowed delivers a message to its author, under the sanction s.
func (e *Engine) sayShadowed(ctx context.Context, t *tenant, p wire.Payload, author *hook.Profile, s *moderation.Sanction) error {
	return e.sendShadowed(ctx, t, p.Room, shadowed{Connection: author.ID, User: s.User, Payload: wire.AppendPayload(nil, p)})
}

// editShadowed delivers the new version p of a message to its author, under the sanction s.
func (e *Engine) editShadowed(ctx context.Context, t *tenant, p wire.Payload, author *hook.Profile, s *moderation.Sanction) error {
	return e.sendShadowed(ctx, t, p.Room, shadowed{Connection: author.ID, User: s.User, Payload: wire.AppendPayload(nil, p), Edits: p.ID})
}

// retractShadowed delivers the retraction of a message to its author, under the sanction s.
func (e *Engine) retractShadowed(ctx context.Context, t *tenant, a amendment, payload []byte, s *moderation.Sanction) error {
	return e.sendShadowed(ctx, t, a.room, shadowed{Connection: a.conn.ID(), User: s.User, Payload: payload, Retracts: a.id})
}

// releaseShadowed delivers a released message, whose payload is stored, to its author. Another node may repeat this;
// deliverShadowed delivers the message once to each connection.
func (e *Engine) releaseShadowed(ctx context.Context, t *tenant, one *review.Item) error {
	d := one.Decision
	m := shadowed{Connection: one.Connection, Payload: d.Payload}
	if d.Shadow == review.ShadowOfUser {
		m.User = one.User
	}
	return e.sendShadowed(ctx, t, d.To, m)
}

func (e *Engine) sendShadowed(ctx context.Context, t *tenant, room string, m shadowed) error {
	e.stats.shadowed.Add(1)
	if m.User == "" && e.local(m.Connection) != nil {
		e.deliverShadowed(ctx, t, room, m)
		return nil
	}
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, shadowTime)
	defer cancel()
	if _, err := e.onEveryNode(ctx, call{Do: callShadowed, Tenant: t.name, Room: room, Value: value}); err != nil {
		e.log.Warn("a shadowed message did not reach its author on all nodes", "tenant", t.name, "room", room, "error", err)
	}
	return nil
}

// deliverShadowed sends a shadowed message to the author's connections in the room on this node.
func (e *Engine) deliverShadowed(ctx context.Context, t *tenant, room string, m shadowed) {
	r := t.lookup(room)
	if r == nil {
		return
	}
	defer t.release(r)
	members := slices.DeleteFunc(slices.Clone(r.present().members), func(one *member) bool {
		p := one.conn.profile.Load()
		return p.ID != m.Connection && (m.User == "" || p.User != m.User) || m.Edits+m.Retracts != "" && !one.amends
	})
	if m.Retracts != "" {
		d := delivery{room: r, payload: m.Payload, amends: m.Retracts, retracts: true}
		for _, one := range members {
			one.conn.Send(d.frame(hook.AsIs, 0))
		}
		return
	}
	p, err := wire.ParsePayload(m.Payload)
	if p.Held != "" && m.Edits == "" {
		members = slices.DeleteFunc(members, func(one *member) bool { return !one.conn.firstRelease(p.Held) })
	}
	if err != nil || len(members) == 0 {
		return
	}
	d := delivery{room: r, payload: m.Payload, amends: m.Edits}
	v := hook.Delivery{All: hook.AsIs}
	if e.middleware.Asks(hook.Say, t.name, room) {
		ev := eventOf(r.id, p, 0)
		ev.Edits, ev.Snapshot = m.Edits, new(hook.MemberSnapshot)
		v = e.askMembers(ctx, &ev, (&memberSnapshot{members: members}).forMiddleware())
	}
	if v.Release != nil {
		defer v.Release()
	}
	d.answers, d.origin = v.Answers, p
	for i, one := range members {
		answer := v.All
		if i < len(v.For) {
			answer = v.For[i]
		}
		if answer >= hook.AsIs && int(answer) < len(v.Answers) {
			one.conn.Send(d.frame(answer, one.conn.plain()))
		}
	}
}

// maxReleases is the number of released messages that a connection remembers for firstRelease. A release is repeated
// within minutes, and an author has few held messages.
const maxReleases = 100

// firstRelease reports whether the client has not received the held message under a shadow sanction before. It counts the
// message as received.
func (c *Connection) firstRelease(held string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.releases, held) {
		return false
	}
	c.addReleases(held)
	return true
}

// addReleases adds to the messages that the client has received. The caller holds mu.
func (c *Connection) addReleases(held ...string) {
	c.releases = append(c.releases, held...)
	c.releases = c.releases[max(0, len(c.releases)-maxReleases):]
}

// allReleases returns a copy of the messages that the client has received.
func (c *Connection) allReleases() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.releases)
}

// unnoticed returns the effects of a shadowed message of the author p that others cannot notice:
// properties, and sanctions of the author.
func unnoticed(p *hook.Profile, effects []hook.Effect) []hook.Effect {
	return slices.DeleteFunc(slices.Clone(effects), func(f hook.Effect) bool {
		return f.Property == nil && (f.Sanction == nil || !f.Sanction.Set.Concerns(clientOf(p)))
	})
}
