package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

func errAlreadyIn(room string) error {
	return &VerbError{fmt.Sprintf("connection already in this room (%s)", room)}
}

func errNotIn(room string) error {
	return &VerbError{fmt.Sprintf("connection not in this room (%s)", room)}
}

// join makes c a member of the room. When joins of the same connection and room
// meet, one runs and the others see what became of it. The effects are to be
// applied after the client was answered.
//
// With recover, in a room that keeps history, c is sent nothing of the room until
// the membership's catchUp is released.
func (e *Engine) join(ctx context.Context, c *Connection, name string, cause Cause, recover bool) (*member, []Effect, error) {
	if wire.ValidRoom(name) != nil && name != "" {
		return nil, nil, &VerbError{"invalid room name"}
	}
	r := c.tenant.hold(name)
	m, err := e.beginJoin(ctx, c, r)
	if err != nil {
		c.tenant.release(r)
		return nil, nil, err
	}
	if recover && c.tenant.settings(name).Keep.Messages > 0 {
		m.mode.Store(catching)
	}
	effects, err := e.admit(ctx, m, cause)
	c.settle(m, err != nil)
	if err != nil {
		c.tenant.release(r)
		return nil, nil, err
	}
	return m, e.applyNow(ctx, c.tenant, c, effects, false), nil
}

// beginJoin begins a membership, which then keeps r.
func (e *Engine) beginJoin(ctx context.Context, c *Connection, r *room) (*member, error) {
	name := r.id.Room
	for {
		c.mu.Lock()
		m := c.in(name)
		switch {
		case c.ended:
			c.mu.Unlock()
			return nil, errGone
		case m != nil && m.stage == joined:
			c.mu.Unlock()
			return nil, errAlreadyIn(name)
		case m != nil:
			if err := c.wait(ctx, m); err != nil {
				return nil, err
			}
			continue
		case len(c.rooms) >= c.tenant.cfg().Limits.RoomsPerConnection:
			c.mu.Unlock()
			return nil, &VerbError{fmt.Sprintf("too many rooms (at most %d)", c.tenant.cfg().Limits.RoomsPerConnection)}
		}
		m = &member{conn: c, room: r}
		c.rooms = append(c.rooms, m)
		c.mu.Unlock()
		return m, nil
	}
}

// admit takes a membership that is under way through the room's rules.
func (e *Engine) admit(ctx context.Context, m *member, cause Cause) ([]Effect, error) {
	c, r := m.conn, m.room
	evicted := r.evictions()
	if err := e.exists(ctx, r.id); err != nil {
		return nil, err
	}
	if most := c.tenant.settings(r.id.Room).MaxMembers; most > 0 {
		n, err := e.cluster.Presence.Count(ctx, r.id)
		if err != nil {
			return nil, err
		}
		if n >= most {
			return nil, &VerbError{fmt.Sprintf("room is full (at most %d members)", most)}
		}
	}
	v := e.decide(ctx, &Event{Hook: HookJoin, Tenant: r.id.Tenant, Room: r.id.Room, Conn: c.profile.Load(), Cause: cause})
	if err := v.refusal(); err != nil {
		return nil, err
	}
	if err := r.subscribe(ctx, e.cluster.Broker); err != nil {
		return nil, err
	}
	m.joinedAt = time.Now().UnixMilli()
	err := e.cluster.Presence.Add(ctx, r.id, Presentee{ID: c.ID(), JoinedAt: m.joinedAt, Profile: encodeProfile(c.profile.Load())})
	if err == nil {
		err = r.add(m, evicted)
	}
	if err != nil {
		e.forget(ctx, r, c.ID()) // it may be on record whatever the error was
		e.unsubscribe(ctx, r)
		return nil, err
	}
	return v.Effects, nil
}

func (e *Engine) unsubscribe(ctx context.Context, r *room) {
	if err := r.unsubscribe(context.WithoutCancel(ctx), e.cluster.Broker); err != nil {
		e.log.Warn("unsubscribe failed", "tenant", r.id.Tenant, "room", r.id.Room, "error", err)
	}
}

func (e *Engine) forget(ctx context.Context, r *room, id string) {
	if err := e.cluster.Presence.Remove(context.WithoutCancel(ctx), r.id, id); err != nil {
		e.log.Warn("presence was not removed", "tenant", r.id.Tenant, "room", r.id.Room, "connection", id, "error", err)
	}
}

// leave ends c's membership of the room. Only a client's own roomLeave can be
// denied; in every other case the member goes, the deny is logged, and nobody who
// stops waiting stops it.
func (e *Engine) leave(ctx context.Context, c *Connection, name string, cause Cause) ([]Effect, error) {
	if cause != CauseRoomLeave {
		ctx = context.WithoutCancel(ctx)
	}
	m, err := e.beginLeave(ctx, c, name)
	if err != nil {
		return nil, err
	}
	r := m.room
	v := e.decide(ctx, &Event{Hook: HookLeave, Tenant: r.id.Tenant, Room: r.id.Room, Conn: c.profile.Load(), JoinedAt: m.joinedAt, Cause: cause})
	if err := v.refusal(); err != nil {
		if cause == CauseRoomLeave {
			c.settle(m, false)
			return nil, err
		}
		e.log.Warn("leave hook denied, the member goes all the same", "connection", c.ID(), "tenant", r.id.Tenant,
			"room", name, "cause", cause, "module", v.Module, "reason", err)
	}
	// The notice of a room's end is for who was in it till then.
	if cause != CauseDestroyed {
		m.mode.Store(gone)
	}
	r.remove(m)
	e.forget(ctx, r, c.ID())
	e.unsubscribe(ctx, r)
	c.settle(m, true)
	c.tenant.release(r)
	later := e.applyNow(ctx, c.tenant, c, v.Effects, false)
	if cause != CauseRoomLeave {
		e.applyLater(ctx, c.tenant, later, false)
		return nil, nil
	}
	return later, nil
}

func (e *Engine) beginLeave(ctx context.Context, c *Connection, name string) (*member, error) {
	for {
		c.mu.Lock()
		m := c.in(name)
		switch {
		case m == nil:
			c.mu.Unlock()
			return nil, errNotIn(name)
		case m.stage == joined:
			m.stage = leaving
			c.mu.Unlock()
			return m, nil
		}
		if err := c.wait(ctx, m); err != nil {
			return nil, err
		}
	}
}

// storedProfile is what other nodes need of a connection whose node is gone.
type storedProfile struct {
	Fingerprint string                     `json:"fingerprint"`
	User        string                     `json:"user,omitempty"`
	Transport   string                     `json:"transport"`
	RemoteIP    string                     `json:"remoteIP"`
	RemotePort  int                        `json:"remotePort"`
	Locale      string                     `json:"locale,omitempty"`
	ConnectedAt int64                      `json:"connectedAt"`
	Properties  map[string]json.RawMessage `json:"properties,omitempty"`
}

func encodeProfile(p *Profile) json.RawMessage {
	s := storedProfile{Fingerprint: p.Fingerprint, User: p.User, Transport: p.Transport, RemoteIP: p.RemoteIP,
		RemotePort: p.RemotePort, Locale: p.Locale, ConnectedAt: p.ConnectedAt}
	for _, n := range p.Properties {
		if s.Properties == nil {
			s.Properties = map[string]json.RawMessage{}
		}
		s.Properties[n.Name] = n.Value
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // a property that is no JSON: the profile is then empty elsewhere
	}
	return b
}

func decodeProfile(tenant string, m Presentee) *Profile {
	var s storedProfile
	_ = json.Unmarshal(m.Profile, &s) // what is damaged stays empty: leave runs all the same
	p := &Profile{ID: m.ID, Tenant: tenant, Fingerprint: s.Fingerprint, User: s.User, Transport: s.Transport,
		RemoteIP: s.RemoteIP, RemotePort: s.RemotePort, Locale: s.Locale, ConnectedAt: s.ConnectedAt}
	for name, v := range s.Properties {
		p.Properties = append(p.Properties, NamedProperty{Property: Property{name, v}})
	}
	sortProperties(p.Properties)
	return p
}

// Lost implements Handler: it runs leave for the members of a node that died.
func (e *Engine) Lost(ctx context.Context, id RoomID, members []Presentee) {
	t := e.settings.Load().tenants[id.Tenant]
	for _, m := range members {
		if ctx.Err() != nil {
			return // who is still on record is for another node
		}
		v := e.decide(ctx, &Event{Hook: HookLeave, Tenant: id.Tenant, Room: id.Room, Conn: decodeProfile(id.Tenant, m), JoinedAt: m.JoinedAt, Cause: CauseNodeLost})
		if err := v.refusal(); err != nil {
			e.log.Warn("leave hook denied, the member goes all the same", "connection", m.ID, "tenant", id.Tenant,
				"room", id.Room, "cause", CauseNodeLost, "module", v.Module, "reason", err)
		}
		if err := e.cluster.Presence.Remove(ctx, id, m.ID); err != nil && !errors.Is(err, context.Canceled) {
			e.log.Warn("presence was not removed", "tenant", id.Tenant, "room", id.Room, "connection", m.ID, "error", err)
		}
		if t != nil {
			e.applyLater(ctx, t, e.applyNow(ctx, t, nil, v.Effects, false), false)
		}
	}
}

// Expired implements Handler. This engine parks no sessions.
func (e *Engine) Expired(context.Context, []byte) {}
