package api

import (
	"net"
	"net/netip"
	"sync"
)

// maxPerAddress is the limit of sockets of one address, or of one /64 network of IPv6, so that one client without a key
// cannot occupy all sockets.
const maxPerAddress = maxSockets / 4

// perAddress is a listener that closes connections beyond maxPerAddress of an address.
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
		_ = c.Close() // the client sees a closed connection
	}
}

func (p *perAddress) take(a netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[a] >= maxPerAddress {
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

// socket reduces the count of its address in perAddress when it is closed.
type socket struct {
	net.Conn
	give func()
}

// Close implements net.Conn. It may be called more than once.
func (s *socket) Close() error {
	s.give()
	return s.Conn.Close()
}
