package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
)

// storedProfile is a profile in the form that other nodes need when the connection's node
// has died. The id and the tenant are stored beside it. Claims are stored as properties.
type storedProfile struct {
	hook.Connection
	Properties map[string]json.RawMessage `json:"properties,omitempty"`
}

func encodeProfile(p *hook.Profile) json.RawMessage {
	s := storedProfile{Connection: p.Connection}
	for _, n := range p.Properties {
		if s.Properties == nil {
			s.Properties = map[string]json.RawMessage{}
		}
		s.Properties[n.Name] = n.Value
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // a property is not valid JSON; the profile is empty on other nodes
	}
	return b
}

func decodeProfile(tenant string, m cluster.MemberRecord) *hook.Profile {
	var s storedProfile
	_ = json.Unmarshal(m.Profile, &s) // damaged fields stay empty; leave runs nevertheless
	p := &hook.Profile{Connection: s.Connection}
	p.ID, p.Tenant = m.ID, tenant
	for name, v := range s.Properties {
		p.Properties = append(p.Properties, hook.NamedProperty{Property: hook.Property{Name: name, Value: v}})
	}
	sortProperties(p.Properties)
	return p
}

// Lost implements cluster.Handler: it runs leave for the members of a node that died.
func (e *Engine) Lost(ctx context.Context, id cluster.RoomID, members []cluster.MemberRecord) {
	for _, m := range members {
		if ctx.Err() != nil {
			return // another node gets the members that are still recorded
		}
		v := e.decideLeave(ctx, id, decodeProfile(id.Tenant, m), m.JoinedAt, hook.CauseNodeLost)
		e.writtenFirst(ctx, e.memberEvent(events.MemberLeft, id.Room, decodeProfile(id.Tenant, m), m.JoinedAt, hook.CauseNodeLost))
		if err := e.cluster.Presence.Remove(ctx, id, m.ID); err != nil && !errors.Is(err, context.Canceled) {
			e.log.Warn("presence was not removed", "tenant", id.Tenant, "room", id.Room, "connection", m.ID, "error", err)
		}
		e.applyLeave(ctx, id, m.ID, v)
	}
}

// decideLeave runs the leave chain for a member that leaves even if the chain denies it.
func (e *Engine) decideLeave(ctx context.Context, id cluster.RoomID, p *hook.Profile, joinedAt int64, cause hook.Cause) hook.Verdict {
	v := e.decide(ctx, leaveOf(id, p, joinedAt, cause))
	if err := refusal(&v); err != nil {
		e.log.Warn("leave hook denied, the member leaves nevertheless", "connection", p.ID, "tenant", id.Tenant,
			"room", id.Room, "cause", cause, "module", v.Module, "reason", err)
	}
	return v
}

func leaveOf(id cluster.RoomID, p *hook.Profile, joinedAt int64, cause hook.Cause) *hook.Event {
	return &hook.Event{Hook: hook.Leave, Tenant: id.Tenant, Room: id.Room, Conn: p, JoinedAt: joinedAt, Cause: cause}
}

// applyLeave notes the leave of a connection that this node does not hold for the room's
// presence notices, and applies the effects.
func (e *Engine) applyLeave(ctx context.Context, id cluster.RoomID, connection string, v hook.Verdict) {
	if t := e.settings.Load().tenants[id.Tenant]; t != nil {
		e.notePresence(t, id, connection, false)
		e.applyAll(ctx, t, nil, v.Effects)
	}
}

// Unannounced implements cluster.Handler: it announces users of a room that their node did not announce.
func (e *Engine) Unannounced(ctx context.Context, id cluster.RoomID) {
	if t := e.settings.Load().tenants[id.Tenant]; t != nil && e.noteUsers(t, id) {
		return
	}
	_, err := e.cluster.Presence.Announce(ctx, id, func(context.Context, cluster.Announcement) error { return nil }) // the room no longer has the settings: the users count as announced
	if err != nil {
		e.log.Debug("users were not announced", "tenant", id.Tenant, "room", id.Room, "error", err)
	}
}

// Rejoin implements cluster.Handler: members of this node that other nodes treated as dead
// join again. A member whose join is denied receives a message.
func (e *Engine) Rejoin(ctx context.Context, id cluster.RoomID, members []cluster.MemberRecord) {
	var rejoining errgroup.Group
	rejoining.SetLimit(maxEvicting)
	for _, p := range members {
		rejoining.Go(func() error {
			if m := e.beginRejoin(id, p.ID); m != nil {
				e.rejoin(ctx, m)
			}
			return nil
		})
	}
	_ = rejoining.Wait() // the functions return no errors
}

// beginRejoin returns the connection's membership, if it is joined and not about to end,
// else nil.
func (e *Engine) beginRejoin(id cluster.RoomID, connection string) *member {
	c := e.local(connection)
	if c == nil || c.tenant.name != id.Tenant {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.membershipIn(id.Room)
	if m == nil || m.stage != joined || c.ended {
		return nil
	}
	m.stage = rejoining
	return m
}

func (e *Engine) rejoin(ctx context.Context, m *member) {
	c, id := m.conn, m.room.id
	v := e.decide(ctx, &hook.Event{Hook: hook.Join, Tenant: id.Tenant, Room: id.Room, Conn: c.profile.Load(), Cause: hook.CauseRejoined})
	err := cmp.Or(refusal(&v), c.refusedBy(moderation.Ban, id.Room))
	if err == nil {
		err = e.cluster.Presence.Add(ctx, id, m.record())
	}
	if err == nil || errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrUnknown) { // the backend records the member later
		c.endStage(m, false)
		e.notePresence(c.tenant, id, c.ID(), true)
		e.memberEvent(events.MemberJoined, id.Room, c.profile.Load(), m.joinedAt, hook.CauseRejoined)
		e.applyAll(ctx, c.tenant, c, v.Effects)
		return
	}
	e.log.Info("a member cannot rejoin its room", "connection", c.ID(), "tenant", id.Tenant, "room", id.Room, "error", err)
	m.Gate.Close()
	e.writtenFirst(ctx, e.memberEvent(events.MemberLeft, id.Room, c.profile.Load(), m.joinedAt, hook.CauseRemoved))
	e.endMembership(ctx, m)
	c.sendRemoved(id.Room, e.textFor(err))
}
