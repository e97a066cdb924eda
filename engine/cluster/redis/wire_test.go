package redis

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// eventually fails the test if cond does not come to hold within 30 s.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if err := redistest.Await(what, cond); err != nil {
		t.Fatal(err)
	}
}

// wire is a node's way to Redis, which a test can cut.
type wire struct {
	mu    sync.Mutex
	cut   bool
	deaf  bool
	delay time.Duration // of all that is read
	still chan struct{} // closed by mend; nil: bytes pass
	conns map[net.Conn]struct{}
}

var errCut = errors.New("the wire is cut")

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	cut := w.cut
	w.mu.Unlock()
	if cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		c.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	if w.conns == nil {
		w.conns = map[net.Conn]struct{}{}
	}
	w.conns[c] = struct{}{}
	return &wired{c, w}, nil
}

// wired is a connection that the wire forgets when it is closed.
type wired struct {
	net.Conn
	w *wire
}

// Read fails of who is deaf, once there is something to read: what was asked has been
// done.
func (c *wired) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.mu.Lock()
	deaf, delay := c.w.deaf, c.w.delay
	c.w.mu.Unlock()
	c.w.pass()
	if delay > 0 {
		time.Sleep(delay) // it is what the wire is for
	}
	if deaf {
		return 0, errCut
	}
	return n, err
}

func (c *wired) Write(b []byte) (int, error) {
	c.w.pass()
	return c.Conn.Write(b)
}

// pass waits while the wire is frozen.
func (w *wire) pass() {
	w.mu.Lock()
	still := w.still
	w.mu.Unlock()
	if still != nil {
		<-still
	}
}

// freeze holds all bytes back until mend, as a process does that is stopped.
func (w *wire) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = make(chan struct{})
}

// slow delays what is read until mend.
func (w *wire) slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}

// deafen has answers lost, until mend.
func (w *wire) deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = true
}

func (c *wired) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c.Conn)
	c.w.mu.Unlock()
	if err := c.Conn.Close(); !errors.Is(err, net.ErrClosed) { // by sever
		return err
	}
	return nil
}

// sever closes all connections and allows no more.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for c := range w.conns {
		c.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.deaf, w.delay = false, false, 0
	if w.still != nil {
		close(w.still)
		w.still = nil
	}
}
