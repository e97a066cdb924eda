package redistest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy before a server. Its methods disturb the connections and may be called
// concurrently.
type Proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond
	silent  bool          // bytes wait, connections stay open
	delay   time.Duration // delay of bytes in each direction
	closed  bool
	conns   map[net.Conn]struct{}
}

// StartProxy runs a proxy to a server until the test ends.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.changed.L = &p.mu
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Address returns the address on which the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Silence holds all bytes back until Mend. Connections stay open, and new ones can be made.
func (p *Proxy) Silence() { p.change(func() { p.silent = true }) }

// Slow delays all bytes, in both directions, until Mend.
func (p *Proxy) Slow(by time.Duration) { p.change(func() { p.delay = by }) }

// Mend ends Silence and Slow, and passes the bytes that were held back.
func (p *Proxy) Mend() { p.change(func() { p.silent, p.delay = false, 0 }) }

// Sever closes all connections. New ones can be made.
func (p *Proxy) Sever() {
	p.change(func() {
		for c := range p.conns {
			_ = c.Close()
		}
	})
}

func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
}

func (p *Proxy) close() {
	p.change(func() { p.closed = true })
	_ = p.listener.Close()
	p.Sever()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // the listener is closed
		}
		p.work.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	if !p.keep(client, server) {
		return
	}
	p.work.Go(func() { p.pass(server, client) })
	p.pass(client, server)
}

// keep registers connections. If the proxy is closed it closes them and reports false.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			_ = c.Close()
		} else {
			p.conns[c] = struct{}{}
		}
	}
	return !p.closed
}

// pass copies bytes in one direction until either connection ends, and closes both.
func (p *Proxy) pass(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.wait() {
			_, err2 := to.Write(buf[:n])
			if err == nil {
				err = err2
			}
		}
		if err == io.EOF || err != nil {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		delete(p.conns, c)
		_ = c.Close()
	}
}

// wait waits until bytes may pass. It reports false if the proxy is closed.
func (p *Proxy) wait() bool {
	p.mu.Lock()
	for p.silent && !p.closed {
		p.changed.Wait()
	}
	delay, closed := p.delay, p.closed
	p.mu.Unlock()
	if delay > 0 && !closed {
		time.Sleep(delay) // the delay is the purpose of Slow
	}
	return !closed
}
