package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

// room is a room as this node knows it while somebody here is in it or speaks
// in it. What exists in the whole cluster is known to Cluster.Rooms.
type room struct {
	id       cluster.RoomID
	uses     int          // members, and calls under way; under tenant.mu
	lane     lane         // of messages that are said
	messages subscription // of members, and joins under way
	notices  subscription // of those of them who watch

	streams  []stream // one for each writer
	sequence uint64   // of Deliver's calls, which come one at a time

	mu      sync.Mutex
	members []*member
	crowd   *crowd           // of members who are not away; nil when they have changed since
	last    cluster.Position // of Deliver
	evicted int              // how often the room was destroyed
	unpaced time.Time        // until when Pace does not wait
}

// member is a connection in a room. It implements Member.
type member struct {
	conn      *Connection
	room      *room
	watches   bool             // it wants to hear who joins and leaves
	awaySince cluster.Position // the last message that its connection was sent before it was away
	joinedAt  int64            // ms since 1970; set when it is joined
	index     int              // in room.members, under room.mu
	mode      atomic.Uint32    // how it is sent messages
	catchUp   catchUp          // where mode is not plain

	// Under conn.mu.
	stage   stage
	settled chan struct{} // closed when the stage under way ends; nil: nobody waits
}

// Modes of a member.
const (
	plain    uint32 = iota // it is sent what comes
	catching               // what comes is held until it has caught up
	caught                 // it has caught up; what is on its way may be what it heard already
	gone                   // it has left: what is still on its way is not for it
	away                   // its connection is
)

// stage is how far a membership has come.
type stage uint8

const (
	joining stage = iota
	joined
	leaving
	rejoining // still a member
)

// Profile implements Member.
func (m *member) Profile() *hook.Profile { return m.conn.profile.Load() }

// JoinedAt implements Member.
func (m *member) JoinedAt() int64 { return m.joinedAt }

// crowd is a room's members at one moment, grouped by their writers. It does not
// change.
type crowd struct {
	members []*member
	asked   []hook.Member       // the same, for the middleware; made when it is first asked
	starts  []int               // writer w serves members[starts[w]:starts[w+1]]
	known   hook.MemberSnapshot // them, to the middleware
}

func newRoom(id cluster.RoomID, writers []*writer) *room {
	r := &room{id: id, lane: lane{limit: laneLength}, streams: make([]stream, len(writers))}
	r.messages.topic, r.notices.topic = id, noticesOf(id)
	for i, w := range writers {
		r.streams[i].w = w
		r.streams[i].space.L = &w.mu
	}
	return r
}

// add makes m a member. It fails if the room was destroyed since evicted was
// read.
func (r *room) add(m *member, evicted int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.evicted != evicted {
		return cluster.ErrNoRoom
	}
	m.index = len(r.members)
	r.members = append(r.members, m)
	r.crowd = nil
	return nil
}

// remove takes m out, at the same cost in a room of any size.
func (r *room) remove(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.members) - 1
	r.members[m.index] = r.members[last]
	r.members[m.index].index = m.index
	r.members[last] = nil
	r.members = r.members[:last]
	r.crowd = nil
}

// changed makes the next message find the members anew: one of them has another
// profile.
func (r *room) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crowd = nil
}

// evictions is how often the room was destroyed.
func (r *room) evictions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evicted
}

// evict keeps joins that are under way out and gives the members there are.
func (r *room) evict() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evicted++
	return append([]*member(nil), r.members...)
}

// setAway takes m out of the crowd, and says which message was the last for it.
func (r *room) setAway(m *member) cluster.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.mode.Store(away)
	r.crowd = nil
	return r.last
}

// replace puts another member in the place of one.
func (r *room) replace(m, next *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next.index = m.index
	r.members[m.index] = next
	r.crowd = nil
}

// present is the room's crowd.
func (r *room) present() *crowd {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crowd == nil {
		r.crowd = newCrowd(r.members, len(r.streams))
	}
	return r.crowd
}

// receivers is the crowd that a message is for.
func (r *room) receivers(at cluster.Position) *crowd {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = at
	if r.crowd == nil {
		r.crowd = newCrowd(r.members, len(r.streams))
	}
	return r.crowd
}

func newCrowd(all []*member, writers int) *crowd {
	members := make([]*member, 0, len(all))
	for _, m := range all {
		if m.mode.Load() != away {
			members = append(members, m)
		}
	}
	c := &crowd{members: make([]*member, len(members)), starts: make([]int, writers+1)}
	for _, m := range members {
		c.starts[m.conn.writer+1]++
	}
	for w := range writers {
		c.starts[w+1] += c.starts[w]
	}
	at := append([]int(nil), c.starts...)
	for _, m := range members {
		w := m.conn.writer
		c.members[at[w]] = m
		at[w]++
	}
	return c
}

// forMiddleware is the members as the middleware sees them.
func (c *crowd) forMiddleware() []hook.Member {
	if c.asked == nil {
		c.asked = make([]hook.Member, len(c.members))
		for i, m := range c.members {
			c.asked[i] = m
		}
	}
	return c.asked
}

// subscription is to a topic, for as many as need it.
type subscription struct {
	topic  cluster.RoomID
	change lane
	users  int // in change
}

// subscribe makes sure that what is published reaches this node, for one more.
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

// unsubscribe is subscribe undone, for one.
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
