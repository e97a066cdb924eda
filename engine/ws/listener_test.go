package ws_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/ws"
)

// TestHandshakesAndOtherRequestsShareAListener sends handshakes and requests for the fallback
// whole and in pieces, which net/http gets.
func TestHandshakesAndOtherRequestsShareAListener(t *testing.T) {
	fallback := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
	})
	s := newSite(t, func(_ *engine.Config, c *ws.Config) { c.Fallback = fallback })
	for _, cut := range []int{0, 1, 20, -1} {
		c := s.connect()
		c.inPieces(s.handshake("/ws")+frame(text, nope("x")), cut)
		c.upgraded()
		c.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
		c.wants(notThere("x"))

		c = s.connect()
		for range 2 { // the connection stays open
			c.inPieces("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", cut)
			res, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, _ := io.ReadAll(res.Body); string(body) != "POST /upload hello" {
				t.Errorf("cut at %d: %s %q", cut, res.Status, body)
			}
		}
		c.raw(s.handshake("/ws"))
		c.upgraded()
	}
}

// inPieces sends b in two pieces: the first cut bytes, and the rest. If cut is negative, the second piece has -cut bytes.
func (c *client) inPieces(b string, cut int) {
	c.Helper()
	if cut < 0 {
		cut += len(b)
	}
	for _, piece := range []string{b[:cut], b[cut:]} {
		if piece != "" {
			c.raw(piece)
		}
	}
}

// writes is a listener that keeps what is written to its connections, by write.
type writes struct {
	net.Listener
	mu  sync.Mutex
	all [][]byte
}

type writesConn struct {
	net.Conn
	of *writes
}

func (l *writes) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &writesConn{c, l}, err
}

func (c *writesConn) Write(b []byte) (int, error) {
	c.of.mu.Lock()
	c.of.all = append(c.of.all, bytes.Clone(b))
	c.of.mu.Unlock()
	return c.Conn.Write(b)
}

// TestTheHandshakeAndTheWelcomeAreOneWrite counts the writes of a connection that connects.
func TestTheHandshakeAndTheWelcomeAreOneWrite(t *testing.T) {
	e := enginetest.New(t, func(c *engine.Config) { c.Name = "test" })
	s := ws.New(ws.Config{Engine: e, Log: slog.New(slog.DiscardHandler), PingInterval: time.Hour})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &writes{Listener: tcp}
	l := s.Listen(w)
	defer l.Close()
	enginetest.Run(t, e, s.Run)
	conn, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	conn.SetReadDeadline(time.Now().Add(timeout))
	b := make([]byte, 512)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b[:n]); !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, `{"welcome":"Welcome to the test api","context":"api"}`) {
		t.Errorf("the first read of the client has %q", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) != 1 {
		t.Errorf("%d writes: %q", len(w.all), w.all)
	}
}

// TestRunClosesConnectionsThatSentNothing checks that Run does not wait for the time limit of
// handshakes.
func TestRunClosesConnectionsThatSentNothing(t *testing.T) {
	e := enginetest.New(t, func(*engine.Config) {})
	s := ws.New(ws.Config{Engine: e, Log: slog.New(slog.DiscardHandler), HandshakeTimeout: time.Hour})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := &signals{Listener: tcp, read: make(chan struct{}, 1)}
	l := s.Listen(accepted)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx) }()
	c, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-accepted.read
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes, %v, want the end", n, err)
	}
	if _, err := l.Accept(); err != net.ErrClosed {
		t.Errorf("Accept of a closed listener returns %v", err)
	}
}

// signals is a listener that signals when a connection is read.
type signals struct {
	net.Listener
	read chan struct{}
}

func (l *signals) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &signalsConn{c, l}, err
}

type signalsConn struct {
	net.Conn
	of *signals
}

func (c *signalsConn) Read(b []byte) (int, error) {
	c.of.read <- struct{}{}
	return c.Conn.Read(b)
}
