package tcp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/tcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = 10 * time.Second

// site is an engine and its socket listener.
type site struct {
	*testing.T
	engine *engine.Engine
	addr   string
	tls    *tls.Config // of the clients; nil: no TLS
	stop   func()      // ends the engine as a signal does
}

// option changes the configuration of a site.
type option func(*engine.Config, *tcp.Server)

// newSite starts a site that writes with io_uring, if that works here.
func newSite(t *testing.T, options ...option) *site {
	t.Helper()
	return startSite(t, listen(t), nil, enginetest.Rings(t), options)
}

// newPlainSite starts a site that writes with a system call for each client, and has a goroutine for each.
func newPlainSite(t *testing.T, options ...option) *site {
	t.Helper()
	each := func(_ *engine.Config, s *tcp.Server) { s.Reading = stream.Goroutines }
	return startSite(t, listen(t), nil, nil, append(options, each))
}

// newTLSSite starts a site with a certificate for example.com.
func newTLSSite(t *testing.T, options ...option) *site {
	t.Helper()
	source := httptest.NewUnstartedServer(nil) // has a certificate
	source.StartTLS()
	defer source.Close()
	server := &tls.Config{Certificates: source.TLS.Certificates}
	return startSite(t, tls.NewListener(listen(t), server), &tls.Config{InsecureSkipVerify: true, ServerName: "example.com"}, nil, options)
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func startSite(t *testing.T, l net.Listener, clients *tls.Config, rings []fanout.Ring, options []option) *site {
	t.Helper()
	server := &tcp.Server{Log: slog.New(slog.DiscardHandler)}
	e := enginetest.New(t, func(c *engine.Config) {
		c.Name, c.Limits.VerbsPerSecond, c.Rings = "test", 1e6, rings
		for _, o := range options {
			o(c, server)
		}
	})
	server.Engine = e
	t.Cleanup(func() {
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	s := &site{t, e, l.Addr().String(), clients, enginetest.Run(t, e, func(ctx context.Context) error { return server.Serve(ctx, l) })}
	return s
}

// everywhere runs a test once for each way to wait for clients and to write to them.
func everywhere(t *testing.T, test func(s *site), options ...option) {
	t.Helper()
	t.Run("polled", func(t *testing.T) { test(newSite(t, options...)) })
	t.Run("a goroutine each", func(t *testing.T) { test(newPlainSite(t, options...)) })
	t.Run("TLS", func(t *testing.T) { test(newTLSSite(t, options...)) })
}

type client struct {
	*testing.T
	net.Conn
	r *bufio.Reader
}

func (s *site) connect() *client {
	s.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(timeout))
	if s.tls != nil {
		c = tls.Client(c, s.tls)
	}
	s.Cleanup(func() { c.Close() })
	return &client{s.T, c, bufio.NewReader(c)}
}

// dial connects and reads the welcome.
func (s *site) dial() *client {
	s.Helper()
	c := s.connect()
	c.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
	return c
}

func (c *client) raw(s string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.Fatal(err)
	}
}

// send sends lines.
func (c *client) send(lines ...string) { c.Helper(); c.raw(strings.Join(lines, "\n") + "\n") }

func (c *client) receive() string {
	c.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.Fatalf("waiting for a line: %q, %v", line, err)
	}
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		c.Errorf("%q does not end with \\r\\n", line)
	}
	return line
}

func (c *client) wants(lines ...string) {
	c.Helper()
	for _, want := range lines {
		if got := c.receive(); got != want {
			c.Fatalf("received %s\nwant     %s", got, want)
		}
	}
}

func (c *client) wantsEnd() {
	c.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.Fatalf("received %q, %v, want the end", rest, err)
	}
}
