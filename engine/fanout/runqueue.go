package fanout

// fifo is a queue. Its memory is used again: what comes and goes all the time costs
// no allocation.
type fifo[T any] struct {
	list []T // list[next:] waits
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

// pop returns the first, the zero value if none waits.
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

// tenantQueue is what a writer has to do for one tenant. A writer's tenants take
// turns, and the rooms of a tenant take turns within its own: a tenant's thousand busy
// rooms delay another tenant's room by one turn.
//
// A writer has a queue for each tenant that it serves a connection of, which a
// connection holds from its begin to its end: other tenants cost nothing. All fields
// are under the writer's lock.
type tenantQueue struct {
	w      *writer
	tenant string // its name
	users  int    // connections
	listed bool   // in w.ready, or in the writer's hands

	backlogs fifo[*backlog] // of rooms that have a message to send
	outboxes fifo[*Outbox]  // that have something waiting
	endings  []ending       // in the order they came
	had      uint64         // turns that backlogs have had
}

// ending is a connection that is to be told farewell, after the turn that brings
// it what was said before.
type ending struct {
	o        *Outbox
	farewell []byte
	turn     uint64
}

// queueOf gives the tenant's queue, to be given back by release.
func (w *writer) queueOf(tenant string) *tenantQueue {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[tenant]
	if q == nil {
		q = &tenantQueue{w: w, tenant: tenant}
		w.queues[tenant] = q
	}
	q.users++
	return q
}

// release gives back what queueOf gave. Frames that still wait are written.
func (q *tenantQueue) release() {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(q.w.queues, q.tenant)
	}
}

// list gives q its turn, behind the others. The writer's lock is held, as it is for
// empty, due and work.take.
func (q *tenantQueue) list() {
	if !q.listed {
		q.listed = true
		q.w.ready.push(q)
	}
}

func (q *tenantQueue) empty() bool {
	return q.backlogs.waiting() == 0 && q.outboxes.waiting() == 0 && len(q.endings) == 0
}

// due takes the endings whose turn it is: all, when no room of the tenant has
// anything to send.
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

// turn is what a writer does for a tenant before the others get their turn: a slice
// of a room's members, as many outboxes, and the endings that are due then. It is
// the writer's own.
type turn struct {
	q        *tenantQueue
	s        *backlog // nil: no room has anything to send
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

// write sends what the turn is to send.
func (t *turn) write(scratch []byte) []byte {
	if t.s != nil {
		scratch = t.s.write(scratch)
	}
	for i, o := range t.outboxes {
		scratch = o.flush(scratch)
		t.outboxes[i] = nil
	}
	for i, e := range t.endings {
		e.o.End(e.farewell)
		t.endings[i] = ending{}
	}
	return scratch
}

// end gives the room and the tenant their next turns, behind the others, if they have
// anything left. more reports whether the room has.
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
