package fanouttest

import (
	"sync"
	"sync/atomic"
	"syscall"
)

var lastID atomic.Int32

// Ring is a [fanout.Ring] that writes to sinks. The zero value has no sinks.
type Ring struct {
	mu    sync.Mutex
	sinks map[int32]*Sink
	sends int
}

// Add makes the ring write to s.
func (r *Ring) Add(s *Sink) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sinks == nil {
		r.sinks = map[int32]*Sink{}
	}
	s.id = lastID.Add(1)
	r.sinks[s.id] = s
}

// Send implements [fanout.Ring] with TryWrite of each sink.
func (r *Ring) Send(fds []int32, ps [][]byte, results []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sends++
	for i, fd := range fds {
		switch n, err := r.sinks[fd].TryWrite(ps[i]); {
		case err != nil:
			results[i] = -int32(syscall.EPIPE)
		case n == 0:
			results[i] = -int32(syscall.EAGAIN)
		default:
			results[i] = int32(n)
		}
	}
}

// Sends returns the number of calls of Send.
func (r *Ring) Sends() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sends
}

// Close does nothing.
func (r *Ring) Close() error { return nil }

// Hold implements [fanout.Socket]. A sink with TLS, or without a ring, has no descriptor.
func (s *Sink) Hold() (fd int32, ok bool) { return s.id, s.id > 0 && !s.TLS }

// Free implements [fanout.Socket].
func (s *Sink) Free() {}
