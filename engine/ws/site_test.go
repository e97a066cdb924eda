package ws_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = 10 * time.Second

// site is an engine and its HTTP listener.
type site struct {
	testing.TB
	engine *engine.Engine
	server *ws.Server
	http   *httptest.Server
	stop   func() // ends the engine as a signal does
}

// option changes the configuration of a site.
type option func(*engine.Config, *ws.Config)

// newSite starts a site that writes with io_uring, if that works here.
func newSite(t testing.TB, options ...option) *site {
	return startSite(t, (*httptest.Server).Start, enginetest.Rings(t), options)
}

// newPlainSite starts a site that writes with a system call for each client, and has a goroutine for each.
func newPlainSite(t testing.TB, options ...option) *site {
	each := func(_ *engine.Config, c *ws.Config) { c.Reading = stream.Goroutines }
	return startSite(t, (*httptest.Server).Start, nil, slices.Concat([]option{each}, options))
}

func newTLSSite(t testing.TB, options ...option) *site {
	return startSite(t, (*httptest.Server).StartTLS, nil, options)
}

func startSite(t testing.TB, start func(*httptest.Server), rings []fanout.Ring, options []option) *site {
	t.Helper()
	wc := ws.Config{Log: slog.New(slog.DiscardHandler), PingInterval: time.Hour}
	e := enginetest.New(t, func(c *engine.Config) {
		c.Name, c.Limits.VerbsPerSecond, c.Rings = "test", 1e6, rings
		for _, o := range options {
			o(c, &wc)
		}
	})
	wc.Engine = e
	s := &site{TB: t, engine: e, server: ws.New(wc)}
	s.http = httptest.NewUnstartedServer(s.server)
	s.http.Config.ConnState, s.http.Config.ReadHeaderTimeout = s.server.ConnState, wc.HandshakeTimeout
	s.http.Listener = s.server.Listen(s.http.Listener)
	start(s.http)
	t.Cleanup(func() {
		s.http.Close()
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	s.stop = enginetest.Run(t, e, s.server.Run)
	return s
}

// everywhere runs a test once for each way to wait for clients and to write to them.
func everywhere(t *testing.T, test func(s *site), options ...option) {
	t.Helper()
	for _, way := range []struct {
		name string
		site func(testing.TB, ...option) *site
	}{
		{"polled", newSite},
		{"a goroutine each", newPlainSite},
		{"TLS", newTLSSite},
	} {
		t.Run(way.name, func(t *testing.T) { test(way.site(t, options...)) })
	}
}

// client is a WebSocket client that sends raw bytes.
type client struct {
	testing.TB
	net.Conn
	r *bufio.Reader
}

// handshake returns an upgrade request. headers are additional lines.
func (s *site) handshake(path string, headers ...string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, s.http.Listener.Addr(), strings.Join(append(headers, ""), "\r\n"))
}

func (s *site) connect() *client {
	s.Helper()
	c, err := s.socket()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return c
}

// socket connects; the caller closes the connection.
func (s *site) socket() (*client, error) {
	c, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(timeout))
	if s.http.TLS != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return &client{s.TB, c, bufio.NewReader(c)}, nil
}

// dial connects and reads the welcome.
func (s *site) dial(path string, headers ...string) *client {
	s.Helper()
	c := s.connect()
	c.raw(s.handshake(path, headers...))
	c.upgraded()
	c.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
	return c
}

func (c *client) upgraded() {
	c.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.Fatalf("the upgrade was answered by %s %v", res.Status, res.Header)
	}
	if x := res.Header.Get("Sec-WebSocket-Extensions"); x != "" {
		c.Errorf("extensions %q", x)
	}
}

func (c *client) raw(s string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.Fatal(err)
	}
}

// frame returns a masked frame. first is the first byte of the frame.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

// First bytes of frames, with FIN and opcode.
const (
	text, binaryFrame, ping, pong, closing = 0x81, 0x82, 0x89, 0x8a, 0x88
	startText, more, end                   = 0x01, 0x00, 0x80
)

func (c *client) send(message string) { c.Helper(); c.raw(frame(text, message)) }

// receive returns the next frame.
func (c *client) receive() (first byte, payload string) {
	c.Helper()
	first, payload, err := c.next()
	if err != nil {
		c.Fatalf("waiting for a frame: %v", err)
	}
	return first, payload
}

func (c *client) next() (first byte, payload string, err error) {
	var head [2]byte
	if _, err = io.ReadFull(c.r, head[:]); err != nil {
		return 0, "", err
	}
	n := uint64(head[1])
	var length [8]byte
	switch n {
	case 126:
		_, err = io.ReadFull(c.r, length[6:])
	case 127:
		_, err = io.ReadFull(c.r, length[:])
	}
	if n >= 126 {
		n = binary.BigEndian.Uint64(length[:])
	}
	b := make([]byte, n)
	if err == nil {
		_, err = io.ReadFull(c.r, b)
	}
	return head[0], string(b), err
}

// wants reads a text and checks it.
func (c *client) wants(message string) {
	c.Helper()
	if first, got := c.receive(); first != text || got != message {
		c.Fatalf("received %#x %q, want the text %q", first, got, message)
	}
}

// wantsClose reads a close frame and the end of the connection.
func (c *client) wantsClose(code uint16, reason string) {
	c.Helper()
	want := string(binary.BigEndian.AppendUint16(nil, code)) + reason
	if first, got := c.receive(); first != closing || got != want {
		c.Fatalf("received %#x %q, want the close frame %q", first, got, want)
	}
	c.wantsEnd()
}

func (c *client) wantsEnd() {
	c.Helper()
	if first, got, err := c.next(); err != io.EOF {
		c.Fatalf("received %#x %q, %v, want the end", first, got, err)
	}
}

// nope returns a request for a verb that does not exist. notThere returns the answer to
// it.
func nope(what string) string { return `{"event":"` + what + `","messageId":1}` }

func notThere(what string) string {
	const text = `"Error: verb not found or not allowed (%s)"`
	return fmt.Sprintf(`{"status":`+text+`,"error":`+text+`,"context":"response","data":{},"messageId":1}`, what, what)
}
