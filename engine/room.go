package engine

import (
	"context"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/hook"
)

// room is a room while this node has members of it or calls for it under way. Which
// rooms exist in the cluster is in the backend's Rooms.
type room struct {
	id       cluster.RoomID
	uses     int          // members, and calls under way; under tenant.mu
	queue    queue        // of messages that are said
	messages subscription // of members, and joins under way
	notices  subscription // of members that watch

	writers  *fanout.Writers
	out      fanout.Room
	sequence uint64 // of Deliver's calls, which come one at a time

	mu       sync.Mutex
	members  []*member
	snapshot *memberSnapshot  // of members that are not away; nil when they have changed since
	last     cluster.Position // of Deliver
	evicted  int              // how often the room was destroyed
	unpaced  time.Time        // until when Pace does not wait
}

// member is a connection in a room. It implements hook.Member.
type member struct {
	fanout.Receiver
	conn      *Connection
	room      *room
	watches   bool             // it is sent notices of joins and leaves
	awaySince cluster.Position // the last message that was sent to it before its connection was away
	joinedAt  int64            // ms since 1970; set when it is joined

	// Under room.mu.
	index int  // in room.members
	away  bool // its connection is; its gate is closed

	// Under conn.mu.
	stage   stage
	settled chan struct{} // closed when the stage under way ends; nil until a caller waits
}

// stage is the state of a membership.
type stage uint8

const (
	joining stage = iota
	joined
	leaving
	rejoining // a member, for which join runs again
)

// Profile implements Member.
func (m *member) Profile() *hook.Profile { return m.conn.profile.Load() }

// JoinedAt implements Member.
func (m *member) JoinedAt() int64 { return m.joinedAt }

// memberSnapshot is a room's members at one moment. It does not change.
type memberSnapshot struct {
	fanout.Snapshot
	members []*member           // in the order of the Snapshot
	asked   []hook.Member       // the same, for the middleware; made when it is first asked
	known   hook.MemberSnapshot // them, to the middleware
}

func newRoom(id cluster.RoomID, writers *fanout.Writers) *room {
	r := &room{id: id, queue: queue{limit: maxQueued}, writers: writers, out: writers.NewRoom()}
	r.messages.topic, r.notices.topic = id, noticesOf(id)
	return r
}

func newMember(c *Connection, r *room) *member {
	return &member{Receiver: fanout.Receiver{Outbox: &c.out}, conn: c, room: r}
}

// add adds a member. It fails if the room was destroyed since evicted was read.
func (r *room) add(m *member, evicted int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.evicted != evicted {
		return cluster.ErrNoRoom
	}
	m.index = len(r.members)
	r.members = append(r.members, m)
	r.snapshot = nil
	return nil
}

// remove removes a member, in constant time.
func (r *room) remove(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.members) - 1
	r.members[m.index] = r.members[last]
	r.members[m.index].index = m.index
	r.members[last] = nil
	r.members = r.members[:last]
	r.snapshot = nil
}

// changed makes the next message take a new snapshot: a member has another profile.
func (r *room) dropSnapshot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshot = nil
}

// evictions is how often the room was destroyed.
func (r *room) evictions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evicted
}

// evict lets joins under way fail, and returns the members.
func (r *room) evict() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evicted++
	return append([]*member(nil), r.members...)
}

// setAway takes m out of the snapshot, and returns the position of its last message.
func (r *room) setAway(m *member) cluster.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Gate.Close()
	m.away = true
	r.snapshot = nil
	return r.last
}

// replace puts next in the place of m.
func (r *room) replace(m, next *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next.index = m.index
	r.members[m.index] = next
	r.snapshot = nil
}

// present returns the room's members that are not away.
func (r *room) present() *memberSnapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current()
}

// receivers returns the members that the message at a position is for.
func (r *room) receivers(at cluster.Position) *memberSnapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = at
	return r.current()
}

// current is called with mu held.
func (r *room) current() *memberSnapshot {
	if r.snapshot == nil {
		r.snapshot = &memberSnapshot{}
		r.snapshot.Snapshot, r.snapshot.members = fanout.NewSnapshot(r.writers, r.members, func(m *member) *fanout.Receiver {
			if m.away {
				return nil
			}
			return &m.Receiver
		})
	}
	return r.snapshot
}

// forMiddleware returns the members as the middleware sees them.
func (s *memberSnapshot) forMiddleware() []hook.Member {
	if s.asked == nil {
		s.asked = make([]hook.Member, len(s.members))
		for i, m := range s.members {
			s.asked[i] = m
		}
	}
	return s.asked
}

// subscription counts the users of the node's subscription to a topic.
type subscription struct {
	topic  cluster.RoomID
	change queue
	users  int // changed in the queue
}

// subscribe adds a user: messages that are published from now on reach this node.
func (s *subscription) subscribe(ctx context.Context, b cluster.Broker) error {
	if err := s.change.enter(ctx); err != nil {
		return err
	}
	defer s.change.leave()
	if s.users == 0 {
		if err := b.Subscribe(ctx, s.topic); err != nil {
			return err
		}
	}
	s.users++
	return nil
}

// unsubscribe removes a user.
func (s *subscription) unsubscribe(ctx context.Context, b cluster.Broker) error {
	if err := s.change.enter(ctx); err != nil {
		return err
	}
	defer s.change.leave()
	s.users--
	if s.users > 0 {
		return nil
	}
	return b.Unsubscribe(ctx, s.topic)
}
