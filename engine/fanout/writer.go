package fanout

import (
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Limits of a writer's work.
const (
	slice      = 64       // members that are served before other rooms have their turn
	batchBytes = 64 << 10 // of messages in one write
	maxBacklog = 256      // messages of one room that may wait at a writer; senders of the room then wait
	holdCount  = 64       // this number of waiting messages ends the wait for a room's flushDelay
)

// writer writes to a share of the node's connections. There is one writer for each
// processor: a fixed number of goroutines does all writing, and none of them waits for a
// socket. A writer serves tenants in turn, and the rooms of a tenant one slice of members
// at a time; see tenantQueue.
//
// Lock order: a writer's lock is taken last. No code outside of this package is called
// while it is held.
type writer struct {
	index   int            // in Writers.list
	spills  sync.WaitGroup // the goroutines of outboxes that are behind
	polling *polling       // called between two slices; nil: not called
	ring    Ring           // nil: each write is a system call

	mu     sync.Mutex
	wake   sync.Cond
	queues map[string]*tenantQueue
	ready  fifo[*tenantQueue] // queues with work
	held   []*backlog         // of rooms that wait for more messages, up to flushDelay
	closed bool
	ended  bool // run accepts no more work
}

func newWriter(index int) *writer {
	w := &writer{index: index, queues: map[string]*tenantQueue{}}
	w.wake.L = &w.mu
	return w
}

// backlog holds the messages of one room for the members that one writer serves.
type backlog struct {
	w     *writer
	space sync.Cond // of w.mu: signals space in waiting

	// Guarded by w.mu.
	waiting []job
	queue   *tenantQueue // of the connections of the last message's members
	listed  bool         // in queue.backlogs, or the writer is serving it
	held    bool         // in w.held
	delay   *time.Timer  // for flushDelay; nil: not used yet

	// Used by the writer only.
	batch []job
	joint *wire.Frame // all frames of the batch in one, if all members get the same frames
	next  int         // the first member that has not been served
}

// job is one message for the members that one writer serves. Its Which contains those
// members only.
type job struct {
	to    []*Receiver
	queue *tenantQueue // counts the job until the writer takes it
	Message
}

// hold counts the frames of the job in the memory of the tenant until release.
func (j *job) hold(a *account) {
	if j.Which == nil {
		a.hold(parcel{frame: j.Frame})
		return
	}
	for _, f := range j.Answers {
		if f != nil { // nil: no member gets it
			a.hold(parcel{frame: f})
		}
	}
}

func (j *job) release(a *account) {
	if j.Which == nil {
		a.release(parcel{frame: j.Frame})
		return
	}
	for _, f := range j.Answers {
		if f != nil {
			a.release(parcel{frame: f})
		}
	}
}

// flushSoon makes the writer send the waiting frames of o.
func (q *tenantQueue) flushSoon(o *Outbox) {
	q.w.mu.Lock()
	ended := q.w.ended
	if !ended {
		q.outboxes.push(o)
		q.list()
	}
	q.w.mu.Unlock()
	q.wakeOrAbandon(o, ended)
}

// wakeOrAbandon wakes the writer for o. If the writer has ended, it closes the sink of o
// instead.
func (q *tenantQueue) wakeOrAbandon(o *Outbox, ended bool) {
	if ended {
		o.mu.Lock()
		o.abandon()
		return
	}
	q.w.wake.Signal()
}

// endSoon ends o after the tenant's rooms that have messages to send have had their turn.
func (q *tenantQueue) endSoon(o *Outbox, farewell []byte) {
	q.w.mu.Lock()
	ended := q.w.ended
	if !ended {
		q.w.letGo(q) // o may be a member of each of the rooms
		q.endings = append(q.endings, ending{o, farewell, q.had + uint64(q.backlogs.waiting()) + 1})
		q.list()
	}
	q.w.mu.Unlock()
	q.wakeOrAbandon(o, ended)
}

// post adds a message of the room. It waits while the backlog is full, or while messages of
// the tenant wait and use too much memory. The wait delays senders of this room or tenant only.
func (s *backlog) post(j job) {
	w, o := s.w, j.to[0].Outbox
	j.queue = o.queue
	w.mu.Lock()
	for !w.closed {
		if len(s.waiting) >= maxBacklog {
			s.space.Wait()
		} else if j.queue.jobs > 0 && o.account.over() {
			j.queue.space.Wait()
		} else {
			break
		}
	}
	j.queue.jobs++
	j.hold(o.account)
	s.waiting = append(s.waiting, j)
	if !s.listed {
		s.queue = j.to[0].Outbox.queue
		if j.Delay > 0 && len(s.waiting) < holdCount && !w.closed {
			s.hold(j.Delay)
			w.mu.Unlock()
			return
		}
		s.list()
	}
	w.mu.Unlock()
	w.wake.Signal()
}

// list schedules a turn of s. The caller holds w.mu, also for hold and letGo.
func (s *backlog) list() {
	if s.held {
		s.held = false
		s.delay.Stop()
		s.w.held = slices.DeleteFunc(s.w.held, func(h *backlog) bool { return h == s })
	}
	s.listed = true
	s.queue.backlogs.push(s)
	s.queue.list()
}

// hold makes s wait for more messages. The delay of the first message applies.
func (s *backlog) hold(delay time.Duration) {
	if s.held {
		return
	}
	s.held = true
	s.w.held = append(s.w.held, s)
	if s.delay != nil {
		s.delay.Reset(delay)
		return
	}
	s.delay = time.AfterFunc(delay, func() {
		s.w.mu.Lock()
		if s.held {
			s.list()
		}
		s.w.mu.Unlock()
		s.w.wake.Signal()
	})
}

// letGo ends the wait of a tenant's rooms for more messages. A nil tenant means all
// tenants.
func (w *writer) letGo(of *tenantQueue) {
	for i := 0; i < len(w.held); {
		if s := w.held[i]; of == nil || s.queue == of {
			s.list() // removes it from held
		} else {
			i++
		}
	}
}

// run writes until close is called and no work is left.
func (w *writer) run() {
	var t turn
	b := burst{ring: w.ring}
	for w.next(&t) {
		t.write(&b)
		if t.end() {
			w.polling.do()
		}
	}
	w.spills.Wait()
	if w.ring != nil {
		w.ring.Close()
	}
}

// next waits for the next turn. It returns false when the writer is closed and has no work
// left.
func (w *writer) next(t *turn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.ready.waiting() == 0 {
		if w.closed {
			w.ended = true
			return false
		}
		w.wake.Wait()
	}
	t.take(w.ready.pop())
	return true
}

// close makes run return after the writer has written everything.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.letGo(nil)
	for _, q := range w.queues {
		q.space.Broadcast()
	}
	w.mu.Unlock()
	w.wake.Broadcast()
}

// fill moves messages to the batch of one write: messages for the same members, up to
// batchBytes. The caller holds w.mu.
func (s *backlog) fill() {
	n, size := 0, 0
	for _, j := range s.waiting {
		if n > 0 && (size+j.Size > batchBytes || !sameMembers(j.to, s.waiting[0].to)) {
			break
		}
		n++
		size += j.Size
		j.queue.jobs--
		j.queue.space.Signal()
	}
	s.batch = append(s.batch[:0], s.waiting[:n]...)
	rest := copy(s.waiting, s.waiting[n:])
	clear(s.waiting[rest:])
	s.waiting = s.waiting[:rest]
	s.space.Broadcast()
}

func sameMembers(a, b []*Receiver) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// write sends the batch to the next slice of its members.
func (s *backlog) write(b *burst) {
	to := s.batch[0].to
	end := min(s.next+slice, len(to))
	if s.next == 0 {
		s.joint = commonFrame(s.batch)
	}
	for i := s.next; i < end; i++ {
		o := to[i].Outbox
		if to[i].Gate.state.Load() != open {
			s.writeApart(to[i], i, b)
			continue
		}
		if s.joint != nil {
			o.put(s.joint, b)
			continue
		}
		for k := range s.batch {
			if f := s.batch[k].frameFor(i); f != nil {
				o.append(f)
			}
		}
		o.flush(b)
	}
	s.next = end
	if end == len(to) {
		s.next = 0
		s.joint = nil
		for i := range s.batch {
			s.batch[i].release(s.batch[i].to[0].Outbox.account)
		}
		clear(s.batch)
	}
}

// writeApart sends the batch to member i, whose gate is not open.
func (s *backlog) writeApart(r *Receiver, i int, b *burst) {
	if r.Gate.state.Load() == closed {
		return
	}
	for k := range s.batch {
		if f := s.batch[k].frameFor(i); f != nil && r.takes(f, s.batch[k].At) {
			r.Outbox.append(f)
		}
	}
	r.Outbox.flush(b)
}

// commonFrame returns one frame for all members; nil if members get different frames.
func commonFrame(batch []job) *wire.Frame {
	if len(batch) == 1 {
		if batch[0].Which == nil {
			return batch[0].Frame
		}
		return nil
	}
	frames := make([]*wire.Frame, len(batch))
	for i := range batch {
		if batch[i].Which != nil {
			return nil
		}
		frames[i] = batch[i].Frame
	}
	return wire.Join(frames)
}

// busy reports whether messages of the room wait or are being written.
func (s *backlog) busy() bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.listed
}
