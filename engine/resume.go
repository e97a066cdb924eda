package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// resumed is the answer to the verb resume.
type resumed struct {
	ID      string                 `json:"id"`
	Session string                 `json:"session"` // the new secret
	Rooms   map[string]resumedRoom `json:"rooms"`
}

type resumedRoom struct {
	*cluster.Position      // the position of the room's last message; nil if it has no history and the client sent no position
	Recovered         bool `json:"recovered"` // no message is missing
}

// resume moves a session to the connection. The client receives the answer first, then the
// missed messages, and then new messages of its rooms.
func (c *Connection) resume(ctx context.Context, r *wire.Request) (result, error) {
	e := c.engine
	switch {
	case e.sessions.grace == 0:
		return result{}, &VerbError{"sessions are not enabled"}
	case r.Session == "":
		return result{}, &VerbError{"session is required"}
	case len(c.memberships()) > 0 || r.Session == c.session.secret:
		return result{}, errNotFirst
	}
	members, err := e.comeBack(ctx, c, sessionClaim{r.Session, c.profile.Load().User}, r.Sinces, maxRedirects)
	if err != nil {
		return result{}, err
	}
	e.addRedirect(ctx, c, r.Session, c.session.secret)
	answer := resumed{ID: c.ID(), Session: c.session.secret, Rooms: map[string]resumedRoom{}}
	var after []func(ctx context.Context)
	for _, m := range members {
		name := m.room.id.Room
		if !m.Gate.Holding() {
			answer.Rooms[name] = resumedRoom{}
			continue
		}
		since, known := r.Sinces[name]
		if !known {
			since = m.awaySince
		}
		back := e.recovery(ctx, m, &since, len(members))
		back.whole = back.whole && known
		answer.Rooms[name] = resumedRoom{back.position(), back.whole}
		after = append(after, func(ctx context.Context) { e.resume(ctx, m, back) })
	}
	if err := c.refusedBy(moderation.Ban, ""); err != nil { // the session may have brought the user
		return result{}, Close{Code: CloseBanned.Code, Reason: err.Error()}
	}
	if c.tenant.closed.include(c.profile.Load()) {
		return result{}, CloseRemoved
	}
	data, err := json.Marshal(answer)
	return result{data: data, after: func(ctx context.Context) {
		for _, f := range after {
			f(ctx)
		}
	}}, err
}

// comeBack moves a session to the connection and returns its memberships. sinces are the
// client's positions; see hold. redirects is the maximum number of redirects that it follows.
// Once a session is claimed, it is resumed even if ctx ends.
func (e *Engine) comeBack(ctx context.Context, c *Connection, by sessionClaim, sinces map[string]cluster.Position, redirects int) ([]*member, error) {
	old, err := e.claim(ctx, c.tenant, by)
	if err == nil {
		ctx, cancel := e.completing(ctx, c.tenant)
		defer cancel()
		return e.adopt(ctx, c, old, sinces), nil
	}
	if !errors.Is(err, cluster.ErrNoSession) {
		return nil, err
	}
	s, err := e.unpark(ctx, c.tenant, by)
	switch {
	case err != nil:
		return nil, err
	case s.Moved != "":
		return e.followRedirect(ctx, c, by, s.Moved, sinces, redirects)
	}
	ctx, cancel := e.completing(ctx, c.tenant)
	defer cancel()
	return e.adoptParked(ctx, c, s, sinces), nil
}

// adopt moves the resources of old to c. old is claimed and away.
func (e *Engine) adopt(ctx context.Context, c, old *Connection, sinces map[string]cluster.Position) (members []*member) {
	moved := old.beginMove(ctx)
	e.restoreProfile(c, old.profile.Load(), nil)
	c.keys.clear()
	c.keys = old.keys
	for _, m := range moved {
		next := newMember(c, m.room)
		next.joinedAt, next.watches, next.informed, next.awaySince, next.stage = m.joinedAt, m.watches, m.informed, m.awaySince, joined
		next.amends = m.amends
		next.hold(sinces)
		m.room.replace(m, next) // replaces the member before leave can find next in c
		members = append(members, next)
	}
	total, releases := old.actionCount(), old.allReleases()
	c.mu.Lock()
	c.totalActions += total
	c.addReleases(releases...)
	c.rooms = append(c.rooms, members...)
	c.mu.Unlock()
	for _, m := range moved {
		old.endStage(m, true)
	}
	e.forgetSession(old)
	e.removeRedirect(ctx, old)
	old.out.Release()
	c.reservation = c.reservation.replacedBy(old.reservation)
	return slices.DeleteFunc(members, func(m *member) bool { return !e.confirm(ctx, m) })
}

func (c *Connection) actionCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totalActions
}

// beginMove begins to move the memberships of a connection that is away, and returns them. It first
// waits for those that are ending, because a leave may fail: the member then moves too. The caller
// ends the stage of each. If ctx ends, memberships that are still ending do not move.
func (c *Connection) beginMove(ctx context.Context) (moved []*member) {
	c.mu.Lock()
	for late := false; !late; {
		i := slices.IndexFunc(c.rooms, func(m *member) bool { return m.stage != joined })
		if i < 0 {
			break
		}
		late = c.wait(ctx, c.rooms[i]) != nil // releases mu
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	for _, m := range c.rooms {
		if m.stage == joined {
			m.stage = moving
			moved = append(moved, m)
		}
	}
	return moved
}

// hold holds messages back if the room has history, until the member has received the messages
// that it missed. In a room without history it does so if the client has sent a position, until
// the client has the position of the room.
func (m *member) hold(sinces map[string]cluster.Position) {
	name := m.room.id.Room
	keep := m.conn.tenant.settings(name).Retention
	if _, counts := sinces[name]; keep.Messages > 0 || counts && !keep.Ephemeral {
		m.Gate.Hold()
	}
}

func (m *member) keepsHistory() bool {
	return m.conn.tenant.settings(m.room.id.Room).Retention.Messages > 0
}

// confirm records a member of a resumed session again. If the room was destroyed while the
// connection was away, or its new user or address is banned there, the member leaves and
// confirm returns false.
func (e *Engine) confirm(ctx context.Context, m *member) bool {
	if err := e.exists(ctx, m.room.id); errors.Is(err, cluster.ErrNoRoom) {
		_, _ = e.leave(ctx, m.conn, m.room.id.Room, hook.CauseDestroyed) // fails if the member has left already
		return false
	}
	if m.conn.sanction(moderation.Ban, m.room.id.Room) != nil {
		e.expel(m.conn, m.room.id.Room)
		return false
	}
	e.recordPresence(ctx, m)
	return true
}

// adoptParked moves a parked session to c. It runs leave for rooms that c can no longer
// join.
func (e *Engine) adoptParked(ctx context.Context, c *Connection, s parkedSession, sinces map[string]cluster.Position) (members []*member) {
	e.restoreProfile(c, decodeProfile(s.Tenant, cluster.MemberRecord{ID: s.ID, Profile: s.Profile}), s.Claims)
	for _, k := range s.Keys {
		c.usedKeys().remember(k)
	}
	if s.Redirect != "" {
		e.takeRedirect(ctx, s.Redirect)
	}
	c.mu.Lock()
	c.totalActions += s.Actions
	c.addReleases(s.Releases...)
	c.mu.Unlock()
	for _, room := range s.Rooms {
		m, err := e.enter(ctx, c, room, sinces)
		if err != nil {
			cause := hook.CauseDisconnect
			if errors.Is(err, cluster.ErrNoRoom) {
				cause = hook.CauseDestroyed
			}
			if c.sanction(moderation.Ban, room.Room) != nil {
				cause = hook.CauseRemoved
			}
			e.log.Info("a resumed session cannot join a room again", "connection", s.ID, "tenant", s.Tenant, "room", room.Room, "reason", err)
			e.leaveParked(ctx, c.profile.Load(), room, cause)
			continue
		}
		members = append(members, m)
	}
	return members
}

// enter makes c a member of a room of a session that was parked by another node.
func (e *Engine) enter(ctx context.Context, c *Connection, room parkedRoom, sinces map[string]cluster.Position) (*member, error) {
	r := c.tenant.acquire(room.Room)
	m, err := e.beginJoin(ctx, c, r)
	if err != nil {
		c.tenant.release(r)
		return nil, err
	}
	m.joinedAt, m.watches, m.informed, m.awaySince = room.JoinedAt, room.Watches, room.Informed, room.Since
	m.amends = room.Amends
	m.hold(sinces)
	evicted := r.evictions()
	if err = c.refusedBy(moderation.Ban, r.id.Room); err == nil {
		err = e.subscribe(ctx, m)
	}
	if err == nil {
		err = e.addMember(ctx, m, evicted)
	}
	c.endStage(m, err != nil)
	if err != nil {
		c.tenant.release(r)
		return nil, err
	}
	return m, nil
}

// restoreProfile gives c the profile of its session. The address and the user remain those
// of the new connection, unless only the session has a user. claims are names of properties that came from the token of the
// session, in addition to those that the profile marks as claims. These properties are not
// restored.
func (e *Engine) restoreProfile(c *Connection, was *hook.Profile, claims []string) {
	c.mu.Lock()
	now := c.profile.Load()
	p := &hook.Profile{Connection: now.Connection}
	p.ID, p.Fingerprint, p.ConnectedAt, p.Properties = was.ID, was.Fingerprint, was.ConnectedAt, nil
	if p.User == "" {
		p.User, p.UserGiven = was.User, was.UserGiven
	}
	for _, n := range was.Properties {
		if !n.Claim && !slices.Contains(claims, n.Name) {
			p.Properties = append(p.Properties, n)
		}
	}
	for _, n := range now.Properties {
		at, found := slices.BinarySearchFunc(p.Properties, n.Name, func(o hook.NamedProperty, name string) int { return strings.Compare(o.Name, name) })
		switch {
		case !found:
			p.Properties = slices.Insert(p.Properties, at, n)
		case n.Claim:
			p.Properties[at] = n
		}
	}
	c.profile.Store(p)
	c.mu.Unlock()
	e.rename(c, now.ID)
}

// rename registers c under its current id instead of was.
func (e *Engine) rename(c *Connection, was string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.connections, was)
	if old := e.connections[c.ID()]; old != nil { // c has taken over the session of old
		old.setIndexed("")
	}
	e.connections[c.ID()] = c
	c.tenant.ids.Delete(was)
	c.tenant.ids.Set(c.ID(), c)
	c.setIndexed(c.profile.Load().User)
}
