// Package fanouttest provides a socket for tests of code that writes to sockets.
package fanouttest

import (
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Sink is a [fanout.Sink] whose socket buffer the test controls.
type Sink struct {
	Dialect wire.Dialect
	TLS     bool // TryWrite writes nothing, like a TLS connection's

	id     int32 // of a Ring
	hungUp atomic.Bool

	mu       sync.Mutex
	full     bool // only room bytes are accepted
	room     int
	broken   error
	sent     []byte
	tries    int // calls of TryWrite
	waits    int // calls of Write
	closes   int
	writing  bool
	overlaps int // writes that began while another one was running
	deadline time.Time
	onWrite  func(p []byte)
	changed  chan struct{} // closed and replaced at every change
	closed   chan struct{}
}

// NewSink returns a sink that accepts all bytes.
func NewSink(d wire.Dialect) *Sink {
	return &Sink{Dialect: d, changed: make(chan struct{}), closed: make(chan struct{})}
}

func (s *Sink) TryWrite(p []byte) (int, error) {
	s.begin()
	defer s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	switch {
	case s.closes > 0:
		return 0, net.ErrClosed
	case s.broken != nil:
		return 0, s.broken
	case s.expired():
		return 0, os.ErrDeadlineExceeded
	case s.TLS:
		return 0, nil
	}
	return s.take(p), nil
}

func (s *Sink) Write(p []byte) (n int, err error) {
	s.begin()
	defer s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits++
	for {
		n += s.take(p[n:])
		switch {
		case n == len(p):
			return n, nil
		case s.closes > 0:
			return n, net.ErrClosed
		case s.expired():
			return n, os.ErrDeadlineExceeded
		}
		s.await()
	}
}

func (s *Sink) take(p []byte) int {
	if s.onWrite != nil {
		s.onWrite(p)
	}
	n := len(p)
	if s.full {
		n = min(n, s.room)
		s.room -= n
	}
	s.sent = append(s.sent, p[:n]...)
	s.signal()
	return n
}

func (s *Sink) expired() bool { return !s.deadline.IsZero() && !time.Now().Before(s.deadline) }

// await releases mu until the sink has changed or the deadline has passed.
func (s *Sink) await() {
	changed := s.changed
	var late <-chan time.Time
	if !s.deadline.IsZero() {
		timer := time.NewTimer(time.Until(s.deadline))
		defer timer.Stop()
		late = timer.C
	}
	s.mu.Unlock()
	select {
	case <-changed:
	case <-late:
	}
	s.mu.Lock()
}

func (s *Sink) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		s.overlaps++
	}
	s.writing = true
}

func (s *Sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}

// change runs f and wakes waiting writes.
func (s *Sink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.signal()
}

// signal closes and replaces changed. The caller holds mu.
func (s *Sink) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next write or other change of the sink.
func (s *Sink) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Sink) SetWriteDeadline(t time.Time) error {
	s.change(func() { s.deadline = t })
	return nil
}

// Room makes the sink accept n more bytes and then no more.
func (s *Sink) Room(n int) { s.change(func() { s.full, s.room = true, n }) }

// Drain makes the sink accept all bytes.
func (s *Sink) Drain() { s.change(func() { s.full = false }) }

// Break makes later calls of TryWrite fail with err.
func (s *Sink) Break(err error) { s.change(func() { s.broken = err }) }

// OnWrite makes the sink call f with each slice that is written, without copying it.
func (s *Sink) OnWrite(f func(p []byte)) { s.change(func() { s.onWrite = f }) }

func (s *Sink) Bytes(f *wire.Frame) []byte {
	if s.Dialect == wire.Socket {
		return f.Line()
	}
	return f.WebSocket()
}

// HangUp makes HungUp return true, as after a client has closed its side of the connection.
func (s *Sink) HangUp() { s.hungUp.Store(true) }

// HungUp reports whether HangUp was called.
func (s *Sink) HungUp() bool { return s.hungUp.Load() }

func (s *Sink) Close() error {
	s.change(func() {
		if s.closes++; s.closes == 1 {
			close(s.closed)
		}
	})
	return nil
}

// Closed returns a channel that is closed when the sink is closed.
func (s *Sink) Closed() <-chan struct{} { return s.closed }

// Counts returns the numbers of calls of TryWrite, Write and Close.
func (s *Sink) Counts() (tries, waits, closes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries, s.waits, s.closes
}

// Overlaps returns the number of writes that began while another one was running. An outbox
// never does this.
func (s *Sink) Overlaps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlaps
}

// Sent returns the complete messages that have been written. rest is the beginning of a
// message that has been written in part.
func (s *Sink) Sent() (messages []string, rest string) {
	s.mu.Lock()
	b := string(s.sent)
	s.mu.Unlock()
	for {
		head, size := 0, strings.Index(b, "\r\n")
		after := size + 2
		if s.Dialect == wire.WebSocket {
			head, size = frameSize(b)
			after = head + size
		}
		if size < 0 || after > len(b) {
			return messages, b
		}
		messages = append(messages, b[head:head+size])
		b = b[after:]
	}
}

// frameSize reads the header of a WebSocket frame. size is -1 if the header is incomplete.
func frameSize(b string) (head, size int) {
	switch {
	case len(b) < 2:
		return 0, -1
	case b[1] < 126:
		return 2, int(b[1])
	case b[1] == 126 && len(b) >= 4:
		return 4, int(b[2])<<8 | int(b[3])
	case b[1] == 127 && len(b) >= 10:
		size := 0
		for _, c := range []byte(b[2:10]) {
			size = size<<8 | int(c)
		}
		return 10, size
	}
	return 0, -1
}
