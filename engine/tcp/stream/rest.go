package stream

import "sync/atomic"

// Reading is how the streams of a server wait for what their clients say.
type Reading int

const (
	// Polled has one goroutine wait for all of them: with epoll, on Linux. TLS,
	// and other systems, have a goroutine for each.
	Polled Reading = iota

	// Goroutines has a goroutine wait for each.
	Goroutines
)

// rest is how a stream waits for its client.
type rest struct {
	poller     *Poller // nil: in a goroutine of its own
	fd         int32   // in the poller, with its generation
	generation uint32
	waiting    atomic.Bool // the poller, or Close, is to call wake
	wake       func()
	first      []byte // where a goroutine of its own reads to
}

// firstBytes is how much of a request is read at once by a goroutine that waits:
// more than most of them have, and little enough for a connection that is silent.
const firstBytes = 256

// Rest gives the stream out of its reader's hands until there is something to
// read, the client has gone, or Close was called: wake is then called, once, on a
// goroutine of its own, and reads. The caller's goroutine should end: whatever
// it has on its stack would be paid for by every silent connection.
func (s *Stream) Rest(wake func()) {
	switch {
	case len(s.ahead) > 0:
		go wake()
	case s.rest.poller != nil:
		s.rest.wake = wake
		s.rest.waiting.Store(true)
		if err := s.rest.poller.arm(s); err != nil || s.closing.Load() {
			s.rest.wakeUp()
		}
	default:
		go s.await(wake)
	}
}

// await is where a silent connection waits. Its goroutine is a fresh one, with
// the smallest of stacks.
func (s *Stream) await(wake func()) {
	if s.rest.first == nil {
		s.rest.first = make([]byte, firstBytes)
	}
	n, _ := s.Read(s.rest.first) // of an error the reader hears when it reads on
	s.ahead = s.rest.first[:n]
	wake()
}

// wakeUp ends the wait in a poller.
func (r *rest) wakeUp() {
	if r.waiting.CompareAndSwap(true, false) {
		go r.wake()
	}
}

func (r *rest) forget() {
	if r.poller != nil {
		r.poller.forget(r)
	}
}
