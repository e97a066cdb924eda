package ws

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

const rightHead = "GET /ws?token=x HTTP/1.1\r\nHost: chat.example:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://chat.example\r\n\r\n"

// oneConn is a listener of one connection, and that connection: it reads in and discards
// what is written.
type oneConn struct {
	in       *bytes.Reader
	accepted chan struct{}
	closed   chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case l.accepted <- struct{}{}:
		return l, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error                { return nil }
func (l *oneConn) Addr() net.Addr              { return &net.TCPAddr{} }
func (l *oneConn) LocalAddr() net.Addr         { return &net.TCPAddr{} }
func (l *oneConn) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (l *oneConn) Read(p []byte) (int, error)  { return l.in.Read(p) }
func (l *oneConn) Write(p []byte) (int, error) { return len(p), nil }

func (*oneConn) SetDeadline(time.Time) error      { return nil }
func (*oneConn) SetReadDeadline(time.Time) error  { return nil }
func (*oneConn) SetWriteDeadline(time.Time) error { return nil }

// byNetHTTP returns the first request that net/http passes to its handler; nil if it refuses
// the request.
func byNetHTTP(b []byte) (first *http.Request) {
	l := &oneConn{in: bytes.NewReader(b), accepted: make(chan struct{}, 1), closed: make(chan struct{})}
	s := &http.Server{MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first = r
		http.NewResponseController(w).Hijack()
	})
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked && first != nil {
			close(l.closed)
		}
	}
	s.Serve(l)
	return first
}

// sameAsNetHTTP checks that a request that the listener takes is one that net/http would pass
// to its handler, with the same content.
func sameAsNetHTTP(t *testing.T, b []byte) (taken bool) {
	h := newHead().(*head)
	n := copy(h.bytes[:], b)
	r, ahead := h.request(n)
	if r == nil {
		return false
	}
	want := byNetHTTP(b[:n])
	if want == nil {
		t.Fatalf("net/http refuses %q", b)
	}
	if r.Method != want.Method || r.Host != want.Host || r.Proto != want.Proto || !reflect.DeepEqual(r.URL, want.URL) || !reflect.DeepEqual(r.Header, want.Header) {
		t.Errorf("%q is read as\n%+v, net/http has\n%+v", b, r, want)
	}
	if end := bytes.Index(b, []byte("\r\n\r\n")) + 4; !bytes.Equal(ahead, b[end:n]) {
		t.Errorf("after the request %q is left, want %q", ahead, b[end:n])
	}
	return true
}

func TestTheListenerTakesOrdinaryRequestsOnly(t *testing.T) {
	for _, c := range []struct {
		old, new string
		taken    bool
	}{
		{"", "", true},
		{"\r\n\r\n", "\r\n\r\n\x81\x80aaaa", true},
		{"Origin", "Cookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\norigin", true},
		{"chat.example:8080", "[::1]:8080", true},
		{"GET", "POST", false},
		{"GET /ws", "GET http://other.example/ws", false},
		{"1.1", "1.0", false},
		{"1.1", "2.0", false},
		{"Host: chat.example:8080\r\n", "", false},
		{"Host: ", "Host: a\r\nHost: ", false},
		{"chat.example:8080", "a b", false},
		{"Origin: ", "Origin : ", false},
		{"Origin: ", "Or igin: ", false},
		{"Origin: ", "Origin: \x00", false},
		{"Origin: ", "Origin: é", false},
		{"Origin: ", " Origin: ", true}, // a continued line, which net/http joins
		{"Origin: ", "Content-Length: 3\r\nOrigin: ", false},
		{"Origin: ", "Transfer-Encoding: chunked\r\nOrigin: ", false},
		{"Origin: ", "Expect: 100-continue\r\nOrigin: ", false},
		{"\r\nHost", "\n\nHost", false}, // the request ends before the first \r\n\r\n
		{"\r\n\r\n", "\r\n", false},
		{"Origin: ", "Origin: " + strings.Repeat("a", 5000), false},
	} {
		b := strings.Replace(rightHead, c.old, c.new, 1)
		if taken := sameAsNetHTTP(t, []byte(b)); taken != c.taken {
			t.Errorf("%q for %q: taken: %v", c.new, c.old, taken)
		}
	}
}

// FuzzHead compares the requests that the listener takes with those of net/http.
func FuzzHead(f *testing.F) {
	f.Add([]byte(rightHead))
	f.Add([]byte(strings.Replace(rightHead, "\r\nHost", "\nHost", 1)))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\nrest"))
	f.Fuzz(func(t *testing.T, b []byte) { sameAsNetHTTP(t, b) })
}

func TestAReadHeadIsUsedAgain(t *testing.T) {
	h := newHead().(*head)
	for range 2 {
		n := copy(h.bytes[:], rightHead)
		if r, _ := h.request(n); r == nil || r.Host != "chat.example:8080" {
			t.Fatalf("%+v", r)
		}
		n = copy(h.bytes[:], "GET / HTTP/1.1\r\nbad line\r\n\r\n")
		if r, _ := h.request(n); r != nil {
			t.Fatalf("%+v", r)
		}
	}
}

// TestAPassedConnectionKeepsItsBytesAndItsDeadline checks the connection that net/http gets.
func TestAPassedConnectionKeepsItsBytesAndItsDeadline(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	until := time.Now().Add(time.Hour)
	deadlines := &deadlineConn{Conn: server}
	c := newPassedConn(deadlines, time.Time{}, until, []byte("first "))
	go func() { io.WriteString(client, "second\n") }()
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "first second\n" {
		t.Errorf("%q, %v", line, err)
	}
	c.SetReadDeadline(until.Add(time.Hour))
	c.SetReadDeadline(until.Add(2 * time.Hour))
	if want := []time.Time{until, until.Add(2 * time.Hour)}; !reflect.DeepEqual(deadlines.read, want) {
		t.Errorf("the deadlines are %v, want %v", deadlines.read, want)
	}
}

type deadlineConn struct {
	net.Conn
	read []time.Time
}

func (c *deadlineConn) SetReadDeadline(t time.Time) error {
	c.read = append(c.read, t)
	return nil
}
