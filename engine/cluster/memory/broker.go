package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine"
)

// topics are the rooms that someone is subscribed to, or publishes into.
type topics struct {
	mu     sync.RWMutex
	byRoom map[engine.RoomID]*topic
}

// topic carries the messages of a room. While a delivery runs it stays the
// room's, whoever leaves and comes back, so that there is one lane.
type topic struct {
	// users counts subscribers and publishers. It goes up with topics.mu held
	// for reading, and a topic whose count is 0 is given up with it held for
	// writing.
	users atomic.Int64

	lane chan struct{} // one slot, taken by who delivers

	// heard is who is subscribed. The slice is replaced, never changed, with
	// topics.mu held for writing.
	heard atomic.Pointer[[]*session]
}

// Publish implements engine.Broker. It returns when the message is delivered. A
// ctx that ends while others of the room are being delivered is
// engine.ErrUnavailable.
func (n *node) Publish(ctx context.Context, room engine.RoomID, payload []byte) error {
	if _, err := n.up(ctx); err != nil {
		return err
	}
	t := n.hub.topics.hold(room)
	if t == nil {
		return nil
	}
	defer n.hub.topics.release(room, t)
	return t.publish(ctx, room, payload)
}

// Subscribe implements engine.Broker.
func (n *node) Subscribe(ctx context.Context, room engine.RoomID) error {
	s, err := n.up(ctx)
	if err != nil {
		return err
	}
	return n.hub.topics.subscribe(room, s)
}

// Unsubscribe implements engine.Broker. A delivery that has begun may yet reach
// the handler.
func (n *node) Unsubscribe(_ context.Context, room engine.RoomID) error {
	if s := n.session.Load(); s != nil {
		n.hub.topics.unsubscribe(room, s)
	}
	return nil
}

// hold gives the room's topic to a publisher, who releases it; nil if nobody
// listens.
func (ts *topics) hold(room engine.RoomID) *topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	t := ts.byRoom[room]
	if t != nil {
		t.users.Add(1)
	}
	return t
}

func (ts *topics) release(room engine.RoomID, t *topic) {
	if t.users.Add(-1) > 0 {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.sweep(room, t)
}

// sweep gives up a topic that nobody uses. The lock is held.
func (ts *topics) sweep(room engine.RoomID, t *topic) {
	if t.users.Load() == 0 && ts.byRoom[room] == t {
		delete(ts.byRoom, room)
	}
}

// publish waits for its turn in the lane and only then looks who is subscribed:
// the order of turns is the order of the room, and who subscribes between two
// of them hears the second.
func (t *topic) publish(ctx context.Context, room engine.RoomID, payload []byte) error {
	select {
	case t.lane <- struct{}{}:
	default:
		select {
		case t.lane <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("publish: the room is busy: %w: %w", engine.ErrUnavailable, ctx.Err())
		}
	}
	defer func() { <-t.lane }()
	for _, s := range *t.heard.Load() {
		s.deliver(room, payload)
	}
	return nil
}

func (s *session) deliver(room engine.RoomID, payload []byte) {
	if !s.enter() {
		return
	}
	defer s.calls.Done()
	s.handler.Deliver(s.ctx, room, payload)
}

func (ts *topics) subscribe(room engine.RoomID, s *session) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if s.ctx.Err() != nil { // looked at under the lock: what comes later, forget would miss
		return s.gone()
	}
	t := ts.byRoom[room]
	if t == nil {
		t = &topic{lane: make(chan struct{}, 1)}
		t.heard.Store(&[]*session{})
		ts.byRoom[room] = t
	}
	heard := *t.heard.Load()
	if slices.Contains(heard, s) {
		return nil
	}
	heard = append(slices.Clone(heard), s)
	t.heard.Store(&heard)
	t.users.Add(1)
	return nil
}

func (ts *topics) unsubscribe(room engine.RoomID, s *session) {
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

func (ts *topics) drop(room engine.RoomID, t *topic, s *session) {
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
