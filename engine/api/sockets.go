package api

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// maxPerAddress is the limit of sockets of one address, or of one /64 network of IPv6.
const maxPerAddress = maxSockets / 4

// limited is a listener with at most maxSockets open connections, and maxPerAddress of an address. A new connection at a
// limit closes another one: of those without a key, or else of those with a tenant's key, the oldest of the
// address that has the most. So a client with a key is served whatever others have opened. Connections with a key of all tenants are not
// closed: if all are of that kind, the new one is.
type limited struct {
	net.Listener

	mu    sync.Mutex
	open  map[netip.Prefix][]*socket // in the order of their start
	count int
}

// socket is an accepted connection.
type socket struct {
	net.Conn
	of      *limited
	address netip.Prefix
	rank    atomic.Int32
}

// The ranks of a socket: the most powerful key that it has sent.
const (
	noKey int32 = iota
	tenantsKey
	adminsKey
)

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		s := &socket{Conn: c, of: l, address: prefixOf(c.RemoteAddr().String())}
		closed, ok := l.admit(s)
		if closed != nil {
			closed.drop()
		}
		if ok {
			return s, nil
		}
		s.drop()
	}
}

// admit counts a socket, in the place of another one if a limit is reached. The caller closes the other one.
func (l *limited) admit(s *socket) (closed *socket, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[netip.Prefix][]*socket{}
	}
	if own := l.open[s.address]; len(own) >= maxPerAddress {
		closed = least(own)
	} else if l.count >= maxSockets {
		closed = l.leastOfAll()
	} else {
		ok = true
	}
	if closed != nil {
		l.remove(closed)
	} else if !ok {
		return nil, false
	}
	l.open[s.address] = append(l.open[s.address], s)
	l.count++
	return closed, true
}

// least returns the oldest socket of the lowest rank below adminsKey; nil if there is none.
func least(list []*socket) *socket {
	for rank := noKey; rank < adminsKey; rank++ {
		if i := slices.IndexFunc(list, func(s *socket) bool { return s.rank.Load() == rank }); i >= 0 {
			return list[i]
		}
	}
	return nil
}

// leastOfAll is least, of the address with the most sockets of that rank. The lock is held.
func (l *limited) leastOfAll() (found *socket) {
	most := 0
	for _, list := range l.open {
		first := least(list)
		if first == nil || found != nil && first.rank.Load() > found.rank.Load() {
			continue
		}
		n := 0
		for _, s := range list {
			if s.rank.Load() == first.rank.Load() {
				n++
			}
		}
		if n > most || found != nil && first.rank.Load() < found.rank.Load() {
			found, most = first, n
		}
	}
	return found
}

// remove stops counting a socket. A second call does nothing. The lock is held.
func (l *limited) remove(s *socket) {
	list := l.open[s.address]
	i := slices.Index(list, s)
	if i < 0 {
		return
	}
	l.count--
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(l.open, s.address)
	} else {
		l.open[s.address] = list
	}
}

// drop closes the connection without an alert of TLS, for which it might wait.
func (s *socket) drop() {
	c := s.Conn
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	_ = c.Close() // the client sees a closed connection
}

// Close implements net.Conn. It may be called more than once.
func (s *socket) Close() error {
	s.of.mu.Lock()
	s.of.remove(s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}

type socketKey struct{}

// onSocket gives the requests of a connection their socket.
func onSocket(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, socketKey{}, c)
}

// markSocket raises the rank of the socket of a request with a key.
func markSocket(ctx context.Context, k *key) {
	s, ok := ctx.Value(socketKey{}).(*socket)
	if !ok {
		return
	}
	rank := tenantsKey
	if k.ofAll() {
		rank = adminsKey
	}
	if s.rank.Load() < rank {
		s.rank.Store(rank)
	}
}
