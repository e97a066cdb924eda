package bench

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// sender talks through a member's connection. In a closed loop a goroutine of
// its own does so, in an open loop the one of all senders.
type sender struct {
	*member
	index   int // among those of the run
	request []byte
	at      int // where in request the header's digits go
	sent    atomic.Int64

	// What the members of the room have settled: settled is the sum over the
	// listeners, the members that are still connected. A message is settled at a
	// member when it or one sent after it has arrived there.
	settled   atomic.Int64
	listeners atomic.Int64
	wanted    atomic.Int64 // that much is waited for
	woken     chan struct{}
}

// never is what a sender wants that does not wait.
const never = math.MaxInt64

func newSender(m *member, index int) *sender {
	s := &sender{member: m, index: index, woken: make(chan struct{}, 1)}
	s.request, s.at = template(m.room.name, m.run.id, m.run.o.Size)
	s.listeners.Store(int64(m.run.o.Members))
	s.wanted.Store(never)
	return s
}

// settle takes note of n messages that have arrived at a member.
func (s *sender) settle(n int) {
	if s.settled.Add(int64(n)) >= s.wanted.Load() {
		s.wake()
	}
}

func (s *sender) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // it is woken already
	}
}

// say sends the next message, whose latency begins at at.
func (s *sender) say(at time.Duration) error {
	seq := s.sent.Load()
	header{uint32(s.index), uint32(seq), at >= s.run.from, int64(at)}.put(s.request[s.at:])
	if err := s.write(opText, s.request); err != nil {
		return err
	}
	s.sent.Add(1)
	return nil
}

// await waits until no more than outstanding messages are on their way; false
// if ctx or the connection has ended before.
func (s *sender) await(ctx context.Context, outstanding int) bool {
	defer s.wanted.Store(never)
	for {
		listeners := s.listeners.Load()
		want := (s.sent.Load() - int64(outstanding)) * listeners
		s.wanted.Store(want)
		switch {
		case ctx.Err() != nil || s.ended.Load():
			return false
		case s.settled.Load() >= want:
			return true
		}
		select {
		case <-s.woken:
		case <-ctx.Done():
		}
	}
}

// closedLoop sends whenever the window has a place, until ctx, the connection or
// the run's messages end.
func (s *sender) closedLoop(ctx context.Context) {
	for s.await(ctx, s.run.o.Window-1) && s.run.allow() {
		if s.say(s.run.now()) != nil {
			return // listen knows why
		}
	}
}

// grain is how late a timer may be: so much is the client's own doing.
const grain = 2 * time.Millisecond

// openLoop sends for all senders by turns, each message when it is due. One that
// is sent later, because the server took no more, has waited since it was due:
// otherwise a server that stalls would be measured less often the longer it
// stalls.
func (r *run) openLoop(ctx context.Context) {
	begin := r.now()
	connected := slices.Clone(r.senders)
	for i := 0; len(connected) > 0; i++ {
		due := begin + time.Duration(float64(i)/r.o.Rate*float64(time.Second))
		pause(ctx, due-r.now())
		if ctx.Err() != nil || !r.allow() {
			return
		}
		at := r.now()
		if at-due > grain {
			at = due
		}
		if k := i % len(connected); connected[k].say(at) != nil { // listen knows why
			connected = slices.Delete(connected, k, k+1)
		}
	}
}
