package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// sink is a socket that takes everything.
type sink struct {
	lines  chan string
	closed chan struct{}
}

func (s *sink) TryWrite(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.lines <- strings.TrimSpace(line)
	}
	return len(p), nil
}

func (s *sink) Write(p []byte) (int, error)      { return s.TryWrite(p) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Bytes(f *wire.Frame) []byte       { return f.Line() }
func (s *sink) Farewell(c engine.Close) []byte   { return []byte("bye " + c.Reason + "\n") }
func (s *sink) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

// client is a connection of a tenant, on a node.
type client struct {
	*engine.Connection
	t    testing.TB
	sink *sink
	over chan struct{} // closed when the connection is done
}

func (n *node) client(tenant string) *client {
	n.t.Helper()
	seat, err := n.engine.Seat(engine.SeatRequest{Tenant: tenant})
	if err != nil {
		n.t.Fatal(err)
	}
	s := &sink{make(chan string, 1000), make(chan struct{})}
	c, err := seat.Open(context.Background(), engine.Info{Transport: "socket", Dialect: wire.Socket, RemoteIP: "192.0.2.1", RemotePort: 4000}, s)
	if err != nil {
		n.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		<-s.closed
		c.Done(context.Background())
	}()
	n.t.Cleanup(func() { s.Close(); <-over })
	return &client{c, n.t, s, over}
}

// hears waits for a line that has the text.
func (c *client) hears(text string) {
	c.t.Helper()
	var heard []string
	for late := time.After(30 * time.Second); ; {
		select {
		case line := <-c.sink.lines:
			if heard = append(heard, line); strings.Contains(line, text) {
				return
			}
		case <-late:
			c.t.Fatalf("it heard %q, never %q", heard, text)
		}
	}
}
