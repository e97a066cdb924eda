package enginetest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// Client is a connection to an engine, with a reader like that of a transport. Its methods
// must be called from one goroutine.
type Client struct {
	*engine.Connection
	Sink *Sink
	Gone <-chan struct{} // closed once the engine is done with the connection

	t        testing.TB
	requests chan func()
	received int // the number of messages that Received has returned
}

// Connect opens a connection with the transport of that dialect. If r has no tenant, the
// connection belongs to the default one.
func Connect(t testing.TB, e *engine.Engine, d wire.Dialect, r engine.ReservationRequest, change ...func(*engine.Info)) (*Client, error) {
	t.Helper()
	r.Tenant = cmp.Or(r.Tenant, engine.DefaultTenant)
	info := engine.Info{Transport: "websocket", Dialect: d, RemoteIP: "10.0.0.1", RemotePort: 4000}
	if d == wire.Socket {
		info.Transport = "socket"
	}
	for _, f := range change {
		f(&info)
	}
	seat, err := e.Reserve(r)
	if err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	c := &Client{Sink: NewSink(d), Gone: gone, t: t, requests: make(chan func())}
	if c.Connection, err = seat.Open(context.Background(), info, c.Sink); err != nil {
		return nil, err
	}
	go c.read(gone)
	return c, nil
}

// read runs the requests, like the reader of a transport.
func (c *Client) read(gone chan<- struct{}) {
	defer close(gone)
	for {
		select {
		case f := <-c.requests:
			f()
		case <-c.Sink.Closed():
			c.Done(context.Background())
			return
		}
	}
}

// Begin passes a request to the reader. The channel is closed when the request has run, or
// when the client has gone.
func (c *Client) Begin(request string) (done <-chan struct{}) {
	c.t.Helper()
	parse := wire.ParseRequest
	if c.Sink.Dialect == wire.Socket {
		parse = wire.ParseLine
	}
	r, err := parse([]byte(request))
	if err != nil {
		c.t.Fatalf("%s: %v", request, err)
	}
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		finished := make(chan struct{})
		select {
		case c.requests <- func() { c.Do(context.Background(), r); close(finished) }:
			<-finished
		case <-c.Gone:
		}
	}()
	return ran
}

// Run runs requests one after the other.
func (c *Client) Run(requests ...string) {
	c.t.Helper()
	for _, r := range requests {
		<-c.Begin(r)
	}
}

// Received returns the messages that the client has received since the last call. The
// engine may write more at any time: in a bubble, call synctest.Wait first.
func (c *Client) Received() []string {
	sent, _ := c.Sink.Sent()
	news := slices.Clone(sent[c.received:])
	c.received = len(sent)
	return news
}

// Await waits for a message that contains text. Received does not return the messages up to
// it.
func (c *Client) Await(text string) {
	c.t.Helper()
	var received []string
	for late := time.After(30 * time.Second); ; {
		changed := c.Sink.Changed()
		for _, m := range c.Received() {
			if received = append(received, m); strings.Contains(m, text) {
				return
			}
		}
		select {
		case <-changed:
		case <-late:
			c.t.Fatalf("received %q, not %q", received, text)
		}
	}
}

// HangUp closes the connection without a close frame and waits until the engine has ended it.
func (c *Client) HangUp() {
	c.Sink.Close()
	<-c.Gone
}
