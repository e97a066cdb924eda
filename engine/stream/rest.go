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
	poller *Poller
	first  []byte // where a goroutine of its own reads to

	// In an epoll.
	polled     bool
	fd         int32
	generation uint32
	waiting    atomic.Bool // the epoll, or Close, is to have wake called
	wake       func()
}

// firstBytes is how much of a request is read at once by a goroutine that waits:
// more than most of them have, and little enough for a connection that is silent.
const firstBytes = 256

// Rest takes the stream out of its reader's hands until there is something to
// read, the client has gone, or Close was called: then wake is called, once, on
// another goroutine, and reads. The stream's Poller must run.
func (s *Stream) Rest(wake func()) {
	r := &s.rest
	switch {
	case len(s.ahead) > 0:
		r.poller.crew.do(wake)
	case !r.polled:
		go s.await(wake)
	default:
		r.wake = wake
		r.waiting.Store(true)
		if err := r.poller.epoll.arm(s); err != nil || s.closing.Load() {
			r.poller.wake(r) // who reads will hear of it
		}
	}
}

// await is where a silent connection waits. Its goroutine is a fresh one, with
// the smallest of stacks, and stays so: others do what comes next.
func (s *Stream) await(wake func()) {
	r := &s.rest
	if r.first == nil {
		r.first = make([]byte, firstBytes)
	}
	n, _ := s.Read(r.first) // who reads on will hear of an error
	s.ahead = r.first[:n]
	r.poller.crew.do(wake)
}

// end wakes the stream, if a goroutine in Read does not do it.
func (r *rest) end() {
	if r.polled {
		r.poller.wake(r)
	}
}

// forget is called before the socket is closed.
func (r *rest) forget() {
	if r.polled {
		r.poller.epoll.forget(r)
	}
}
