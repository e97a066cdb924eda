package engine_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/wire"
)

// world is one test: a cluster, and the nodes and clients that it has started. It
// lives in a bubble of synctest, where the clock stands at [now] until everybody
// waits for it.
type world struct {
	*testing.T
	hub *memory.Hub
}

const now = "946684800000" // of a bubble's start, ms since 1970

func inWorld(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) { test(&world{t, memory.New()}) })
}

// node is an engine that runs.
type node struct {
	*engine.Engine
	w        *world
	mw       *engine.FakeMiddleware
	presence engine.Presence
	stop     func() error // ends Run and gives what it returned; it may be called again
}

// node starts a node of one tenant with the room "r". It ends with the test, and
// must then hold no room and no seat.
func (w *world) node(name string, change ...func(*engine.Config)) *node {
	w.Helper()
	n := &node{w: w, mw: &engine.FakeMiddleware{Hooks: map[engine.Hook]func(context.Context, *engine.Event) engine.Verdict{}}}
	cfg := engine.Config{
		Tenants:    []engine.TenantConfig{{Name: "default", StartingRooms: []string{"r", "q"}}},
		Middleware: n.mw,
		Cluster:    w.hub.Node(name),
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	n.presence = cfg.Cluster.Presence
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if n.Engine, err = engine.New(cfg); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	n.stop = sync.OnceValue(func() error { cancel(); return <-ran })
	w.Cleanup(func() {
		if err := n.stop(); err != nil {
			w.Errorf("Run of %s: %v", name, err)
		}
		for _, t := range cfg.Tenants {
			if held := n.HeldRooms(t.Name); held != 0 {
				w.Errorf("%s holds %d rooms of %s at the end", name, held, t.Name)
			}
		}
		if n := n.Seats(); n != 0 {
			w.Errorf("%d seats are taken at the end", n)
		}
	})
	<-n.Ready()
	synctest.Wait()
	return n
}

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

func (n *node) tryOpen(d wire.Dialect, r engine.SeatRequest) (*client, error) {
	seat, err := n.Seat(r)
	if err != nil {
		return nil, err
	}
	c := &client{n: n, sink: engine.NewFakeSink(d), dialect: d, requests: make(chan func()), gone: make(chan struct{})}
	transport := "websocket"
	if d == wire.Socket {
		transport = "socket"
	}
	c.Connection, err = seat.Open(context.Background(), engine.Info{Transport: transport, Dialect: d, RemoteIP: "10.0.0.1", RemotePort: 4000}, c.sink)
	if err != nil {
		return nil, err
	}
	go c.read()
	synctest.Wait()
	c.heard() // the welcome
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

// in a room of the tenant "default".
func in(room string) engine.RoomID { return engine.RoomID{Tenant: "default", Room: room} }

// members are the ids of who is in the room, as the cluster knows it.
func (n *node) members(room string) []string {
	n.w.Helper()
	s, err := n.RoomStatus(n.w.Context(), in(room), "", 0)
	if err != nil {
		n.w.Fatal(err)
	}
	var ids []string
	for _, m := range s.Members {
		ids = append(ids, m.ID)
	}
	if s.MembersCount != len(ids) {
		n.w.Errorf("%d members are counted, %d are there", s.MembersCount, len(ids))
	}
	return ids
}

// has checks who is in a room.
func (n *node) has(room string, want ...*client) {
	n.w.Helper()
	var ids []string
	for _, c := range want {
		ids = append(ids, c.ID())
	}
	if got := n.members(room); !slices.Equal(got, ids) {
		n.w.Errorf("in %s are %v, want %v", room, got, ids)
	}
}

// on sets a hook of the node.
func (n *node) on(h engine.Hook, f func(ev *engine.Event) engine.Verdict) {
	n.mw.Hooks[h] = func(_ context.Context, ev *engine.Event) engine.Verdict { return f(ev) }
}

func deny(reason string) engine.Verdict {
	return engine.Verdict{Outcome: engine.Denied, Reason: reason}
}

func emit(room, text string) engine.Effect {
	return engine.Effect{Emit: &engine.Emit{Room: room, Message: wire.Message{Text: text}}}
}

func property(name, value string) engine.Effect {
	return engine.Effect{Property: &engine.Property{Name: name, Value: json.RawMessage(value)}}
}

func destroy(room string) engine.Effect {
	return engine.Effect{Room: &engine.RoomEffect{Name: room, Destroy: true}}
}

func allow(effects ...engine.Effect) engine.Verdict { return engine.Verdict{Effects: effects} }

// must fails the test if err is not what it should be; nil: no error.
func (w *world) must(err, want error) {
	w.Helper()
	if fmt.Sprint(err) != fmt.Sprint(want) {
		w.Errorf("got the error %v, want %v", err, want)
	}
}

func jsonMessage(value string) wire.Message { return wire.Message{Text: value, JSON: true} }

// isEmpty checks that nobody is in a room that may have been destroyed.
func (n *node) isEmpty(room string) {
	n.w.Helper()
	if count, err := n.presence.Count(n.w.Context(), in(room)); count != 0 || err != nil {
		n.w.Errorf("%d ghosts in %s, %v", count, room, err)
	}
}
