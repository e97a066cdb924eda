package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

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

func encodeProfile(p *hook.Profile) json.RawMessage {
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

func decodeProfile(tenant string, m cluster.MemberRecord) *hook.Profile {
	var s storedProfile
	_ = json.Unmarshal(m.Profile, &s) // what is damaged stays empty: leave runs all the same
	p := &hook.Profile{ID: m.ID, Tenant: tenant, Fingerprint: s.Fingerprint, User: s.User, Transport: s.Transport,
		RemoteIP: s.RemoteIP, RemotePort: s.RemotePort, Locale: s.Locale, ConnectedAt: s.ConnectedAt}
	for name, v := range s.Properties {
		p.Properties = append(p.Properties, hook.NamedProperty{Property: hook.Property{Name: name, Value: v}})
	}
	sortProperties(p.Properties)
	return p
}

// Lost implements Handler: it runs leave for the members of a node that died.
func (e *Engine) Lost(ctx context.Context, id cluster.RoomID, members []cluster.MemberRecord) {
	t := e.settings.Load().tenants[id.Tenant]
	for _, m := range members {
		if ctx.Err() != nil {
			return // who is still on record is for another node
		}
		v := e.decide(ctx, &hook.Event{Hook: hook.Leave, Tenant: id.Tenant, Room: id.Room, Conn: decodeProfile(id.Tenant, m), JoinedAt: m.JoinedAt, Cause: hook.CauseNodeLost})
		if err := refusal(&v); err != nil {
			e.log.Warn("leave hook denied, the member goes all the same", "connection", m.ID, "tenant", id.Tenant,
				"room", id.Room, "cause", hook.CauseNodeLost, "module", v.Module, "reason", err)
		}
		if err := e.cluster.Presence.Remove(ctx, id, m.ID); err != nil && !errors.Is(err, context.Canceled) {
			e.log.Warn("presence was not removed", "tenant", id.Tenant, "room", id.Room, "connection", m.ID, "error", err)
		}
		if t != nil {
			e.announce(t, id, m.ID, false)
			e.applyLater(ctx, t, e.applyNow(ctx, t, nil, v.Effects, false), false)
		}
	}
}

// Rejoin implements Handler: members of this node, which was cut off and taken for
// dead, join again. Who may not is told so.
func (e *Engine) Rejoin(ctx context.Context, id cluster.RoomID, members []cluster.MemberRecord) {
	var wg sync.WaitGroup
	places := make(chan struct{}, evictors)
	for _, p := range members {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if m := e.beginRejoin(id, p.ID); m != nil {
				e.rejoin(ctx, m)
			}
		})
	}
	wg.Wait()
}

// beginRejoin is the membership, if it is one and not about to end.
func (e *Engine) beginRejoin(id cluster.RoomID, connection string) *member {
	c := e.here(connection)
	if c == nil || c.tenant.name != id.Tenant {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.in(id.Room)
	if m == nil || m.stage != joined || c.ended {
		return nil
	}
	m.stage = rejoining
	return m
}

func (e *Engine) rejoin(ctx context.Context, m *member) {
	c, id := m.conn, m.room.id
	v := e.decide(ctx, &hook.Event{Hook: hook.Join, Tenant: id.Tenant, Room: id.Room, Conn: c.profile.Load(), Cause: hook.CauseRejoined})
	err := refusal(&v)
	if err == nil {
		err = e.cluster.Presence.Add(ctx, id, cluster.MemberRecord{ID: c.ID(), JoinedAt: m.joinedAt, Profile: encodeProfile(c.profile.Load())})
	}
	if err == nil || errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrUnknown) { // the cluster sees to it later
		c.settle(m, false)
		e.announce(c.tenant, id, c.ID(), true)
		e.applyLater(ctx, c.tenant, e.applyNow(ctx, c.tenant, c, v.Effects, false), false)
		return
	}
	e.log.Info("a member cannot join again", "connection", c.ID(), "tenant", id.Tenant, "room", id.Room, "error", err)
	m.Gate.Close()
	e.drop(ctx, m)
	notice, _ := json.Marshal(map[string]string{"context": "api", "from": system, "room": id.Room,
		"message": fmt.Sprintf("you are no longer in this room (%s)", e.textFor(err))})
	_ = c.sendValue(notice) // it is JSON
}
