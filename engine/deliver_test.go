package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// crowd adds three members to "r" and returns them in the order in which the say chain
// receives them.
func (n *node) crowd() (clients []*client) {
	byID := map[string]*client{}
	for range 3 {
		c := n.client().do(roomAdd("r"))
		byID[c.ID()] = c
	}
	n.mw.Say = func(ev *hook.Event, members []hook.Member) hook.Delivery {
		for _, m := range members {
			clients = append(clients, byID[m.Profile().ID])
		}
		return hook.Delivery{All: hook.Nothing}
	}
	n.w.must(errorOf(n.Broadcast(n.w.Context(), in("r"), "", json.RawMessage(`"who is there?"`))), nil)
	synctest.Wait()
	return clients
}

func answers(texts ...string) (all []wire.Payload) {
	for _, t := range texts {
		all = append(all, wire.Payload{Message: wire.Message{Text: t}, Room: "r", From: "0", Context: "user", SentAt: 1})
	}
	return all
}

func heardAs(text string) string {
	return fmt.Sprintf(`{"message":%q,"room":"r","from":"0","context":"user","sentAt":1}`, text)
}

func TestDeliveries(t *testing.T) {
	asIs := chat("r", "0", "hello")
	for name, c := range map[string]struct {
		delivery hook.Delivery
		want     [3]string // for each member; "": no message
	}{
		"zero":                  {hook.Delivery{}, [3]string{asIs, asIs, asIs}},
		"as it is":              {hook.Delivery{All: hook.AsIs}, [3]string{asIs, asIs, asIs}},
		"nothing":               {hook.Delivery{All: hook.Nothing}, [3]string{}},
		"one answer for all":    {hook.Delivery{Answers: answers("a", "b"), All: 1}, [3]string{heardAs("b"), heardAs("b"), heardAs("b")}},
		"each its own":          {hook.Delivery{Answers: answers("a", "b"), For: []int32{1, hook.AsIs, 0}}, [3]string{heardAs("b"), asIs, heardAs("a")}},
		"some nothing":          {hook.Delivery{Answers: answers("a"), For: []int32{hook.Nothing, 0, hook.Nothing}}, [3]string{"", heardAs("a"), ""}},
		"nobody anything":       {hook.Delivery{For: []int32{hook.Nothing, hook.Nothing, hook.Nothing}}, [3]string{}},
		"no such answer":        {hook.Delivery{Answers: answers("a"), For: []int32{1, 0, -9}}, [3]string{"", heardAs("a"), ""}},
		"no such answer, all":   {hook.Delivery{Answers: answers("a"), All: 1}, [3]string{}},
		"no such answer at all": {hook.Delivery{All: -9}, [3]string{}},
		"too few":               {hook.Delivery{Answers: answers("a"), For: []int32{0}}, [3]string{}},
		"too many":              {hook.Delivery{Answers: answers("a"), For: []int32{0, 0, 0, 0}}, [3]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n")
				clients := n.crowd()
				released := 0
				c.delivery.Release = func() { released++ }
				n.mw.Say = func(*hook.Event, []hook.Member) hook.Delivery { return c.delivery }
				before := n.Stats().Deliveries
				w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hello"`))), nil)
				heard := uint64(0)
				for i, client := range clients {
					if c.want[i] == "" {
						client.hears()
						continue
					}
					client.hears(c.want[i])
					heard++
				}
				if released != 1 {
					w.Errorf("released %d times", released)
				}
				if got := n.Stats().Deliveries - before; got != heard {
					w.Errorf("%d deliveries are counted, want %d", got, heard)
				}
			})
		})
	}
}

func TestSayChainIsAskedOnceForAllMembers(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		clients := n.crowd()
		var asked []hook.Event
		var ids []string
		n.mw.Say = func(ev *hook.Event, members []hook.Member) hook.Delivery {
			asked = append(asked, *ev)
			for _, m := range members {
				ids = append(ids, m.Profile().ID)
				if fmt.Sprint(m.JoinedAt()) != now {
					w.Errorf("joined at %d", m.JoinedAt())
				}
			}
			return hook.Delivery{All: hook.AsIs}
		}
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			ev.Extra = json.RawMessage(`{"flag":true}`)
			return allow()
		})
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`{"n":1}`))), nil)
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`{"n":2}`))), nil)
		if len(asked) != 2 || len(ids) != 6 {
			w.Fatalf("asked %d times about %d members, want twice about three", len(asked), len(ids))
		}
		ev := asked[0]
		if ev.Conn != nil || ev.Message != jsonMessage(`{"n":1}`) || ev.From != "0" || ev.Room != "r" || ev.Context != "user" ||
			string(ev.Extra) != `{"flag":true}` || fmt.Sprint(ev.SentAt) != now || asked[1].Sequence != ev.Sequence+1 {
			w.Errorf("asked about %+v", ev)
		}
		for i, c := range clients {
			if ids[i] != c.ID() {
				w.Error("the members have changed places")
			}
		}
	})
}

// TestAMemberThatLeavesWhileTheChainRunsReceivesNothing checks that a member that leaves while the say
// chain runs receives nothing, and that no other member receives its answer.
func TestAMemberThatLeavesWhileTheChainRunsReceivesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		clients := n.crowd()
		n.mw.Say = func(_ *hook.Event, members []hook.Member) hook.Delivery {
			w.must(n.RemoveMember(w.Context(), in("r"), clients[0].ID()), nil)
			return hook.Delivery{Answers: answers("zero", "one", "two"), For: []int32{0, 1, 2}}
		}
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hello"`))), nil)
		clients[0].hears()
		clients[1].hears(heardAs("one"))
		clients[2].hears(heardAs("two"))
	})
}

// TestASnapshotChangesOnlyWithItsMembers checks that the MemberSnapshot changes only when
// a member or a profile changes.
func TestASnapshotChangesOnlyWithItsMembers(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		clients := n.crowd()
		var last *hook.MemberSnapshot
		n.mw.Say = func(ev *hook.Event, _ []hook.Member) hook.Delivery {
			last = ev.Snapshot
			return hook.Delivery{All: hook.AsIs}
		}
		ask := func() *hook.MemberSnapshot {
			w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hello"`))), nil)
			return last
		}
		first := ask()
		if first == nil || ask() != first {
			w.Error("nobody came or went, and the crowd is another")
		}
		for what, change := range map[string]func(){
			"a property": func() {
				w.must(n.SetProperty(w.Context(), "default", clients[0].ID(), "p", json.RawMessage("1")), nil)
			},
			"a member less": func() { w.must(n.RemoveMember(w.Context(), in("r"), clients[1].ID()), nil) },
		} {
			before := ask()
			if change(); ask() == before {
				w.Errorf("%s, and the crowd is the same", what)
			}
		}
	})
}

func TestEachDistinctAnswerIsEncodedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		clients := n.crowd()
		n.mw.Say = func(*hook.Event, []hook.Member) hook.Delivery {
			return hook.Delivery{Answers: answers("a", "b", "never"), For: []int32{0, 1, 0}}
		}
		var frames [3][]byte
		for i, c := range clients {
			c.Sink.OnWrite(func(p []byte) { frames[i] = p })
		}
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hello"`))), nil)
		synctest.Wait()
		if &frames[0][0] != &frames[2][0] || &frames[0][0] == &frames[1][0] {
			w.Error("the members who get the same do not share it")
		}
	})
}

func TestMessageThatIsNoPayloadIsDropped(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		clients := n.crowd()
		n.mw.Say = func(*hook.Event, []hook.Member) hook.Delivery { return hook.Delivery{} }
		for _, garbage := range []string{"", "{}", "null", "\xff"} {
			n.Deliver(w.Context(), in("r"), cluster.Position{}, []byte(garbage))
		}
		n.Deliver(w.Context(), in("nowhere"), cluster.Position{}, []byte("{}"))
		n.Deliver(w.Context(), cluster.RoomID{Tenant: "nobody", Room: "r"}, cluster.Position{}, []byte("{}"))
		for _, c := range clients {
			c.hears()
		}
		if slices.ContainsFunc(clients, func(c *client) bool { return c == nil }) {
			w.Error("the crowd is not complete")
		}
	})
}

func TestMessageOfARoomMayWait(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) {
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, FlushDelay: 10 * time.Millisecond}}
		})
		a := n.client().do(roomAdd("r"))
		a.says(say("r", "hi"), ok)
		time.Sleep(9 * time.Millisecond)
		a.hears()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		a.hears(fmt.Sprintf(`{"message":"hi","room":"r","from":%q,"context":"user","sentAt":946684800000}`, a.ID()))
	})
}
