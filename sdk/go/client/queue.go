package client

import "sync"

// queue is the events that wait for the handlers, which one goroutine calls.
type queue struct {
	most int

	mu     sync.Mutex
	moved  sync.Cond // something came or went, or pushing may be worth another look
	events []func()
	closed bool
}

func newQueue(most int) *queue {
	q := &queue{most: most}
	q.moved.L = &q.mu
	return q
}

// push adds an event. While the queue is full it waits for as long as mayWait says;
// nil is not at all.
func (q *queue) push(event func(), mayWait func() bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for mayWait != nil && len(q.events) >= q.most && mayWait() {
		q.moved.Wait()
	}
	q.events = append(q.events, event)
	q.moved.Broadcast()
}

// full says whether the handlers are behind.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events) >= q.most
}

// look has whoever waits in push ask again whether it may.
func (q *queue) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.moved.Broadcast()
}

// close ends run once all events have been handled.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.moved.Broadcast()
}

// run handles events until the queue is closed and empty.
func (q *queue) run() {
	for {
		q.mu.Lock()
		for len(q.events) == 0 && !q.closed {
			q.moved.Wait()
		}
		events := q.events
		q.events = nil
		q.moved.Broadcast()
		q.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, handle := range events {
			handle()
		}
	}
}
