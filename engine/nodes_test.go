package engine_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

// pair starts two nodes with a client each.
func (w *world) pair() (one, two *node, a, b *client) {
	one, two = w.node("one"), w.node("two")
	return one, two, one.client(), two.client()
}

func TestRoomSpansNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, a, b := w.pair()
		a.do(roomAdd("r"))
		b.do(roomAdd("r"))
		one.has("r", a, b)
		a.says(say("r", "hello"), ok, chat("r", a.ID(), "hello"))
		b.hears(chat("r", a.ID(), "hello"))
		b.do(roomLeave("r"))
		a.says(say("r", "anyone?"), ok, chat("r", a.ID(), "anyone?"))
		b.hears()
		two.has("r", a)
		if got := two.HeldRooms("default"); got != 0 {
			w.Errorf("the other node holds %d rooms that nobody is in there", got)
		}
	})
}

func TestServerReachesConnectionsOfOtherNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, _, b := w.pair()
		ctx := w.Context()
		w.must(one.AddMember(ctx, in("r"), b.ID()), nil)
		two.has("r", b)
		w.must(one.AddMember(ctx, in("r"), b.ID()), &engine.VerbError{Text: "connection already in this room (r)"})
		err := one.AddMember(ctx, in("nowhere"), b.ID())
		w.must(err, cluster.ErrNoRoom)
		w.must(errorOf(one.Broadcast(ctx, in("r"), b.ID(), json.RawMessage(`"as b"`))), nil)
		b.hears(chat("r", b.ID(), "as b"))
		w.must(errorOf(one.Broadcast(ctx, in("q"), b.ID(), json.RawMessage(`"x"`))), &engine.VerbError{Text: "connection not in this room (q)"})
		w.must(one.RemoveMember(ctx, in("r"), b.ID()), nil)
		w.must(one.RemoveMember(ctx, in("r"), b.ID()), &engine.VerbError{Text: "connection not in this room (r)"})

		for value, want := range map[string]string{
			`{"alert":1}`:               `{"alert":1,"context":"api"}`,
			`{"context":"alert","b":2}`: `{"b":2,"context":"alert"}`,
			`"text"`:                    `{"context":"api","from":"0","message":"text"}`,
			`[1, 2]`:                    `{"context":"api","from":"0","message":[1,2]}`,
			`null`:                      `{"context":"api","from":"0","message":null}`,
		} {
			w.must(one.SendMessage(ctx, "default", b.ID(), json.RawMessage(value)), nil)
			b.hears(want)
		}
		w.must(two.SendMessage(ctx, "default", b.ID(), json.RawMessage(`{`)), &engine.VerbError{Text: "message is not JSON"})

		w.must(one.SetProperty(ctx, "default", b.ID(), "level", json.RawMessage(`{"n":1}`)), nil)
		if got := string(b.Profile().Property("level")); got != `{"n":1}` {
			w.Errorf("the property is %s", got)
		}
		w.must(one.SetProperty(ctx, "default", b.ID(), "level", nil), nil)
		if got := b.Profile().Property("level"); got != nil {
			w.Errorf("the property is %s after it was removed", got)
		}

		details, err := one.Connection(ctx, "default", b.ID())
		if err != nil || details.ID != b.ID() || details.Node != "two" || details.Tenant != "default" {
			w.Errorf("details are %+v, %v", details, err)
		}
		w.must(one.Disconnect(ctx, "default", b.ID()), nil)
		b.hears("bye removed by the server (3503)")
		<-b.Gone
		w.must(one.Disconnect(ctx, "default", b.ID()), fmt.Errorf("no such connection: %q", b.ID()))
		w.must(one.Disconnect(ctx, "default", "gone-x"), fmt.Errorf(`no such connection: "gone-x"`))
	})
}

func TestPropertiesAreChecked(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client()
		set := func(name, value string) error {
			return n.SetProperty(w.Context(), "default", a.ID(), name, json.RawMessage(value))
		}
		before := a.Profile()
		for _, name := range []string{"b", "c", "a"} {
			w.must(set(name, "1"), nil)
		}
		w.must(set("b", "2"), nil)
		var names []string
		for _, p := range a.Profile().Properties {
			names = append(names, p.Name+string(p.Value))
		}
		if fmt.Sprint(names) != "[a1 b2 c1]" || len(before.Properties) != 0 {
			w.Errorf("properties are %v, of the profile before %v", names, before.Properties)
		}
		w.must(set("big", `"`+string(make([]byte, 0))+long(16<<10)+`"`), &engine.VerbError{Text: "properties too large"})
		bad := &engine.VerbError{Text: "a property needs a name and a JSON value"}
		w.must(set("", "1"), bad)
		w.must(set("x", "{"), bad)
		engine.Claim(a.Connection, "user", `"u1"`)
		w.must(set("user", `"u2"`), &engine.VerbError{Text: "property user comes from the token and cannot be changed"})
	})
}

func TestDestroyReachesMembersOnAllNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, a, b := w.pair()
		l1, l2 := one.countLeavers(allowed), two.countLeavers(func(*hook.Event) hook.Verdict { return deny("stay") })
		a.do(roomAdd("r"))
		b.do(roomAdd("r"))
		w.must(one.DestroyRoom(w.Context(), in("r")), nil)
		a.hears(chat("r", "0", "this room has been deleted"))
		b.hears(chat("r", "0", "this room has been deleted"))
		l1.check(w, hook.CauseDestroyed, 1)
		l2.check(w, hook.CauseDestroyed, 1)
		one.isEmpty("r")
		if got := append(a.Rooms(), b.Rooms()...); len(got) != 0 {
			w.Errorf("they are still in %v", got)
		}
	})
}

func TestRoomCreatedTwiceExists(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, _, _ := w.pair()
		w.must(one.CreateRoom(w.Context(), in("new")), nil)
		w.must(two.CreateRoom(w.Context(), in("new")), fmt.Errorf(`create "new": room exists`))
		if rooms, _, err := two.Rooms(w.Context(), "default", cluster.RoomQuery{Limit: 100}); fmt.Sprint(rooms) != "[new q r]" || err != nil {
			w.Errorf("rooms are %v, %v", rooms, err)
		}
	})
}

func TestMembersOfALostNodeLeaveOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.node("one")
		var lost []*hook.Profile
		l := one.countLeavers(func(ev *hook.Event) hook.Verdict {
			lost = append(lost, ev.Conn)
			return hook.Verdict{Effects: []hook.Effect{emit("r", "someone was lost")}}
		})
		a := one.client().do(roomAdd("r"))
		two := w.node("two")
		b := two.client()
		w.must(two.SetProperty(w.Context(), "default", b.ID(), "level", json.RawMessage(`3`)), nil)
		b.do(roomAdd("r"), roomAdd("q"))
		one.has("r", a, b)
		w.must(w.hub.Kill("two"), nil)
		l.check(w, hook.CauseNodeLost, 2)
		one.has("r", a)
		one.has("q")
		a.hears(chat("r", "0", "someone was lost"), chat("r", "0", "someone was lost"))
		for _, p := range lost {
			if p.ID != b.ID() || p.Tenant != "default" || p.Transport != "websocket" || p.RemoteIP != "10.0.0.1" || string(p.Property("level")) != "3" {
				w.Errorf("leave was asked about %+v", p)
			}
		}
	})
}

// TestMembersOfAStoppedNodeLeaveOnce checks that a node that stops runs leave for its own
// members, and that other nodes do not run it again.
func TestMembersOfAStoppedNodeLeaveOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, a, b := w.pair()
		l1, l2 := one.countLeavers(allowed), two.countLeavers(func(*hook.Event) hook.Verdict {
			time.Sleep(time.Second) // long enough for other nodes to treat the node as dead
			return allow()
		})
		a.do(roomAdd("r"))
		b.do(roomAdd("r"))
		two.Stop()
		l2.check(w, hook.CauseDisconnect, 1)
		l1.check(w, hook.CauseDisconnect, 0)
		one.has("r", a)
	})
}

func TestOneOrderOnAllNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, a, b := w.pair()
		a.do(roomAdd("r"))
		b.do(roomAdd("r"))
		var all sync.WaitGroup
		for i := range 10 {
			for _, n := range []*node{one, two} {
				all.Go(func() { w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", fmt.Appendf(nil, `"%d"`, i))), nil) })
			}
		}
		all.Wait()
		synctest.Wait()
		heard := a.heard()
		if len(heard) != 20 {
			w.Errorf("received %d messages, want 20", len(heard))
		}
		b.hears(heard...)
	})
}

func TestCallsThatAreNotUnderstood(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client()
		if _, err := n.Answer(w.Context(), []byte("{")); err == nil {
			w.Error("half a call was answered")
		}
		reply, err := n.Answer(w.Context(), []byte(`{"do":"dance","tenant":"default","connection":"`+a.ID()+`"}`))
		if want := `{"error":"call \"dance\" is not known to this node"}`; string(reply) != want || err != nil {
			w.Errorf("answered %s, %v", reply, err)
		}
	})
}
