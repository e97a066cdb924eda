package engine_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// client is a connection and its transport.
type client struct {
	*engine.Connection
	n        *node
	sink     *engine.FakeSink
	dialect  wire.Dialect
	requests chan func()
	gone     chan struct{} // closed when Done has returned
	seen     int
}

func (n *node) client() *client { return n.open(wire.WebSocket, engine.SeatRequest{Tenant: "default"}) }
func (n *node) socket() *client { return n.open(wire.Socket, engine.SeatRequest{Tenant: "default"}) }

func (n *node) open(d wire.Dialect, r engine.SeatRequest) *client {
	n.w.Helper()
	c, err := n.tryOpen(d, r)
	if err != nil {
		n.w.Fatal(err)
	}
	return c
}

func (n *node) tryOpen(d wire.Dialect, r engine.SeatRequest, change ...func(*engine.Info)) (*client, error) {
	c, err := n.take(d, r, change...)
	if err == nil {
		synctest.Wait()
		c.heard() // the welcome
	}
	return c, err
}

// connect is open for a goroutine beside the test's own.
func (n *node) connect(d wire.Dialect) (*client, error) {
	return n.take(d, engine.SeatRequest{Tenant: "default"})
}

func (n *node) take(d wire.Dialect, r engine.SeatRequest, change ...func(*engine.Info)) (*client, error) {
	seat, err := n.Seat(r)
	if err != nil {
		return nil, err
	}
	c := &client{n: n, sink: engine.NewFakeSink(d), dialect: d, requests: make(chan func()), gone: make(chan struct{})}
	transport := "websocket"
	if d == wire.Socket {
		transport = "socket"
	}
	info := engine.Info{Transport: transport, Dialect: d, RemoteIP: "10.0.0.1", RemotePort: 4000}
	for _, f := range change {
		f(&info)
	}
	c.Connection, err = seat.Open(context.Background(), info, c.sink)
	if err != nil {
		return nil, err
	}
	go c.read()
	return c, nil
}

// read is the transport's reader.
func (c *client) read() {
	defer close(c.gone)
	for {
		select {
		case f := <-c.requests:
			f()
		case <-c.sink.Closed():
			c.Done(context.Background())
			return
		}
	}
}

// hangUp is what a client does that just goes, and waits until it is gone.
func (c *client) hangUp() {
	c.sink.Close()
	<-c.gone
}

// begin has the reader carry out a request; the channel it gives is closed when
// it has, or the client is gone.
func (c *client) begin(request string) <-chan struct{} {
	c.n.w.Helper()
	parse := wire.ParseRequest
	if c.dialect == wire.Socket {
		parse = wire.ParseLine
	}
	r, err := parse([]byte(request))
	if err != nil {
		c.n.w.Fatalf("%s: %v", request, err)
	}
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		finished := make(chan struct{})
		select {
		case c.requests <- func() { c.Do(context.Background(), r); close(finished) }:
			<-finished
		case <-c.gone:
		}
	}()
	return carried
}

// do carries out requests, one after the other, and forgets what came of it.
func (c *client) do(requests ...string) *client {
	c.n.w.Helper()
	for _, r := range requests {
		<-c.begin(r)
		synctest.Wait()
	}
	c.heard()
	return c
}

// says carries out a request and checks all that the client hears of it: answers
// first, for nothing is promised of their place among the messages of rooms.
func (c *client) says(request string, want ...string) {
	c.n.w.Helper()
	<-c.begin(request)
	heard := c.heard()
	slices.SortStableFunc(heard, func(a, b string) int { return cmp.Compare(isChat(a), isChat(b)) })
	c.compare(heard, want)
}

func isChat(message string) int {
	if strings.HasPrefix(message, `{"message":`) {
		return 1
	}
	return 0
}

// hears checks what came since the client was last asked.
func (c *client) hears(want ...string) {
	c.n.w.Helper()
	c.compare(c.heard(), want)
}

func (c *client) compare(got, want []string) {
	c.n.w.Helper()
	if !slices.Equal(got, want) {
		c.n.w.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (c *client) heard() []string {
	synctest.Wait()
	sent, _ := c.sink.Sent()
	news := slices.Clone(sent[c.seen:])
	c.seen = len(sent)
	return news
}

// is the answer of roomAdd and roomLeave with messageId 1.
const isTrue = `{"status":"OK","context":"response","data":true,"messageId":1}`

// ok is the answer without data.
const ok = `{"status":"OK","context":"response","messageId":1}`

func roomAdd(room string) string { return `{"event":"roomAdd","room":"` + room + `","messageId":1}` }
func roomLeave(room string) string {
	return `{"event":"roomLeave","room":"` + room + `","messageId":1}`
}

func say(room, text string) string {
	return fmt.Sprintf(`{"event":"say","room":%q,"message":%q,"messageId":1}`, room, text)
}

// failed is the answer to a verb with messageId 1 that failed, and echoes {}.
func failed(text string) string {
	return fmt.Sprintf(`{"status":"Error: %s","error":"Error: %[1]s","context":"response","data":{},"messageId":1}`, text)
}

// chat is a message as members hear it.
func chat(room, from, text string) string {
	return fmt.Sprintf(`{"message":%q,"room":%q,"from":%q,"context":"user","sentAt":%s}`, text, room, from, now)
}
