package listen

import (
	"container/list"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Pending bounds the connections that are open and are no clients: those whose handshake is
// incomplete, and those that request web pages. Such connections count for no limit of
// the engine, but each needs a file descriptor. When there are too many, a new one closes
// an old one.
//
// Its methods may be called concurrently. The zero value has no bound; a nil Pending does
// nothing.
type Pending struct {
	// Most returns the number of connections that may be pending now. It is called for each new
	// connection, without a lock. nil: no bound.
	Most func() int

	// Proxies are networks that open connections for many clients. No address of them is treated
	// as that of one client.
	Proxies []netip.Prefix

	closed atomic.Uint64

	mu      sync.Mutex
	all     list.List // of *pendingConn, the oldest first
	byConn  map[net.Conn]*pendingConn
	address map[netip.Prefix]*list.List // of *pendingConn, the oldest first
}

// pendingConn is a connection and its places in the lists.
type pendingConn struct {
	net.Conn
	from      netip.Prefix // the zero Prefix: a proxy
	inAll, in *list.Element
}

// shareOfAddress is the part of the pending connections that one address, or one /64 network
// of IPv6, can have before its own oldest connection is closed in place of the oldest of all.
const shareOfAddress = 4

// Add counts a connection until Remove. If there are too many, it closes another one. It does
// not read from c.
func (p *Pending) Add(c net.Conn) {
	if p == nil {
		return
	}
	most := -1
	if p.Most != nil {
		most = p.Most()
	}
	if old := p.add(c, most); old != nil {
		p.closed.Add(1)
		drop(old)
	}
}

// Remove stops counting a connection, which has become a client or was closed. It does nothing
// for other connections.
func (p *Pending) Remove(c net.Conn) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(p.byConn[c])
}

// Closed returns the number of connections that were closed because there were too many.
func (p *Pending) Closed() uint64 { return p.closed.Load() }

// add returns the connection that is to be closed, or nil.
func (p *Pending) add(c net.Conn, most int) (old net.Conn) {
	from := p.from(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byConn == nil {
		p.byConn, p.address = map[net.Conn]*pendingConn{}, map[netip.Prefix]*list.List{}
	}
	own := p.address[from]
	if most >= 0 && p.all.Len() >= most && p.all.Len() > 0 {
		first := p.all.Front()
		if from.IsValid() && own != nil && own.Len() > most/shareOfAddress {
			first = own.Front()
		}
		old = first.Value.(*pendingConn).Conn
		p.remove(first.Value.(*pendingConn))
	}
	if own = p.address[from]; own == nil {
		own = list.New()
		p.address[from] = own
	}
	n := &pendingConn{Conn: c, from: from}
	n.inAll, n.in = p.all.PushBack(n), own.PushBack(n)
	p.byConn[c] = n
	return old
}

// remove is called with mu held. A nil c does nothing.
func (p *Pending) remove(c *pendingConn) {
	if c == nil {
		return
	}
	delete(p.byConn, c.Conn)
	p.all.Remove(c.inAll)
	own := p.address[c.from]
	if own.Remove(c.in); own.Len() == 0 {
		delete(p.address, c.from)
	}
}

// from returns the address of a client, without waiting for a PROXY header; the zero Prefix if it
// is a proxy or unknown.
func (p *Pending) from(c net.Conn) netip.Prefix {
	peer, err := netip.ParseAddrPort(innermost(c).RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	a := peer.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(p.Proxies, func(n netip.Prefix) bool { return n.Contains(a) }) {
		return netip.Prefix{}
	}
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	prefix, _ := a.Prefix(bits) // a is valid, and has these bits
	return prefix
}

// innermost returns the connection under TLS and a PROXY header.
func innermost(c net.Conn) net.Conn {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = outer.NetConn()
	}
}

// drop closes a connection without an alert of TLS, for which it might wait. Its reader then
// fails.
func drop(c net.Conn) { _ = innermost(c).Close() }
