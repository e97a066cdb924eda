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

// eventually fails the test if cond does not become true within 30 s.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if err := redistest.Await(what, cond); err != nil {
		t.Fatal(err)
	}
}

// link is a node's network to Redis. A test can disturb it.
type link struct {
	mu    sync.Mutex
	cut   bool
	deaf  bool
	blind string        // address of a server that cannot be reached
	delay time.Duration // delay of each read
	still chan struct{} // closed by mend; nil: bytes pass
	conns map[net.Conn]struct{}
}

var errCut = errors.New("the link is cut")

func (w *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	cut := w.cut || address == w.blind
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
	if w.cut || address == w.blind {
		c.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	if w.conns == nil {
		w.conns = map[net.Conn]struct{}{}
	}
	w.conns[c] = struct{}{}
	return &linkConn{c, w}, nil
}

// linkConn is a connection of a link.
type linkConn struct {
	net.Conn
	w *link
}

// Read fails while answers are lost, as soon as there is an answer: the command was carried out.
func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.mu.Lock()
	deaf, delay := c.w.deaf, c.w.delay
	c.w.mu.Unlock()
	c.w.pass()
	if delay > 0 {
		time.Sleep(delay) // the delay is the purpose of slow
	}
	if deaf {
		return 0, errCut
	}
	return n, err
}

func (c *linkConn) Write(b []byte) (int, error) {
	c.w.pass()
	return c.Conn.Write(b)
}

// pass waits while the link is frozen.
func (w *link) pass() {
	w.mu.Lock()
	still := w.still
	w.mu.Unlock()
	if still != nil {
		<-still
	}
}

// dropAnswers loses all answers until mend.
func (w *link) dropAnswers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = true
}

func (c *linkConn) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c.Conn)
	c.w.mu.Unlock()
	if err := c.Conn.Close(); !errors.Is(err, net.ErrClosed) { // closed by disconnect
		return err
	}
	return nil
}

// disconnect closes all connections and refuses others until mend.
func (w *link) disconnect() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for c := range w.conns {
		c.Close()
	}
}

func (w *link) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.deaf, w.blind, w.delay = false, false, "", 0
	if w.still != nil {
		close(w.still)
		w.still = nil
	}
}
