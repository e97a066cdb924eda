package fanout

import "sync"

// fifo is a queue that reuses its memory, so that frequent pushes and pops do not allocate.
type fifo[T any] struct {
	list []T // list[next:] is waiting
	next int
}

func (f *fifo[T]) waiting() int { return len(f.list) - f.next }

func (f *fifo[T]) push(v T) {
	if len(f.list) == cap(f.list) && f.next > len(f.list)/2 {
		n := copy(f.list, f.list[f.next:])
		clear(f.list[n:])
		f.list, f.next = f.list[:n], 0
	}
	f.list = append(f.list, v)
}

// pop removes and returns the first element. It returns the zero value if the queue is
// empty.
func (f *fifo[T]) pop() (v T) {
	if f.waiting() == 0 {
		return v
	}
	var none T
	v, f.list[f.next] = f.list[f.next], none
	if f.next++; f.next == len(f.list) {
		f.list, f.next = f.list[:0], 0
	}
	return v
}

// tenantQueue holds the work of a writer for one tenant. The writer serves tenants in turn,
// and the rooms of a tenant within the tenant's turns. A tenant with a thousand busy rooms
// thus delays a room of another tenant by one turn only.
//
// A writer has a queue for each tenant with a connection that it serves. The connection
// uses the queue from Open to Release, so tenants without connections need no memory. The
// writer's lock guards all fields.
type tenantQueue struct {
	w      *writer
	tenant string    // name
	users  int       // the number of connections that use the queue
	jobs   int       // messages of the tenant's rooms that the writer has not taken
	space  sync.Cond // of w.mu: signals that the writer has taken one of them
	listed bool      // in w.ready, or the writer is serving it

	backlogs fifo[*backlog] // of rooms with messages to send
	outboxes fifo[*Outbox]  // with waiting frames
	endings  []ending       // in order of arrival
	had      uint64         // the number of turns of backlogs so far
}

// ending is a connection that gets a farewell after the turn that delivers the earlier
// messages.
type ending struct {
	o        *Outbox
	farewell []byte
	turn     uint64
}

// queueOf returns the tenant's queue. The caller must call release later.
func (w *writer) queueOf(tenant string) *tenantQueue {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[tenant]
	if q == nil {
		q = &tenantQueue{w: w, tenant: tenant}
		q.space.L = &w.mu
		w.queues[tenant] = q
	}
	q.users++
	return q
}

// release undoes queueOf. Waiting frames are still sent.
func (q *tenantQueue) release() {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(q.w.queues, q.tenant)
	}
}

// list schedules a turn of q after the others. The caller holds the writer's lock; empty,
// due and take require it too.
func (q *tenantQueue) list() {
	if !q.listed {
		q.listed = true
		q.w.ready.push(q)
	}
}

func (q *tenantQueue) empty() bool {
	return q.backlogs.waiting() == 0 && q.outboxes.waiting() == 0 && len(q.endings) == 0
}

// due removes the endings that are due. If quiet is true, no room of the tenant has
// messages to send, and all endings are due.
func (q *tenantQueue) due(dst []ending, quiet bool) []ending {
	n := 0
	for n < len(q.endings) && (quiet || q.endings[n].turn <= q.had) {
		n++
	}
	dst = append(dst, q.endings[:n]...)
	rest := copy(q.endings, q.endings[n:])
	clear(q.endings[rest:])
	q.endings = q.endings[:rest]
	return dst
}

// turn is the work of a writer in one turn of a tenant: a slice of a room's members, the
// same number of outboxes, and the endings that are due. Only the writer uses it.
type turn struct {
	q        *tenantQueue
	s        *backlog // nil: no room has messages to send
	outboxes []*Outbox
	endings  []ending
}

// take begins the turn of q.
func (t *turn) take(q *tenantQueue) {
	t.q, t.s = q, q.backlogs.pop()
	if t.s != nil {
		q.had++
		if t.s.next == 0 {
			t.s.fill()
		}
	}
	t.outboxes, t.endings = t.outboxes[:0], q.due(t.endings[:0], t.s == nil)
	for len(t.outboxes) < slice && q.outboxes.waiting() > 0 {
		t.outboxes = append(t.outboxes, q.outboxes.pop())
	}
}

// write sends the messages of the turn.
func (t *turn) write(b *burst) {
	if t.s != nil {
		t.s.write(b)
		b.flush() // t.outboxes may contain members of the room
	}
	for i, o := range t.outboxes {
		o.flush(b)
		t.outboxes[i] = nil
	}
	b.flush()
	for i, e := range t.endings {
		e.o.End(e.farewell)
		t.endings[i] = ending{}
	}
}

// end schedules the next turns of the room and of the tenant if they have more work. more
// reports whether the room has.
func (t *turn) end() (more bool) {
	q, s := t.q, t.s
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if s != nil {
		if more = s.next > 0 || len(s.waiting) > 0; more {
			q.backlogs.push(s)
		}
		s.listed = more
	}
	if q.listed = false; !q.empty() {
		q.list()
	}
	return more
}
