package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// deadlines end connections that may last only so long, each at its own time:
// one queue and one timer for all of them.
type deadlines struct {
	earlier chan struct{} // there is a new first one

	mu    sync.Mutex
	queue queue
}

// deadline is that of one connection, which has at most one.
type deadline struct {
	at    time.Time
	why   Close
	place int // in the queue, from 1; 0: there is none. Under deadlines.mu, as the rest is
}

func newDeadlines() *deadlines { return &deadlines{earlier: make(chan struct{}, 1)} }

// set has the connection closed at a time, in place of one set before.
func (d *deadlines) set(c *Connection, at time.Time, why Close) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.deadline.at, c.deadline.why = at, why
	if c.deadline.place == 0 {
		heap.Push(&d.queue, c)
	} else {
		heap.Fix(&d.queue, c.deadline.place-1)
	}
	if d.queue[0] == c {
		select {
		case d.earlier <- struct{}{}:
		default:
		}
	}
}

func (d *deadlines) drop(c *Connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.deadline.place > 0 {
		heap.Remove(&d.queue, c.deadline.place-1)
	}
}

// run closes connections whose time has come, until ctx ends.
func (d *deadlines) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.earlier:
		case <-ctx.Done():
			return
		}
		timer.Stop()
		if next, ok := d.close(time.Now()); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// close closes those whose time has come, and says when the next one's does.
func (d *deadlines) close(now time.Time) (next time.Time, ok bool) {
	for {
		d.mu.Lock()
		if len(d.queue) == 0 || d.queue[0].deadline.at.After(now) {
			if ok = len(d.queue) > 0; ok {
				next = d.queue[0].deadline.at
			}
			d.mu.Unlock()
			return next, ok
		}
		c := heap.Pop(&d.queue).(*Connection)
		why := c.deadline.why
		d.mu.Unlock()
		c.Close(why)
	}
}

// queue is a heap of connections by their deadlines.
type queue []*Connection

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].deadline.at.Before(q[j].deadline.at) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].deadline.place, q[j].deadline.place = i+1, j+1
}

func (q *queue) Push(c any) {
	*q = append(*q, c.(*Connection))
	c.(*Connection).deadline.place = len(*q)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	c.deadline.place = 0
	return c
}
