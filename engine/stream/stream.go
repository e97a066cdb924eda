// Package stream is the socket under a connection, TCP or TLS: writes that never
// wait, silence that costs little, and an end that does not destroy what was
// written last.
package stream

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// linger is how long the client may take to read the last bytes and close its
// side.
const linger = time.Second

// Stream is a socket with the methods that an engine.Sink has of it. One
// goroutine at a time reads, and calls End when all has been read; one at a time
// writes; Close and Heard may be called from any.
type Stream struct {
	net.Conn          // TCP or TLS: what is read and written
	socket   net.Conn // under TLS; else the same
	out      direct
	rest     rest
	ahead    []byte // read already
	heard    atomic.Bool
	closing  atomic.Bool
	closed   chan struct{} // after closing is set and until is
	until    time.Time     // the end of linger
}

// New makes a stream of c, which has been read from already where ahead is not
// empty; ahead is then what comes first. Deadlines that c had are cleared.
func New(c net.Conn, ahead []byte) *Stream {
	c.SetDeadline(time.Time{})
	s := &Stream{ahead: ahead, closed: make(chan struct{})}
	if secure, ok := c.(*tls.Conn); ok {
		s.Conn, s.socket = c, unwrap(secure.NetConn())
	} else {
		s.Conn = unwrap(c)
		s.socket = s.Conn
	}
	if t, ok := s.socket.(*net.TCPConn); ok {
		setUserTimeout(t)
		if s.Conn == s.socket {
			s.out.open(t)
		}
	}
	return s
}

// unwrap is the socket under what a listener has put around it, and which has had
// its say.
func unwrap(c net.Conn) net.Conn {
	if w, ok := c.(interface{ NetConn() net.Conn }); ok {
		return w.NetConn()
	}
	return c
}

// Read is net.Conn's. After Close it returns net.ErrClosed. An error comes without
// bytes, where TLS returns the last bytes together with the end: a buffered reader that
// serves one stream after another would keep that error for the next.
func (s *Stream) Read(p []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		s.ahead = s.ahead[n:]
		return n, nil
	}
	n, err := s.Conn.Read(p)
	if s.closing.Load() {
		return 0, net.ErrClosed
	}
	if n == 0 {
		return 0, err
	}
	if !s.heard.Load() {
		s.heard.Store(true)
	}
	return n, nil // the next Read returns the error again
}

// SetReadDeadline is net.Conn's. What Close has ended stays ended.
func (s *Stream) SetReadDeadline(t time.Time) error {
	err := s.Conn.SetReadDeadline(t)
	if s.closing.Load() { // perhaps t took the place of Close's own
		return s.Conn.SetReadDeadline(past)
	}
	return err
}

// Heard reports whether anything was read since it was called last.
func (s *Stream) Heard() bool { return s.heard.Swap(false) }

// TryWrite writes what the socket takes at once. On TLS, and where a system has
// no such write, that is nothing.
func (s *Stream) TryWrite(p []byte) (int, error) { return s.out.tryWrite(p) }

// Close begins the end, after the last write: the client is told that nothing
// more comes, Read returns, and a stream that rests is woken. It does not wait.
func (s *Stream) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.until = time.Now().Add(linger)
	if s.socket == s.Conn { // to end TLS is a write, and that may wait: End does it
		closeWrite(s.Conn)
	}
	s.Conn.SetReadDeadline(past)
	close(s.closed)
	s.rest.end()
	return nil
}

// End waits for Close and ends the socket for good. A socket that is closed
// while bytes for it are still coming in is reset, and what was sent last may be
// lost with it: those bytes are read and forgotten, until the client has closed
// its side too or linger is over.
func (s *Stream) End() {
	<-s.closed
	if s.socket != s.Conn {
		closeWrite(s.Conn)
		closeWrite(s.socket)
	}
	s.socket.SetReadDeadline(s.until)
	trash := make([]byte, 512)
	for {
		if _, err := s.socket.Read(trash); err != nil {
			break
		}
	}
	s.rest.forget() // while the socket still has its number
	s.Conn.Close()
}

func closeWrite(c net.Conn) {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}
