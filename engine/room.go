package engine

import (
	"context"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/hook"
)

// room is a room while this node has members of it or runs calls for it. The
// backend's Rooms knows the rooms that exist in the cluster.
type room struct {
	id       cluster.RoomID
	uses     int          // members and running calls; guarded by tenant.mu
	queue    queue        // of messages to publish
	messages subscription // its users are members, and joins that are running
	notices  subscription // its users are members that asked for notices

	writers  *fanout.Writers
	out      fanout.Room
	sequence uint64    // the number of calls of Deliver, which run one at a time
	notified [8]string // ids of the last notices of users; only deliverNotice uses them, and its calls run one at a time

	mu       sync.Mutex
	members  []*member
	snapshot *memberSnapshot  // of members that are not away; nil if they have changed
	last     cluster.Position // the position of the last delivered message
	evicted  int              // the number of times that the room was destroyed
	unpaced  time.Time        // Pace does not wait until this time
}

// member is a connection in a room. It implements hook.Member.
type member struct {
	fanout.Receiver
	conn      *Connection
	room      *room
	watches   bool             // the member receives notices of joins and leaves
	informed  bool             // the client asked for the outcomes of its held messages
	amends    bool             // the member receives amendments
	awaySince cluster.Position // the position of the last message that was sent before the connection was away
	joinedAt  int64            // in ms since 1970; set when the member is joined

	// Guarded by room.mu.
	index int  // in room.members
	away  bool // the connection is away; the gate is closed

	// Guarded by conn.mu.
	stage   stage
	settled chan struct{} // closed when the current stage ends; nil until a caller waits
}

// stage is the state of a membership.
type stage uint8

const (
	joining stage = iota
	joined
	leaving
	rejoining // a member for which the join chain runs again
	moving    // the session moves to another connection or to the cluster
	recording // a member whose user is being recorded
)

// Profile implements hook.Member.
func (m *member) Profile() *hook.Profile { return m.conn.profile.Load() }

// JoinedAt implements hook.Member.
func (m *member) JoinedAt() int64 { return m.joinedAt }

// memberSnapshot holds a room's members at one moment. It is immutable.
type memberSnapshot struct {
	fanout.Snapshot
	members []*member           // in the order of the Snapshot
	plain   []int32             // for each member: 1 for a client of ActionHero, 0 for others; nil if all are others
	asked   []hook.Member       // the same members for the middleware; nil until it is asked
	known   hook.MemberSnapshot // identifies the members for the middleware
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

// dropSnapshot makes the next message take a new snapshot, because a member has a new
// profile.
func (r *room) dropSnapshot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshot = nil
}

// evictions returns the number of times that the room was destroyed.
func (r *room) evictions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evicted
}

// evict makes joins that are running fail, and returns the members.
func (r *room) evict() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evicted++
	return append([]*member(nil), r.members...)
}

// setAway removes m from the snapshot and returns the position of the last message that m
// received.
func (r *room) setAway(m *member) cluster.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Gate.Close()
	m.away = true
	r.snapshot = nil
	return r.last
}

// replace replaces m by next.
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

// receivers returns the members that receive the message at a position.
func (r *room) receivers(at cluster.Position) *memberSnapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = at
	return r.current()
}

// current returns the current snapshot. The caller holds mu.
func (r *room) current() *memberSnapshot {
	if r.snapshot == nil {
		r.snapshot = &memberSnapshot{}
		r.snapshot.Snapshot, r.snapshot.members = fanout.NewSnapshot(r.writers, r.members, func(m *member) *fanout.Receiver {
			if m.away {
				return nil
			}
			return &m.Receiver
		})
		r.snapshot.plain = plainOf(r.snapshot.members)
	}
	return r.snapshot
}

// plainOf returns the field plain of a snapshot.
func plainOf(members []*member) (plain []int32) {
	for i, m := range members {
		if m.conn.actionHero && plain == nil {
			plain = make([]int32, len(members))
		}
		if plain != nil {
			plain[i] = m.conn.plain()
		}
	}
	return plain
}

// plainAt returns 1 if member i is a client of ActionHero, and 0 otherwise.
func (s *memberSnapshot) plainAt(i int) int32 {
	if s.plain == nil {
		return 0
	}
	return s.plain[i]
}

// forMiddleware returns the members in the form for the middleware.
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
	users  int // changed while the caller has its turn in the queue
}

// subscribe adds a user. Messages that are published from now on reach this node.
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

// unsubscribe removes a user. The last one ends the subscription.
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
