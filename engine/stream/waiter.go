package stream

import "sync/atomic"

// Reading is how the streams of a server wait until they are readable.
type Reading int

const (
	// Polled uses one goroutine for all streams, with epoll. Streams with TLS, and all
	// streams on systems other than Linux, have a goroutine each nevertheless.
	Polled Reading = iota

	// Goroutines uses one goroutine for each stream.
	Goroutines
)

// waiter is the part of a stream that waits until it is readable.
type waiter struct {
	poller *Poller
	buffer []byte // of a stream with its own goroutine

	// Fields of a stream in an epoll instance.
	polled     bool
	fd         int32
	generation uint32
	waiting    atomic.Bool // wake has to be called, by the epoll instance or by Close
	wake       func()
}

// bufferBytes is the size of the first read of a request by a stream's own goroutine. It
// holds most requests and costs little memory for a silent connection.
const bufferBytes = 256

// WaitReadable returns at once. When the stream is readable, it calls wake once, on
// another goroutine. A stream is readable if there are bytes to read, the client has
// closed its side, or Close was called. The caller must not read before wake. The
// stream's Poller must run.
func (s *Stream) WaitReadable(wake func()) {
	w := &s.waiter
	switch {
	case len(s.ahead) > 0:
		w.poller.workers.run(wake)
	case !w.polled:
		go s.readAhead(wake)
	default:
		w.wake = wake
		w.waiting.Store(true)
		if err := w.poller.epoll.arm(s); err != nil || s.closing.Load() {
			w.poller.wake(w) // the next Read returns the error
		}
	}
}

// readAhead runs on a new goroutine. The stack of this goroutine stays small, because
// the workers call wake.
func (s *Stream) readAhead(wake func()) {
	w := &s.waiter
	if w.buffer == nil {
		w.buffer = make([]byte, bufferBytes)
	}
	n, _ := s.Read(w.buffer) // the next Read returns the error again
	s.ahead = w.buffer[:n]
	w.poller.workers.run(wake)
}

// end wakes a stream that waits in an epoll instance. A stream with its own goroutine
// is woken by its Read.
func (w *waiter) end() {
	if w.polled {
		w.poller.wake(w)
	}
}

// forget is called before the socket is closed.
func (w *waiter) forget() {
	if w.polled {
		w.poller.epoll.forget(w)
	}
}
