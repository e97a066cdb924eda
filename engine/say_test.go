package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

func TestAllMembersReceiveAMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b, c := n.client(), n.socket(), n.client()
		a.do(roomAdd("r"))
		b.do("roomAdd r")
		c.do(roomAdd("q"))
		a.says(say("r", "héllo \u2028 \"x\""), ok, `{"message":"héllo \u2028 \"x\"","room":"r","from":"`+a.ID()+`","context":"user","sentAt":`+now+`}`)
		b.hears(`{"message":"héllo \u2028 \"x\"","room":"r","from":"` + a.ID() + `","context":"user","sentAt":` + now + `}`)
		c.hears()
		if s := n.Stats(); s.Messages != 1 || s.Deliveries != 2 || s.Connections != 3 {
			w.Errorf("stats are %+v", s)
		}
	})
}

func TestRulesOfSaying(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b, c := n.client(), n.client(), n.client()
		a.do(roomAdd("r"))
		b.do(roomAdd("r"))
		c.do(roomAdd("q"))
		var asked []hook.Event
		rule := func(*hook.Event) hook.Verdict { return allow() }
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			asked = append(asked, *ev)
			return rule(ev)
		})
		saying := say("r", "hello")

		rule = func(ev *hook.Event) hook.Verdict {
			ev.Message, ev.From, ev.SentAt, ev.Extra = jsonMessage(`{"n":1}`), "someone", 5, json.RawMessage(`{"receivedAt":6}`)
			return allow()
		}
		rewritten := `{"message":{"n":1},"room":"r","from":"someone","context":"user","sentAt":5,"receivedAt":6}`
		a.says(saying, ok, rewritten)
		b.hears(rewritten)

		rule = func(ev *hook.Event) hook.Verdict { ev.Room = "q"; return allow() }
		a.says(saying, ok)
		b.hears()
		c.hears(chat("q", a.ID(), "hello")) // c receives it although a is not a member of q

		rule = func(ev *hook.Event) hook.Verdict { ev.Room = "nowhere"; return allow(emit("r", "never")) }
		a.says(saying, failedSaying("room does not exist"))

		rule = func(ev *hook.Event) hook.Verdict { return hook.Verdict{Outcome: hook.Dropped} }
		a.says(saying, ok)
		rule = func(ev *hook.Event) hook.Verdict { return deny("mind your words") }
		a.says(saying, failedSaying("mind your words"))
		rule = func(ev *hook.Event) hook.Verdict {
			return hook.Verdict{Outcome: hook.Failed, Reason: "unreachable executed at 0x7f"}
		}
		a.says(saying, failedSaying("middleware error"))
		rule = func(ev *hook.Event) hook.Verdict { ev.Message.Text = strings.Repeat("x", 1<<20+1); return allow() }
		a.says(saying, failedSaying("message too large"))
		b.hears()
		c.hears()
		if len(asked) != 7 {
			w.Errorf("onSayReceive was asked %d times for 7 messages", len(asked))
		}
		first := asked[0]
		if first.Conn.ID != a.ID() || first.Room != "r" || first.From != a.ID() || first.Context != "user" || first.Message.Text != "hello" || fmt.Sprint(first.SentAt) != now {
			w.Errorf("it was asked about %+v", first)
		}
	})
}

func failedSaying(text string) string {
	return strings.Replace(failed(text), `"data":{}`, `"data":{"message":"hello"}`, 1)
}

func TestSystemsMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client().do(roomAdd("r"))
		var from []*hook.Profile
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict { from = append(from, ev.Conn); return allow() })
		ctx := w.Context()
		w.must(errorOf(n.Broadcast(ctx, in("r"), "", json.RawMessage(`"hello"`))), nil)
		a.hears(chat("r", "0", "hello"))
		w.must(errorOf(n.Broadcast(ctx, in("r"), "", json.RawMessage(`{"a": [1]}`))), nil)
		a.hears(`{"message":{"a": [1]},"room":"r","from":"0","context":"user","sentAt":` + now + `}`)
		w.must(errorOf(n.Broadcast(ctx, in("r"), a.ID(), json.RawMessage(`"as a"`))), nil)
		a.hears(chat("r", a.ID(), "as a"))
		if len(from) != 3 || from[0] != nil || from[2] == nil || from[2].ID != a.ID() {
			w.Errorf("onSayReceive was asked about %v", from)
		}
		w.must(errorOf(n.Broadcast(ctx, in("nowhere"), "", json.RawMessage(`"hello"`))), nil) // no error, as in ActionHero
		both := &engine.VerbError{Text: "both room and message are required"}
		w.must(errorOf(n.Broadcast(ctx, in(""), "", json.RawMessage(`"x"`))), both)
		for _, nothing := range []string{`""`, `null`} {
			w.must(errorOf(n.Broadcast(ctx, in("r"), "", json.RawMessage(nothing))), both)
		}
		w.must(errorOf(n.Broadcast(ctx, in("r"), "", json.RawMessage(`{"`))), &engine.VerbError{Text: "message is not JSON"})
		w.must(errorOf(n.Broadcast(ctx, in("a\nb"), "", json.RawMessage(`"x"`))), &engine.VerbError{Text: "invalid room name"})
		w.must(errorOf(n.Broadcast(ctx, in("q"), a.ID(), json.RawMessage(`"x"`))), &engine.VerbError{Text: "connection not in this room (q)"})
		w.must(errorOf(n.Broadcast(ctx, in("r"), "n-nobody", json.RawMessage(`"x"`))), fmt.Errorf(`no such connection: "n-nobody"`))
		w.must(errorOf(n.Broadcast(ctx, in("r"), "nobody", json.RawMessage(`"x"`))), fmt.Errorf(`no such connection: "nobody"`))
		w.must(errorOf(n.Broadcast(ctx, cluster.RoomID{Tenant: "other", Room: "r"}, "", json.RawMessage(`"x"`))), fmt.Errorf(`no such tenant: "other"`))
		a.hears()
		w.must(n.DestroyRoom(ctx, in("r")), nil)
		a.hears(chat("r", "0", "this room has been deleted"))
		w.must(n.DestroyRoom(ctx, in("r")), fmt.Errorf(`destroy "r": room does not exist`))
	})
}

func TestEffectsOfEffectsAreDropped(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client().do(roomAdd("r"))
		var caused []bool
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			caused = append(caused, ev.Caused)
			return allow(emit("r", "echo of "+ev.Message.Text), property("said", `"`+ev.Message.Text+`"`),
				hook.Effect{Room: &hook.RoomEffect{Name: "room of " + ev.Message.Text}},
				hook.Effect{Emit: &hook.Emit{Connection: "n-nobody"}})
		})
		a.says(say("r", "hello"), ok, chat("r", a.ID(), "hello"), chat("r", "0", "echo of hello"))
		if fmt.Sprint(caused) != "[false true]" {
			w.Errorf("caused was %v", caused)
		}
		if got := string(a.Profile().Property("said")); got != `"hello"` {
			w.Errorf("the property is %s", got)
		}
		if rooms, _, err := n.Rooms(w.Context(), "default", cluster.RoomQuery{Limit: 100}); fmt.Sprint(rooms) != "[q r room of hello]" || err != nil {
			w.Errorf("rooms are %v, %v", rooms, err)
		}
		if got := n.Stats().EmitsDropped; got != 4 { // one emit to no connection, and three effects of the message "echo of hello"
			w.Errorf("%d effects were dropped, want 4", got)
		}
	})
}

func TestRoomIsBusyWhenItsQueueIsFull(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, calm := n.client().do(roomAdd("r")), n.client().do(roomAdd("q"))
		gate := make(chan struct{})
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Room == "r" {
				<-gate
			}
			return allow()
		})
		var senders sync.WaitGroup
		for range 1 + engine.MaxQueued { // the chain runs for one message; the others wait
			senders.Go(func() { w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"x"`))), nil) })
		}
		synctest.Wait()
		a.says(say("r", "hello"), failedSaying("room busy"))
		calm.says(say("q", "hello"), ok, chat("q", calm.ID(), "hello"))
		close(gate)
		senders.Wait()
		if heard := a.heard(); len(heard) != 257 {
			w.Errorf("received %d messages, want 257", len(heard))
		}
		if got := n.Stats().RoomBusy; got != 1 {
			w.Errorf("the room was busy %d times, want once", got)
		}
		a.says(say("r", "again"), ok, chat("r", a.ID(), "again"))
	})
}

// TestOneOrderForAll checks that all members of a room receive the messages of concurrent
// senders in the same order, which keeps the order of each sender.
func TestOneOrderForAll(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Limits.VerbsPerSecond = 1e6 })
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict { return allow() })
		const senders, messages = 8, 50
		var clients []*client
		for i := range senders {
			c := n.client()
			if i%2 == 1 {
				c = n.open(wire.Socket, engine.ReservationRequest{Tenant: "default"})
			}
			<-c.Begin(`{"event":"roomAdd","room":"r"}`)
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.heard()
		}
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				for k := range messages {
					<-c.Begin(fmt.Sprintf(`{"event":"say","room":"r","message":"%d %d","messageId":1}`, i, k))
				}
			})
		}
		all.Wait()
		var want []string
		for _, c := range clients {
			var got []string
			next := map[string]int{}
			for _, m := range c.heard() {
				p, err := wire.ParsePayload([]byte(m))
				if err != nil {
					continue // an answer to the client's own request
				}
				got = append(got, p.Message.Text)
				who, number, _ := strings.Cut(p.Message.Text, " ")
				if number != fmt.Sprint(next[who]) {
					w.Fatalf("%s is out of order, want %d", p.Message.Text, next[who])
				}
				next[who]++
			}
			if want == nil {
				want = got
			}
			if len(got) != senders*messages || strings.Join(got, ",") != strings.Join(want, ",") {
				w.Fatalf("two members received different orders: %d and %d messages", len(got), len(want))
			}
		}
	})
}
