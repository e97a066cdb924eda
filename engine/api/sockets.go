package api

import (
	"net"
	"net/netip"
	"sync"
)

// mostOfAddress is how many of the port's sockets an address, or a network of IPv6, may
// have: one that opens them and asks for nothing leaves the others their part. No key is
// needed for that.
const mostOfAddress = mostSockets / 4

// perAddress is a listener that closes connections of an address that has mostOfAddress.
type perAddress struct {
	net.Listener

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// Accept implements net.Listener.
func (p *perAddress) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		a := prefixOf(c.RemoteAddr().String())
		if p.take(a) {
			return &socket{c, sync.OnceFunc(func() { p.give(a) })}, nil
		}
		_ = c.Close() // the client sees it
	}
}

func (p *perAddress) take(a netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[a] >= mostOfAddress {
		return false
	}
	if p.open == nil {
		p.open = map[netip.Prefix]int{}
	}
	p.open[a]++
	return true
}

func (p *perAddress) give(a netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[a]--; p.open[a] == 0 {
		delete(p.open, a)
	}
}

// socket gives back its place when it is closed.
type socket struct {
	net.Conn
	give func()
}

// Close implements net.Conn. It may be called again.
func (s *socket) Close() error {
	s.give()
	return s.Conn.Close()
}
