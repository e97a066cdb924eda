// Package stream is the socket of a connection, TCP or TLS. It provides writes that do
// not block, waiting that needs little memory, and a close that does not lose the last
// bytes.
package stream

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// linger is the time that a client has to read the last bytes and close its side.
const linger = time.Second

// Stream is a socket; with Bytes and Farewell it becomes an engine.Sink. One goroutine
// at a time reads, and calls End after its last read. One goroutine at a time writes.
// Close and Active may be called concurrently.
type Stream struct {
	net.Conn          // TCP or TLS
	socket   net.Conn // the socket under TLS; without TLS the same as Conn
	out      nonblocking
	held     sync.RWMutex // read-locked from Hold to Free; locked before the descriptor is closed
	waiter   waiter
	ahead    []byte // bytes that were read before Read asked for them
	active   atomic.Bool
	closing  atomic.Bool
	closed   chan struct{} // closed by Close, after it sets closing and until
	until    time.Time     // the end of linger
}

// New makes a stream of c and clears the deadlines of c. ahead is bytes that were
// already read from c: Read returns them first, and then reads c. The stream keeps
// ahead.
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

// unwrap returns the connection inside the wrappers of listeners, such as the one that reads
// the PROXY header.
func unwrap(c net.Conn) net.Conn {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = w.NetConn()
	}
}

// Read implements net.Conn. After Close it returns net.ErrClosed. It never returns
// bytes and an error together. TLS does that with the last bytes and io.EOF; a buffered
// reader that serves one stream after another would keep the error for the next stream.
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
	if !s.active.Load() {
		s.active.Store(true)
	}
	return n, nil // the next Read returns the error again
}

// SetReadDeadline implements net.Conn. After Close, Read still returns at once.
func (s *Stream) SetReadDeadline(t time.Time) error {
	err := s.Conn.SetReadDeadline(t)
	if s.closing.Load() { // t may have replaced the deadline of Close
		return s.Conn.SetReadDeadline(past)
	}
	return err
}

// Active reports whether anything was read since the last call of Active.
func (s *Stream) Active() bool { return s.active.Swap(false) }

// TryWrite writes the bytes that the socket accepts without blocking. With TLS, and on
// systems without such a write, it writes nothing.
func (s *Stream) TryWrite(p []byte) (int, error) { return s.out.tryWrite(p) }

// Hold returns the descriptor of the socket for a write that does not wait, such as [Ring.Send]. It stays valid until the caller calls
// Free, soon. ok is false with TLS, on systems without such a write, and if End releases the socket; the caller does not call Free then.
func (s *Stream) Hold() (fd int32, ok bool) {
	if fd, ok = s.out.descriptor(); ok {
		ok = s.held.TryRLock()
	}
	return fd, ok
}

// Free ends the use of the descriptor that Hold has returned.
func (s *Stream) Free() { s.held.RUnlock() }

// Close ends the writing; call it after the last write. It sends the end of the stream
// to the client, makes Read return, and wakes a stream that waits until it is readable.
// It does not wait. End releases the socket.
func (s *Stream) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.until = time.Now().Add(linger)
	if s.socket == s.Conn { // with TLS this is a write that may block: End does it
		closeWrite(s.Conn)
	}
	s.Conn.SetReadDeadline(past)
	close(s.closed)
	s.waiter.end()
	return nil
}

// End waits for Close and then closes the socket. If a socket is closed while the
// client still sends, it is reset, and the reset may destroy the last bytes on their
// way to the client. Therefore End first reads and discards data until the client
// closes its side, but no longer than linger.
func (s *Stream) End() {
	<-s.closed
	if s.socket != s.Conn {
		closeWrite(s.Conn)
		closeWrite(s.socket)
	}
	s.socket.SetReadDeadline(s.until)
	discarded := make([]byte, 512)
	for {
		if _, err := s.socket.Read(discarded); err != nil {
			break
		}
	}
	s.waiter.forget() // before its file descriptor can be reused
	s.held.Lock()     // for good
	s.Conn.Close()
}

func closeWrite(c net.Conn) {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}
