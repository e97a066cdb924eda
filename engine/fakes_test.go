package engine

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// FakeSink is a socket whose kernel buffer the test controls.
type FakeSink struct {
	Dialect wire.Dialect
	TLS     bool // it cannot try: TryWrite takes nothing

	hungUp atomic.Bool

	mu       sync.Mutex
	full     bool // Room bytes are taken, and no more
	room     int
	broken   error
	sent     []byte
	tries    int // TryWrite calls
	waits    int // Write calls
	closes   int
	writing  bool
	overlaps int // writes that ran at once
	deadline time.Time
	onWrite  func(p []byte)
	changed  chan struct{} // closed, and replaced, at every change
	closed   chan struct{}
}

func NewFakeSink(d wire.Dialect) *FakeSink {
	return &FakeSink{Dialect: d, changed: make(chan struct{}), closed: make(chan struct{})}
}

func (s *FakeSink) TryWrite(p []byte) (int, error) {
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

func (s *FakeSink) Write(p []byte) (n int, err error) {
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

func (s *FakeSink) take(p []byte) int {
	if s.onWrite != nil {
		s.onWrite(p)
	}
	n := len(p)
	if s.full {
		n = min(n, s.room)
		s.room -= n
	}
	s.sent = append(s.sent, p[:n]...)
	return n
}

func (s *FakeSink) expired() bool { return !s.deadline.IsZero() && !time.Now().Before(s.deadline) }

// await lets go of mu until something has changed or the deadline has passed.
func (s *FakeSink) await() {
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

func (s *FakeSink) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		s.overlaps++
	}
	s.writing = true
}

func (s *FakeSink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}

// change does something to the sink that a waiting write must see.
func (s *FakeSink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *FakeSink) SetWriteDeadline(t time.Time) error {
	s.change(func() { s.deadline = t })
	return nil
}

// Room lets n more bytes in, and no more after them.
func (s *FakeSink) Room(n int) { s.change(func() { s.full, s.room = true, n }) }

// Drain lets everything in.
func (s *FakeSink) Drain() { s.change(func() { s.full = false }) }

// Break fails what is tried from now on.
func (s *FakeSink) Break(err error) { s.change(func() { s.broken = err }) }

// OnWrite has f see what is written, as it is given: the slice itself.
func (s *FakeSink) OnWrite(f func(p []byte)) { s.change(func() { s.onWrite = f }) }

func (s *FakeSink) Bytes(f *wire.Frame) []byte {
	if s.Dialect == wire.Socket {
		return f.Line()
	}
	return f.WebSocket()
}

// Farewell is "bye REASON", framed.
// HangUp is what a client does that goes while nobody reads what it says.
func (s *FakeSink) HangUp() { s.hungUp.Store(true) }

// HungUp is HangUpSink's.
func (s *FakeSink) HungUp() bool { return s.hungUp.Load() }

func (s *FakeSink) Farewell(c Close) []byte {
	if c == (Close{}) {
		return nil
	}
	return s.Bytes(wire.FrameOf([]byte("bye " + c.Error())))
}

func (s *FakeSink) Close() error {
	s.change(func() {
		if s.closes++; s.closes == 1 {
			close(s.closed)
		}
	})
	return nil
}

// Closed is closed when the sink is.
func (s *FakeSink) Closed() <-chan struct{} { return s.closed }

// Counts are how often TryWrite, Write and Close were called.
func (s *FakeSink) Counts() (tries, waits, closes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries, s.waits, s.closes
}

// Overlaps is how often two writes ran at once: a broken promise.
func (s *FakeSink) Overlaps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlaps
}

// Sent are the whole messages that have been written; the rest is what has been
// written of another one.
func (s *FakeSink) Sent() (messages []string, rest string) {
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

// frameSize reads the header of a WebSocket frame; size is -1 if there is none.
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

// FakeMiddleware answers by its functions; a hook without one allows. Set them
// before the engine runs.
type FakeMiddleware struct {
	Hooks    map[hook.Hook]func(ctx context.Context, ev *hook.Event) hook.Verdict
	Say      func(ev *hook.Event, members []hook.Member) hook.Delivery
	Declared map[string]hook.ActionSpec
}

func (m *FakeMiddleware) Asks(h hook.Hook, _, _ string) bool {
	return m.Hooks[h] != nil || h == hook.Say && m.Say != nil
}

func (m *FakeMiddleware) Decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	return m.Hooks[ev.Hook](ctx, ev)
}

func (m *FakeMiddleware) Deliver(_ context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	return m.Say(ev, members)
}

func (m *FakeMiddleware) Actions(string) map[string]hook.ActionSpec { return m.Declared }
