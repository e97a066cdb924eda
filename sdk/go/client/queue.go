package client

import "sync"

// queue holds the events that wait for the handlers. One goroutine runs them in order.
type queue struct {
	limit int

	mu      sync.Mutex
	changed sync.Cond // events or closed changed, or push should call mayWait again
	events  []func()
	closed  bool
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.changed.L = &q.mu
	return q
}

// push adds an event. While the queue is full it waits until mayWait returns false. If
// mayWait is nil, it does not wait, and the queue may grow beyond its limit.
func (q *queue) push(event func(), mayWait func() bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for mayWait != nil && len(q.events) >= q.limit && mayWait() {
		q.changed.Wait()
	}
	q.events = append(q.events, event)
	q.changed.Broadcast()
}

// full reports whether the queue has reached its limit.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events) >= q.limit
}

// recheck makes a waiting push call mayWait again.
func (q *queue) recheck() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// close makes run return after it has handled all events.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// run handles events until the queue is closed and empty.
func (q *queue) run() {
	for {
		q.mu.Lock()
		for len(q.events) == 0 && !q.closed {
			q.changed.Wait()
		}
		events := q.events
		q.events = nil
		q.changed.Broadcast()
		q.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, handle := range events {
			handle()
		}
	}
}
