package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// topics are the rooms with subscribers, publishers or history.
type topics struct {
	mu     sync.RWMutex
	byRoom map[cluster.RoomID]*topic
	once   published
}

// topic carries the messages of a room. A room keeps its topic during a delivery, even if all
// subscribers leave and others come, so that there is one queue.
type topic struct {
	// users counts subscribers, publishers, readers of history, and the history itself while it
	// keeps messages. It is increased from 0 with topics.mu held for reading. A topic with 0
	// users is deleted with topics.mu held for writing.
	users atomic.Int64

	lane    chan struct{} // one slot, taken during a delivery
	history history

	// subscribers is replaced with topics.mu held for writing. The slice itself never changes.
	subscribers atomic.Pointer[[]*process]
}

// published are the ids of PublishOnce. The zero published is empty.
type published struct {
	mu   sync.Mutex
	ids  map[onceKey]placed
	full int // number of ids at which put removes those that have expired
}

type onceKey struct {
	room cluster.RoomID
	id   string
}

// placed is the position of a message that was published once.
type placed struct {
	at    cluster.Position
	until time.Time
}

func (p *published) get(key onceKey) (placed, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, is := p.ids[key]
	return one, is && time.Now().Before(one.until)
}

func (p *published) put(key onceKey, at cluster.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if len(p.ids) >= max(p.full, 64) {
		maps.DeleteFunc(p.ids, func(_ onceKey, one placed) bool { return !now.Before(one.until) })
		p.full = 2 * len(p.ids)
	}
	if p.ids == nil {
		p.ids = map[onceKey]placed{}
	}
	p.ids[key] = placed{at, now.Add(cluster.OnceFor)}
}

// Publish implements cluster.Broker. It returns when the message is delivered, or with
// cluster.ErrUnavailable if ctx ends while it waits for the room's other messages.
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
	_, err := ts.publish(ctx, room, t, "", payload, keep)
	return err
}

// PublishOnce implements cluster.Broker.
func (n *node) PublishOnce(ctx context.Context, room cluster.RoomID, id string, payload []byte, keep cluster.Retention) (cluster.Position, error) {
	if err := cluster.CheckOnce(id); err != nil {
		return cluster.Position{}, err
	}
	if _, err := n.up(ctx); err != nil {
		return cluster.Position{}, err
	}
	ts := &n.hub.topics
	t := ts.open(room) // also without subscribers: a later call must not publish the message to new ones
	defer ts.release(room, t)
	return ts.publish(ctx, room, t, id, payload, keep)
}

// Subscribe implements cluster.Broker.
func (n *node) Subscribe(ctx context.Context, room cluster.RoomID) error {
	s, err := n.up(ctx)
	if err != nil {
		return err
	}
	return n.hub.topics.subscribe(room, s)
}

// Unsubscribe implements cluster.Broker. A delivery that has begun may still reach
// the handler.
func (n *node) Unsubscribe(_ context.Context, room cluster.RoomID) error {
	if s := n.process.Load(); s != nil {
		n.hub.topics.unsubscribe(room, s)
	}
	return nil
}

// Flush implements cluster.Broker. It does not wait for messages, because Publish returns after
// their delivery.
func (n *node) Flush(ctx context.Context, _ cluster.RoomID) error {
	_, err := n.up(ctx)
	return err
}

// hold returns the room's topic to a publisher, which releases it later; nil if there is no
// topic.
func (ts *topics) hold(room cluster.RoomID) *topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	t := ts.byRoom[room]
	if t != nil {
		t.users.Add(1)
	}
	return t
}

// open is like hold, but creates the topic if there is none.
func (ts *topics) open(room cluster.RoomID) *topic {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.at(room)
	t.users.Add(1)
	return t
}

// at returns the room's topic, and creates it if there is none. The lock is held.
func (ts *topics) at(room cluster.RoomID) *topic {
	t := ts.byRoom[room]
	if t == nil {
		t = &topic{lane: make(chan struct{}, 1)}
		t.history.top.Epoch = newEpoch()
		t.subscribers.Store(&[]*process{})
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

// sweep deletes a topic without users. The lock is held.
func (ts *topics) sweep(room cluster.RoomID, t *topic) {
	if t.users.Load() == 0 && ts.byRoom[room] == t {
		delete(ts.byRoom, room)
	}
}

// publish delivers a message in its turn. The delivered messages are recorded in history. once is the id of
// PublishOnce; "": none.
func (ts *topics) publish(ctx context.Context, room cluster.RoomID, t *topic, once string, payload []byte, keep cluster.Retention) (at cluster.Position, err error) {
	err = ts.inTurn(ctx, t, func() error {
		if once != "" {
			if first, is := ts.once.get(onceKey{room, once}); is {
				at = first.at
				return nil
			}
		}
		if !keep.Ephemeral {
			at = ts.record(room, t, payload, keep)
		}
		if once != "" {
			ts.once.put(onceKey{room, once}, at)
		}
		for _, s := range *t.subscribers.Load() {
			s.call(func() { s.handler.Deliver(s.ctx, room, at, payload) })
		}
		return nil
	})
	return at, err
}

// inTurn calls f when no other call for the topic runs. The order of the calls is the order of the room. f reads the
// subscribers, so a subscriber that is added between two calls receives the message of the second one.
func (ts *topics) inTurn(ctx context.Context, t *topic, f func() error) error {
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
	return f()
}

// record gives a message its position.
func (ts *topics) record(room cluster.RoomID, t *topic, payload []byte, keep cluster.Retention) cluster.Position {
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	if keep.Messages > 0 {
		ts.remember(room, t, keep)
	}
	return t.history.add(payload, nil, keep)
}

// call runs f, which calls the handler of the process, unless the process has stopped.
func (s *process) call(f func()) {
	if !s.enter() {
		return
	}
	defer s.calls.Done()
	f()
}

func (ts *topics) subscribe(room cluster.RoomID, s *process) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if s.ctx.Err() != nil { // checked under the lock, because forget misses a later subscriber
		return s.errStopped()
	}
	t := ts.at(room)
	subscribers := *t.subscribers.Load()
	if slices.Contains(subscribers, s) {
		return nil
	}
	subscribers = append(slices.Clone(subscribers), s)
	t.subscribers.Store(&subscribers)
	t.users.Add(1)
	return nil
}

func (ts *topics) unsubscribe(room cluster.RoomID, s *process) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.byRoom[room]; t != nil {
		ts.drop(room, t, s)
	}
}

// forget unsubscribes a process from all rooms.
func (ts *topics) forget(s *process) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for room, t := range ts.byRoom {
		ts.drop(room, t, s)
	}
}

func (ts *topics) drop(room cluster.RoomID, t *topic, s *process) {
	subscribers := *t.subscribers.Load()
	i := slices.Index(subscribers, s)
	if i < 0 {
		return
	}
	subscribers = slices.Delete(slices.Clone(subscribers), i, i+1)
	t.subscribers.Store(&subscribers)
	t.users.Add(-1)
	ts.sweep(room, t)
}
