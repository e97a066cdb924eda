package bench

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// sender sends messages on the connection of a member. In a closed loop each sender has its own goroutine; in an open loop
// all senders share one.
type sender struct {
	*member
	index   int // in the run
	request []byte
	at      int // offset of the header in request
	sent    atomic.Int64

	// A message is settled at a member when the message, or a later one, has arrived there. settled is the sum over
	// the listeners, which are the members that are still connected.
	settled   atomic.Int64
	listeners atomic.Int64
	wanted    atomic.Int64 // the value of settled that await waits for
	woken     chan struct{}
}

// never is the value of wanted while await is not running.
const never = math.MaxInt64

func newSender(m *member, index int) *sender {
	s := &sender{member: m, index: index, woken: make(chan struct{}, 1)}
	s.request, s.at = template(m.room.name, m.run.id, m.run.o.Size)
	s.listeners.Store(int64(m.run.o.Members))
	s.wanted.Store(never)
	return s
}

// settle counts n further messages that are settled at a member.
func (s *sender) settle(n int) {
	if s.settled.Add(int64(n)) >= s.wanted.Load() {
		s.wake()
	}
}

func (s *sender) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// say sends the next message. Its latency counts from at.
func (s *sender) say(at time.Duration) error {
	seq := s.sent.Load()
	header{uint32(s.index), uint32(seq), at >= s.run.from, int64(at)}.put(s.request[s.at:])
	if err := s.write(opText, s.request); err != nil {
		return err
	}
	s.sent.Add(1)
	return nil
}

// await waits until at most outstanding messages are in flight. It returns false if ctx or the connection has ended.
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

// closedLoop sends a message whenever the window is not full. It ends with ctx, the connection or the budget.
func (s *sender) closedLoop(ctx context.Context) {
	for s.await(ctx, s.run.o.Window-1) && s.run.allow() {
		if s.say(s.run.now()) != nil {
			return // listen reports the reason
		}
	}
}

// grain is the longest delay of a timer. The timer of the client causes shorter delays, not the server.
const grain = 2 * time.Millisecond

// openLoop sends for all senders in turn, each message when it is due. If the server does not read and a message is sent
// late, its latency counts from the time when it was due. Otherwise there would be fewer measurements of a server while it
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
		if k := i % len(connected); connected[k].say(at) != nil { // listen reports the reason
			connected = slices.Delete(connected, k, k+1)
		}
	}
}
