package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

func errAlreadyIn(room string) error {
	return &VerbError{fmt.Sprintf("connection already in this room (%s)", room)}
}

func errNotIn(room string) error {
	return &VerbError{fmt.Sprintf("connection not in this room (%s)", room)}
}

// AlreadyMember reports whether err means that the connection is already in the room.
func AlreadyMember(err error) bool { return hasText(err, "connection already in this room") }

// NotMember reports whether err means that the connection is not in the room.
func NotMember(err error) bool { return hasText(err, "connection not in this room") }

// hasText reports whether err is a VerbError whose text begins with words. The error may
// have come from another node as text.
func hasText(err error, words string) bool {
	verb := (*VerbError)(nil)
	return errors.As(err, &verb) && strings.HasPrefix(verb.Text, words)
}

// joinOptions are the options of a join.
type joinOptions struct {
	recover bool // in a room with history, the client asks for its position and for missed messages
	place   bool // in a room without history, the client asks for its position
	watch   bool // the client asks for notices of joins and leaves
	inform  bool // the client asks for the outcomes of its held messages
	amend   bool // the client asks for amendments
}

// join makes c a member of the room. If a connection joins a room several times at once,
// one join runs and the others wait for its result. The caller applies the effects after it
// has answered the client.
//
// If the client asks for a position, c receives no message of the room until its gate is
// released. Ephemeral rooms have no position.
func (e *Engine) join(ctx context.Context, c *Connection, name string, options joinOptions) (*member, []hook.Effect, error) {
	if wire.ValidRoom(name) != nil && name != "" {
		return nil, nil, &VerbError{"invalid room name"}
	}
	r := c.tenant.acquire(name)
	m, err := e.beginJoin(ctx, c, r)
	if err != nil {
		c.tenant.release(r)
		return nil, nil, err
	}
	settings := c.tenant.settings(name)
	keep := settings.Retention
	if options.recover && keep.Messages > 0 || options.place && !keep.Ephemeral {
		m.Gate.Hold()
	}
	m.watches, m.informed = options.watch && settings.Presence, options.inform
	m.amends = options.amend && !c.actionHero
	effects, err := e.admit(ctx, m)
	c.endStage(m, err != nil)
	if err != nil {
		c.tenant.release(r)
		return nil, nil, err
	}
	return m, e.applyNow(ctx, c.tenant, c, effects, false), nil
}

// beginJoin begins a membership. The membership then owns the caller's use of r.
func (e *Engine) beginJoin(ctx context.Context, c *Connection, r *room) (*member, error) {
	name := r.id.Room
	for {
		c.mu.Lock()
		m := c.membershipIn(name)
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
			e.stats.roomLimit.Add(1)
			return nil, &VerbError{fmt.Sprintf("too many rooms (at most %d)", c.tenant.cfg().Limits.RoomsPerConnection)}
		}
		m = newMember(c, r)
		c.rooms = append(c.rooms, m)
		c.mu.Unlock()
		return m, nil
	}
}

// admit checks the room's limits, runs the join chain and adds the member.
func (e *Engine) admit(ctx context.Context, m *member) ([]hook.Effect, error) {
	c, r := m.conn, m.room
	evicted := r.evictions()
	if err := e.mayJoin(ctx, c, r); err != nil {
		return nil, err
	}
	v := e.decide(ctx, &hook.Event{Hook: hook.Join, Tenant: r.id.Tenant, Room: r.id.Room, Conn: c.profile.Load()})
	if err := refusal(&v); err != nil {
		return nil, err
	}
	if v.Waited > 0 {
		if err := e.mayJoin(ctx, c, r); err != nil {
			return nil, err
		}
	}
	if err := e.subscribe(ctx, m); err != nil {
		return nil, err
	}
	m.joinedAt = c.joinTime()
	if err := e.addMember(ctx, m, evicted); err != nil {
		return nil, err
	}
	e.notePresence(c.tenant, r.id, c.ID(), true)
	e.written(ctx, e.memberEvent(events.MemberJoined, r.id.Room, c.profile.Load(), m.joinedAt, ""))
	return v.Effects, nil
}

// mayJoin checks that the room exists and has a free place, and that the client is not banned from it.
func (e *Engine) mayJoin(ctx context.Context, c *Connection, r *room) error {
	if err := e.exists(ctx, r.id); err != nil {
		return err
	}
	if err := c.refusedBy(moderation.Ban, r.id.Room); err != nil {
		return err
	}
	most := c.tenant.settings(r.id.Room).MaxMembers
	if most == 0 {
		return nil
	}
	n, err := e.cluster.Presence.Count(ctx, r.id)
	if err == nil && n >= most {
		err = &VerbError{fmt.Sprintf("room is full (at most %d members)", most)}
	}
	return err
}

// joinTime returns the time for a new join, in ms since 1970. It is later than that of each earlier join of c on this node.
func (c *Connection) joinTime() int64 {
	for {
		last := c.joinedLast.Load()
		if now := max(time.Now().UnixMilli(), last+1); c.joinedLast.CompareAndSwap(last, now) {
			return now
		}
	}
}

// record returns the member as the cluster records it.
func (m *member) record() cluster.MemberRecord {
	p := m.conn.profile.Load()
	r := cluster.MemberRecord{ID: p.ID, JoinedAt: m.joinedAt, Profile: encodeProfile(p)}
	if s := m.conn.tenant.settings(m.room.id.Room); s.Users {
		r.User, r.Announce = p.User, s.Presence && p.User != ""
	}
	return r
}

// recordUser records in the cluster the user of a connection that got it after it had joined rooms. It waits for
// joins and leaves that are running.
func (e *Engine) recordUser(ctx context.Context, c *Connection) {
	for _, m := range c.memberships() {
		if c.tenant.settings(m.room.id.Room).Users && c.beginRecording(ctx, m) {
			e.recordPresence(ctx, m)
			c.endStage(m, false)
		}
	}
}

// beginRecording keeps a membership from ending until endStage is called. It returns false if the membership has
// ended or ctx ends.
func (c *Connection) beginRecording(ctx context.Context, m *member) bool {
	for {
		c.mu.Lock()
		switch {
		case !slices.Contains(c.rooms, m):
			c.mu.Unlock()
			return false
		case m.stage == joined:
			m.stage = recording
			c.mu.Unlock()
			return true
		}
		if c.wait(ctx, m) != nil {
			return false
		}
	}
}

// addMember records a member that has subscribed and adds it to the room. If that fails, it
// ends the subscription.
func (e *Engine) addMember(ctx context.Context, m *member, evicted int) error {
	c, r := m.conn, m.room
	err := e.cluster.Presence.Add(ctx, r.id, m.record())
	if err == nil {
		err = r.add(m, evicted)
	}
	if err != nil {
		e.removePresence(ctx, r, c.ID()) // the member may be recorded even after an error
		e.unsubscribe(ctx, m)
	}
	e.noteUsers(c.tenant, r.id)
	return err
}

// subscribe subscribes to the messages of the room, and to its notices if the member asks
// for them.
func (e *Engine) subscribe(ctx context.Context, m *member) error {
	r := m.room
	if err := r.messages.subscribe(ctx, e.cluster.Broker); err != nil || !m.watches {
		return err
	}
	if err := r.notices.subscribe(ctx, e.cluster.Broker); err != nil {
		e.unsubscribeFrom(ctx, &r.messages)
		return err
	}
	return nil
}

func (e *Engine) unsubscribe(ctx context.Context, m *member) {
	e.unsubscribeFrom(ctx, &m.room.messages)
	if m.watches {
		e.unsubscribeFrom(ctx, &m.room.notices)
	}
}

func (e *Engine) unsubscribeFrom(ctx context.Context, s *subscription) {
	ctx, cancel := e.untilShutdown(ctx)
	defer cancel()
	if err := s.unsubscribe(ctx, e.cluster.Broker); err != nil {
		e.log.Warn("unsubscribe failed", "tenant", s.topic.Tenant, "room", s.topic.Room, "error", err)
	}
}

func (e *Engine) removePresence(ctx context.Context, r *room, id string) {
	ctx, cancel := e.untilShutdown(ctx)
	defer cancel()
	if err := e.cluster.Presence.Remove(ctx, r.id, id); err != nil {
		e.log.Warn("presence was not removed", "tenant", r.id.Tenant, "room", r.id.Room, "connection", id, "error", err)
	}
}

// leave ends c's membership of the room. Only a client's own roomLeave can be denied. In
// all other cases the member leaves: a deny is logged, and the leave completes even if ctx
// ends.
func (e *Engine) leave(ctx context.Context, c *Connection, name string, cause hook.Cause) ([]hook.Effect, error) {
	if cause != hook.CauseRoomLeave {
		var cancel context.CancelFunc
		ctx, cancel = e.untilShutdown(ctx)
		defer cancel()
	}
	m, err := e.beginLeave(ctx, c, name)
	if err != nil {
		return nil, err
	}
	v, err := e.askLeave(ctx, m, cause)
	if err != nil {
		c.endStage(m, false)
		return nil, err
	}
	// The members of a destroyed room still receive its last message.
	if cause != hook.CauseDestroyed {
		m.Gate.Close()
	}
	e.writtenFirst(ctx, e.memberEvent(events.MemberLeft, name, c.profile.Load(), m.joinedAt, cause))
	e.endMembership(ctx, m)
	later := e.applyNow(ctx, c.tenant, c, v.Effects, false)
	if cause != hook.CauseRoomLeave {
		e.applyLater(ctx, c.tenant, later, false)
		return nil, nil
	}
	return later, nil
}

// endMembership ends a membership without running the leave chain.
func (e *Engine) endMembership(ctx context.Context, m *member) {
	e.detach(ctx, m)
	e.notePresence(m.conn.tenant, m.room.id, m.conn.ID(), false)
}

// detach ends a membership on this node. It sends no notice to other members.
func (e *Engine) detach(ctx context.Context, m *member) {
	r, c := m.room, m.conn
	r.remove(m)
	e.removePresence(ctx, r, c.ID())
	e.unsubscribe(ctx, m)
	c.endStage(m, true)
	c.tenant.release(r)
}

// askLeave runs the leave chain for a member, unless another node has run it. After an
// error the member stays.
func (e *Engine) askLeave(ctx context.Context, m *member, cause hook.Cause) (hook.Verdict, error) {
	c, r := m.conn, m.room
	ours, err := e.beginLeaveInCluster(ctx, m, cause)
	if err != nil || !ours {
		return hook.Verdict{}, err
	}
	if cause != hook.CauseRoomLeave {
		return e.decideLeave(ctx, r.id, c.profile.Load(), m.joinedAt, cause), nil
	}
	ctx, cancel := e.untilShutdown(ctx) // a leave that has begun must complete; otherwise the chain would run again when the connection ends
	defer cancel()
	v := e.decide(ctx, leaveOf(r.id, c.profile.Load(), m.joinedAt, cause))
	if err := refusal(&v); err != nil {
		e.recordPresence(ctx, m)
		return v, err
	}
	return v, nil
}

// beginLeaveRetry is the time between two calls of BeginLeave while the cluster does not
// answer.
const beginLeaveRetry = time.Second

// beginLeaveInCluster reports whether this node runs the leave chain for the member. If
// another node has treated this node as dead, that node runs the chain. If the cluster does
// not answer, a leave that a client or the server API has requested fails; the end of a
// connection or a room waits.
func (e *Engine) beginLeaveInCluster(ctx context.Context, m *member, cause hook.Cause) (ours bool, err error) {
	id := m.room.id
	if !e.middleware.Asks(hook.Leave, id.Tenant, id.Room) {
		return false, nil
	}
	for {
		gone, err := e.cluster.Presence.BeginLeave(ctx, id, m.conn.ID())
		switch {
		case err == nil:
			return !gone, nil
		case cause == hook.CauseRoomLeave || cause == hook.CauseRemoved:
			return false, err
		case !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, cluster.ErrUnknown):
			e.log.Error("presence did not begin a leave; this node runs the leave hook", "tenant", id.Tenant, "room", id.Room, "connection", m.conn.ID(), "error", err)
			return true, nil
		}
		select {
		case <-time.After(beginLeaveRetry):
		case <-ctx.Done():
			e.log.Warn("presence did not begin a leave in time; another node runs the leave hook", "tenant", id.Tenant, "room", id.Room, "connection", m.conn.ID(), "error", err)
			return false, nil
		}
	}
}

// recordPresence records a member again. If the cluster does not answer, the backend
// records it later.
func (e *Engine) recordPresence(ctx context.Context, m *member) {
	ctx, cancel := e.untilShutdown(ctx)
	defer cancel()
	c, r := m.conn, m.room
	err := e.cluster.Presence.Add(ctx, r.id, m.record())
	if err != nil {
		e.log.Warn("presence was not recorded", "tenant", r.id.Tenant, "room", r.id.Room, "connection", c.ID(), "error", err)
	}
	e.noteUsers(c.tenant, r.id)
}

func (e *Engine) beginLeave(ctx context.Context, c *Connection, name string) (*member, error) {
	for {
		c.mu.Lock()
		m := c.membershipIn(name)
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
