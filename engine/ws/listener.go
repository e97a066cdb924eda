package ws

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/stream"
)

// listener accepts connections, answers handshakes, and passes all other connections to
// net/http. For a handshake, net/http would start a second goroutine, set several deadlines and
// allocate buffers for an answer and for further requests.
//
// It answers a handshake only if the first read has all of it, and nothing about it is
// unusual. In all other cases, errors included, net/http reads the same bytes again.
type listener struct {
	net.Listener
	server *Server
	passed chan passed
	closed chan struct{}
	once   sync.Once
	done   chan struct{} // closed when accept has returned
}

// passed is a result of Accept.
type passed struct {
	net.Conn
	err error
}

// Listen returns a listener for the http.Server whose handler is s. The server accepts
// connections from l and answers their handshakes; the http.Server gets the connections that
// begin with another request, and all connections with TLS. No connection is accepted
// before Run. Closing the returned listener closes l and waits until nothing more is
// accepted; handshakes that have begun end with Run.
func (s *Server) Listen(l net.Listener) net.Listener {
	own := &listener{Listener: l, server: s, passed: make(chan passed), closed: make(chan struct{}), done: make(chan struct{})}
	go own.accept()
	return own
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case p := <-l.passed:
		return p.Conn, p.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	err := l.Listener.Close()
	<-l.done
	return err
}

// pass gives a connection or an error of Accept to net/http.
func (l *listener) pass(c net.Conn, err error) {
	select {
	case l.passed <- passed{c, err}:
	case <-l.closed:
		if c != nil {
			c.Close()
		}
	}
}

// accept accepts connections until l is closed.
func (l *listener) accept() {
	defer close(l.done)
	select {
	case <-l.server.started:
	case <-l.closed:
		return
	}
	for {
		c, err := l.Listener.Accept()
		_, secure := c.(*tls.Conn)
		switch {
		case errors.Is(err, net.ErrClosed):
			l.pass(nil, err)
			return
		case err != nil || secure:
			l.pass(c, err)
		case !l.server.start(func(ctx context.Context, done func()) { l.receive(ctx, c, done) }):
			c.Close()
		}
	}
}

// receive reads the first bytes of a connection. It calls done when the connection has ended
// or net/http has it.
func (l *listener) receive(ctx context.Context, c net.Conn, done func()) {
	s := l.server
	h := s.heads.Get().(*head)
	began := time.Now()
	a, first := l.read(c, began, h)
	took := s.handshakes.end(c)
	switch {
	case len(first) == 0:
		c.Close()
		s.countIfSlow(took)
	case a == nil:
		first = bytes.Clone(first)
		s.cfg.Pending.Remove(c) // net/http adds it
		l.pass(newPassedConn(c, began, began.Add(s.cfg.HandshakeTimeout), first), nil)
	default:
		if err := a.reserve(); err != nil {
			a.writeRefusal(err)
			a = nil
		}
	}
	s.heads.Put(h)
	s.cfg.Pending.Remove(c)
	if a == nil {
		done()
		return
	}
	a.enter(ctx, done)
}

// read reads once from a connection and returns the bytes, which h has. a is the client with
// its socket if they are a handshake, and nil if net/http has to answer.
func (l *listener) read(c net.Conn, began time.Time, h *head) (a *arrival, first []byte) {
	s := l.server
	s.cfg.Pending.Add(c)
	if !s.handshakes.begin(c, handshake{began, true}) {
		return nil, nil
	}
	remote := c.RemoteAddr() // reads the PROXY header
	c.SetReadDeadline(began.Add(s.cfg.HandshakeTimeout))
	n, _ := c.Read(h.bytes[:]) // net/http gets the error after the bytes
	a, ahead := s.arrivalIn(h, n, remote)
	if a != nil {
		a.Stream = stream.New(c, bytes.Clone(ahead))
	}
	return a, h.bytes[:n]
}

// arrivalIn returns the client of the handshake in the first n bytes, and the bytes after
// it. It returns nil if net/http has to answer.
func (s *Server) arrivalIn(h *head, n int, remote net.Addr) (a *arrival, ahead []byte) {
	r, ahead := h.request(n)
	if r == nil {
		return nil, nil
	}
	r.RemoteAddr = remote.String()
	tenant, path := s.cfg.Engine.Match(r.Host, r.URL.Path)
	key, wrong := keyOf(r)
	if !isWebSocket(path) || path == primusSpec || wrong != nil {
		return nil, nil
	}
	return s.arrival(r, tenant, path, key), ahead
}

// passedConn is a connection whose first bytes were read before net/http gets it.
type passedConn struct {
	net.Conn
	since time.Time
	until atomic.Pointer[time.Time] // the end of the time for the first request; nil after the first SetReadDeadline
	ahead []byte
}

func newPassedConn(c net.Conn, since, until time.Time, ahead []byte) *passedConn {
	p := &passedConn{Conn: c, since: since, ahead: ahead}
	p.until.Store(&until)
	return p
}

// NetConn returns the connection without the bytes that were read.
func (c *passedConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *passedConn) Read(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// SetReadDeadline implements net.Conn. The first deadline, which net/http sets for the
// request, includes the time before net/http got the connection.
func (c *passedConn) SetReadDeadline(t time.Time) error {
	if until := c.until.Swap(nil); until != nil && t.After(*until) {
		t = *until
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite closes the writing side, as net.TCPConn does.
func (c *passedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// head has the first bytes of a connection, and what parsing them needs.
type head struct {
	bytes  [4 << 10]byte
	reader bytes.Reader
	parser *bufio.Reader
}

func newHead() any {
	h := new(head)
	h.parser = bufio.NewReaderSize(&h.reader, 512)
	return h
}

// request returns the request at the beginning of the first n bytes, and the bytes after it.
// It returns nil if the request is not complete, or net/http may refuse it or expect a body.
func (h *head) request(n int) (r *http.Request, ahead []byte) {
	b := h.bytes[:n]
	end := bytes.Index(b, []byte("\r\n\r\n")) + 4
	if end < 4 || !bytes.HasPrefix(b, []byte("GET /")) {
		return nil, nil
	}
	for _, c := range b[:end] {
		if (c < ' ' && c != '\r' && c != '\n') || c > '~' {
			return nil, nil
		}
	}
	h.reader.Reset(b[:end])
	h.parser.Reset(&h.reader)
	r, err := http.ReadRequest(h.parser)
	if err != nil || h.reader.Len() > 0 || h.parser.Buffered() > 0 || !ordinary(r) {
		return nil, nil
	}
	return r, b[end:]
}

// ordinary reports whether net/http would pass a request to its handler.
func ordinary(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) || r.ProtoAtLeast(2, 0) || r.Host == "" || strings.ContainsFunc(r.Host, odd) {
		return false
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header["Expect"] != nil {
		return false
	}
	for name := range r.Header {
		if strings.Contains(name, " ") {
			return false
		}
	}
	return true
}

// odd reports whether a character is unusual in a host with a port.
func odd(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._:[]", c))
}

// writeRefusal answers a handshake that the engine has refused, and closes the connection.
func (c *conn) writeRefusal(why error) {
	status, retryAfter := statusOf(why)
	text := why.Error() + "\n"
	res := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)),
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}}
	if retryAfter != "" {
		res.Header.Set("Retry-After", retryAfter)
	}
	var b bytes.Buffer
	res.Write(&b) // a write to a buffer does not fail
	c.finish(b.Bytes())
}
