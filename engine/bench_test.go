package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// floor counts the bytes that reach the sockets of all members.
type floor struct {
	bytes  atomic.Int64
	target atomic.Int64
	full   chan struct{}
}

// discard is the socket of one member. It discards the frames.
type discard struct{ *floor }

// expect makes full receive a value when that number of further bytes has arrived.
func (f *floor) expect(bytes int64) { f.target.Store(f.bytes.Load() + bytes) }

func (d discard) TryWrite(p []byte) (int, error) {
	if d.bytes.Add(int64(len(p))) == d.target.Load() {
		d.full <- struct{}{}
	}
	return len(p), nil
}

func (discard) Write(p []byte) (int, error)         { return len(p), nil }
func (discard) SetWriteDeadline(time.Time) error    { return nil }
func (discard) Bytes(f *wire.Frame) []byte          { return f.WebSocket() }
func (discard) Farewell(engine.Close) (last []byte) { return nil }
func (discard) Close() error                        { return nil }

// hall is an engine with one room, and the connections in the room.
type hall struct {
	*enginetest.Engine
	mw      *enginetest.Middleware
	floor   *floor
	token   string // of members
	members []*engine.Connection
}

func newHall(tb testing.TB, change ...func(*engine.Config)) *hall {
	h := &hall{mw: &enginetest.Middleware{}, floor: &floor{full: make(chan struct{}, 1)}}
	h.Engine = enginetest.Start(tb, func(c *engine.Config) {
		c.Limits = engine.Limits{Connections: 1 << 20, VerbsPerSecond: 1e12}
		c.Middleware = h.mw
		for _, f := range change {
			f(c)
		}
	})
	return h
}

func (h *hall) stop() {
	for _, c := range h.members {
		c.Done(context.Background())
	}
	h.Stop()
}

// greeting is the number of bytes that a client receives until it has joined the room.
var greeting = int64(len(wire.FrameOf(wire.AppendWelcome(nil, "Welcome to the moot api")).WebSocket()) + len(wire.FrameOf([]byte(isTrue)).WebSocket()))

// enter opens connections and joins them to the room.
func (h *hall) enter(tb testing.TB, members int) {
	for range members {
		h.floor.expect(greeting)
		seat, err := h.Reserve(engine.ReservationRequest{Tenant: "default"})
		if err != nil {
			tb.Fatal(err)
		}
		c, err := seat.Open(context.Background(), engine.Info{RemoteIP: "198.51.100.7", Token: h.token}, discard{h.floor})
		if err != nil {
			tb.Fatal(err)
		}
		c.Do(context.Background(), wire.Request{Verb: "roomAdd", Room: "r", RoomGiven: true, ID: json.RawMessage("1")})
		<-h.floor.full
		h.members = append(h.members, c)
	}
}

// deliver sends one message and waits until all members have it.
func (h *hall) deliver(tb testing.TB) {
	frame := wire.FrameOf(wire.AppendPayload(nil, wire.Payload{ID: strings.Repeat("i", 24), Message: wire.Message{Text: line}, Room: "r", From: "0", Context: "user", SentAt: time.Now().UnixMilli()}))
	h.floor.expect(int64(len(h.members) * len(frame.WebSocket())))
	if _, err := h.Broadcast(context.Background(), cluster.RoomID{Tenant: "default", Room: "r"}, "", json.RawMessage(`"`+line+`"`)); err != nil {
		tb.Fatal(err)
	}
	<-h.floor.full
}

const line = "a line of about two hundred bytes, as people and programs write them to each other in rooms: " +
	"long enough to say something, short enough to be read by everyone who happens to be in the room"

// forms returns the forms of a say chain's answer, by name. The function is nil for "no
// chain".
func forms(members int) map[string]func(*hook.Event, []hook.Member) hook.Delivery {
	which := make([]int32, members)
	for i := range which {
		which[i] = int32(i % 5)
	}
	return map[string]func(*hook.Event, []hook.Member) hook.Delivery{
		"no chain": nil,
		"as it is": func(*hook.Event, []hook.Member) hook.Delivery { return hook.Delivery{All: hook.AsIs} },
		"5 classes": func(ev *hook.Event, _ []hook.Member) hook.Delivery {
			p := wire.Payload{Message: ev.Message, Room: ev.Room, From: ev.From, Context: ev.Context, SentAt: ev.SentAt}
			return hook.Delivery{Answers: []wire.Payload{p, p, p, p, p}, For: which}
		},
	}
}

func BenchmarkDeliver(b *testing.B) {
	for name, say := range forms(1000) {
		b.Run(name, func(b *testing.B) {
			h := newHall(b)
			defer h.stop()
			h.enter(b, 1000)
			h.mw.Say = say
			b.ReportAllocs()
			for b.Loop() {
				h.deliver(b)
			}
		})
	}
}

func BenchmarkJoin(b *testing.B) {
	for _, members := range []int{10, 100_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			h := newHall(b)
			defer h.stop()
			h.enter(b, members)
			c := h.members[members/2]
			room := cluster.RoomID{Tenant: "default", Room: "r"}
			b.ReportAllocs()
			for b.Loop() {
				if err := h.RemoveMember(context.Background(), room, c.ID()); err != nil {
					b.Fatal(err)
				}
				if err := h.AddMember(context.Background(), room, c.ID()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSayInARoomOfUsers compares a say to 100 members in a room that names users with one in a room that does not. They run in
// turn, 100 each.
func BenchmarkSayInARoomOfUsers(b *testing.B) {
	const members, turn = 100, 100
	r := wire.Request{Verb: "say", Room: "r", RoomGiven: true, Text: line, ID: json.RawMessage("1")}
	var halls [2]*hall
	var bytes [2]int64 // of one say, with its answer
	for i := range halls {
		h := newHall(b, func(c *engine.Config) {
			c.Tenants[0].Tokens = people
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, Users: i == 1}}
		})
		defer h.stop()
		h.token = "ann"
		h.enter(b, members)
		halls[i] = h
		before := h.floor.bytes.Load()
		h.members[0].Do(b.Context(), r)
		for now := int64(-1); now != h.floor.bytes.Load(); time.Sleep(100 * time.Millisecond) {
			now = h.floor.bytes.Load()
		}
		bytes[i] = h.floor.bytes.Load() - before
	}
	var took [2]time.Duration
	for round := range b.N {
		for k := range halls {
			i := (k + round) % 2
			h, began := halls[i], time.Now()
			for range turn {
				h.floor.expect(bytes[i])
				h.members[0].Do(b.Context(), r)
				<-h.floor.full
			}
			took[i] += time.Since(began)
		}
	}
	b.ReportMetric(float64(took[0].Nanoseconds())/float64(b.N*turn), "without-ns/say")
	b.ReportMetric(float64(took[1].Nanoseconds())/float64(b.N*turn), "users-ns/say")
}

func TestDeliveryAllocatesNothingForAMember(t *testing.T) {
	for name := range forms(0) {
		t.Run(name, func(t *testing.T) {
			var allocs [2]float64
			for i, members := range []int{10, 1000} {
				h := newHall(t)
				h.enter(t, members)
				h.mw.Say = forms(members)[name]
				allocs[i] = testing.AllocsPerRun(20, func() { h.deliver(t) })
				h.stop()
			}
			if allocs[1] > allocs[0]+10 {
				t.Errorf("%.0f allocations for 10 members, %.0f for 1000", allocs[0], allocs[1])
			}
		})
	}
}

// BenchmarkSayBesideQuestions measures the say of a member while others of the room wait for services, which take two
// seconds. "p99-ns" is the 99th percentile.
func BenchmarkSayBesideQuestions(b *testing.B) {
	for _, waiting := range []int{0, 100} {
		b.Run(fmt.Sprint(waiting, " waiting"), func(b *testing.B) {
			h := newHall(b)
			defer h.stop()
			h.enter(b, waiting+1)
			h.mw.On(hook.OnSayReceive, func(ctx context.Context, ev *hook.Event) hook.Verdict {
				if ev.Message.Text == line {
					return hook.Verdict{}
				}
				ev.Waiter.BeginWait()
				defer ev.Waiter.EndWait()
				select {
				case <-time.After(2 * time.Second):
				case <-ctx.Done():
				}
				return hook.Verdict{Waited: 2 * time.Second}
			})
			say := func(c *engine.Connection, text string) {
				c.Do(context.Background(), wire.Request{Verb: "say", Room: "r", RoomGiven: true, Text: text, ID: json.RawMessage("1")})
			}
			var asking sync.WaitGroup
			var over atomic.Bool
			for _, c := range h.members[1:] {
				asking.Go(func() {
					for !over.Load() {
						say(c, "slow")
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				say(h.members[0], line)
				took = append(took, time.Since(begun))
			}
			over.Store(true)
			asking.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
		})
	}
}
