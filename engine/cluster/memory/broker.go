package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine/cluster"
)

// topics are the rooms that someone is subscribed to, publishes into, or that have
// a history.
type topics struct {
	mu     sync.RWMutex
	byRoom map[cluster.RoomID]*topic
}

// topic carries the messages of a room. While a delivery runs it stays the
// room's, whoever leaves and comes back, so that there is one lane.
type topic struct {
	// users counts subscribers, publishers, readers of history, and the history
	// itself while it remembers anything. From 0 it goes up with topics.mu held
	// for reading, and a topic whose count is 0 is given up with it held for
	// writing.
	users atomic.Int64

	lane    chan struct{} // one slot, taken by who delivers
	history history

	// heard is who is subscribed. The slice is replaced, never changed, with
	// topics.mu held for writing.
	heard atomic.Pointer[[]*session]
}

// Publish implements cluster.Broker. It returns when the message is delivered. A
// ctx that ends while others of the room are being delivered is
// cluster.ErrUnavailable.
func (n *node) Publish(ctx context.Context, room cluster.RoomID, payload []byte, keep cluster.Retention) error {
	if _, err := n.up(ctx); err != nil {
		return err
	}
	ts := &n.hub.topics
	t := ts.hold(room)
	if t == nil {
		if keep.Messages <= 0 {
			return nil
		}
		t = ts.open(room)
	}
	defer ts.release(room, t)
	return ts.publish(ctx, room, t, payload, keep)
}

// Subscribe implements cluster.Broker.
func (n *node) Subscribe(ctx context.Context, room cluster.RoomID) error {
	s, err := n.up(ctx)
	if err != nil {
		return err
	}
	return n.hub.topics.subscribe(room, s)
}

// Unsubscribe implements cluster.Broker. A delivery that has begun may yet reach
// the handler.
func (n *node) Unsubscribe(_ context.Context, room cluster.RoomID) error {
	if s := n.session.Load(); s != nil {
		n.hub.topics.unsubscribe(room, s)
	}
	return nil
}

// Flush implements cluster.Broker: Publish returns when the message is delivered.
func (n *node) Flush(ctx context.Context, _ cluster.RoomID) error {
	_, err := n.up(ctx)
	return err
}

// hold gives the room's topic to a publisher, who releases it; nil if nobody
// listens.
func (ts *topics) hold(room cluster.RoomID) *topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	t := ts.byRoom[room]
	if t != nil {
		t.users.Add(1)
	}
	return t
}

// open is hold, and makes the topic if there is none.
func (ts *topics) open(room cluster.RoomID) *topic {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.at(room)
	t.users.Add(1)
	return t
}

// at gives the room's topic, which it makes if there is none. The lock is held.
func (ts *topics) at(room cluster.RoomID) *topic {
	t := ts.byRoom[room]
	if t == nil {
		t = &topic{lane: make(chan struct{}, 1)}
		t.history.top.Epoch = newEpoch()
		t.heard.Store(&[]*session{})
		ts.byRoom[room] = t
	}
	return t
}

func (ts *topics) release(room cluster.RoomID, t *topic) {
	if t.users.Add(-1) > 0 {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.sweep(room, t)
}

// sweep gives up a topic that nobody uses. The lock is held.
func (ts *topics) sweep(room cluster.RoomID, t *topic) {
	if t.users.Load() == 0 && ts.byRoom[room] == t {
		delete(ts.byRoom, room)
	}
}

// publish waits for its turn in the lane and only then looks who is subscribed:
// the order of turns is the order of the room, and who subscribes between two
// of them hears the second. History has what is delivered.
func (ts *topics) publish(ctx context.Context, room cluster.RoomID, t *topic, payload []byte, keep cluster.Retention) error {
	select {
	case t.lane <- struct{}{}:
	default:
		select {
		case t.lane <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("publish: the room is busy: %w: %w", cluster.ErrUnavailable, ctx.Err())
		}
	}
	defer func() { <-t.lane }()
	var at cluster.Position
	if !keep.Ephemeral {
		at = ts.record(room, t, payload, keep)
	}
	for _, s := range *t.heard.Load() {
		s.deliver(room, at, payload)
	}
	return nil
}

// record gives a message its place.
func (ts *topics) record(room cluster.RoomID, t *topic, payload []byte, keep cluster.Retention) cluster.Position {
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	if keep.Messages > 0 {
		ts.remember(room, t, keep)
	}
	return t.history.add(payload, keep)
}

func (s *session) deliver(room cluster.RoomID, at cluster.Position, payload []byte) {
	if !s.enter() {
		return
	}
	defer s.calls.Done()
	s.handler.Deliver(s.ctx, room, at, payload)
}

func (ts *topics) subscribe(room cluster.RoomID, s *session) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if s.ctx.Err() != nil { // looked at under the lock: what comes later, forget would miss
		return s.gone()
	}
	t := ts.at(room)
	heard := *t.heard.Load()
	if slices.Contains(heard, s) {
		return nil
	}
	heard = append(slices.Clone(heard), s)
	t.heard.Store(&heard)
	t.users.Add(1)
	return nil
}

func (ts *topics) unsubscribe(room cluster.RoomID, s *session) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.byRoom[room]; t != nil {
		ts.drop(room, t, s)
	}
}

// forget unsubscribes a session from all rooms.
func (ts *topics) forget(s *session) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for room, t := range ts.byRoom {
		ts.drop(room, t, s)
	}
}

func (ts *topics) drop(room cluster.RoomID, t *topic, s *session) {
	heard := *t.heard.Load()
	i := slices.Index(heard, s)
	if i < 0 {
		return
	}
	heard = slices.Delete(slices.Clone(heard), i, i+1)
	t.heard.Store(&heard)
	t.users.Add(-1)
	ts.sweep(room, t)
}
