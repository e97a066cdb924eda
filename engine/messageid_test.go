package engine_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// idsOf returns the ids of messages in what a client has received, in order.
func idsOf(heard []string) (ids []string) {
	for _, m := range heard {
		for _, id := range messageID.FindAllStringSubmatch(m, -1) {
			ids = append(ids, id[1])
		}
	}
	return ids
}

// keepsR keeps the messages of r, and makes q ephemeral.
func keepsR(c *engine.Config) {
	c.Tenants[0].Rooms = []engine.RoomSettings{
		{Match: func(room string) bool { return room == "r" }, Retention: cluster.Retention{Messages: 10, For: time.Hour}},
		{Match: func(room string) bool { return room == "q" }, Retention: cluster.Retention{Ephemeral: true}},
	}
}

func actionHero(i *engine.Info) { i.ActionHero = true }

// TestMessagesHaveIDs checks that the answer to a say, the members on all nodes, roomHistory and
// a later join give a message the same id, that a repeated key has the same answer, and that
// clients of ActionHero receive the same messages without ids.
func TestMessagesHaveIDs(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", keepsR, resumes), w.node("two", keepsR, resumes)
		a, b := one.client(), two.client()
		hero, err := two.tryOpen(wire.WebSocket, engine.ReservationRequest{}, actionHero)
		w.must(err, nil)
		for _, c := range []*client{a, b, hero} {
			c.do(roomAdd("r"))
		}
		a.Run(`{"event":"say","room":"r","message":"hi","key":"k","messageId":1}`)
		ids := idsOf(a.heardIDs())
		if len(ids) != 2 || ids[0] != ids[1] {
			t.Fatalf("the answer and the message have the ids %v", ids)
		}
		id := ids[0]
		check := func(what string, heard []string, want ...string) {
			t.Helper()
			if got := idsOf(heard); !slices.Equal(got, want) {
				t.Errorf("%s has the ids %v, want %v: %s", what, got, want, heard)
			}
		}
		check("the other node", b.heardIDs(), id)
		if heard := hero.heardIDs(); len(heard) != 1 || !strings.HasPrefix(heard[0], `{"message":"hi","room":"r",`) {
			t.Errorf("a client of ActionHero receives %s", heard)
		}
		a.Run(`{"event":"say","room":"r","message":"hi","key":"k","messageId":1}`)
		check("the repeated say", a.heardIDs(), id)
		b.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
		check("roomHistory", b.heardIDs(), id)
		hero.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
		if heard := hero.heardIDs(); len(heard) != 1 || !strings.Contains(heard[0], `"messages":[{"message":"hi"`) {
			t.Errorf("a client of ActionHero reads %s", heard)
		}
		hero.says(say("r", "from hero"), ok, strings.Replace(chat("r", hero.ID(), "from hero"), "}", `,"offset":2,"epoch":"`+epochOf(t, b)+`"}`, 1))

		late := one.client()
		late.Run(`{"event":"roomAdd","room":"r","since":{"epoch":"` + epochOf(t, a) + `","offset":0},"messageId":1}`)
		if got := idsOf(late.heardIDs()); len(got) != 2 || got[0] != id || got[1] == id {
			t.Errorf("a late member reads the ids %v, want %s first", got, id)
		}
	})
}

// epochOf returns the epoch of the last message that the client has received since the last call.
func epochOf(t *testing.T, c *client) string {
	t.Helper()
	c.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
	heard := c.heardIDs()
	var last struct{ Data struct{ Epoch string } }
	if err := json.Unmarshal([]byte(heard[len(heard)-1]), &last); err != nil || last.Data.Epoch == "" {
		t.Fatalf("no epoch in %s", heard)
	}
	return last.Data.Epoch
}

// TestEphemeralMessagesHaveNoIDs checks that an ephemeral room costs no bytes for ids.
func TestEphemeralMessagesHaveNoIDs(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keepsR)
		a := n.client().do(roomAdd("q"))
		a.Run(say("q", "hi"))
		if heard := answersFirst(a.heardIDs()); !slices.Equal(heard, []string{ok, chat("q", a.ID(), "hi")}) {
			t.Errorf("received %s", heard)
		}
		id, err := n.Broadcast(w.Context(), in("q"), "", json.RawMessage(`"x"`))
		if err != nil || id != "" {
			t.Errorf("a broadcast has the id %q, %v", id, err)
		}
	})
}

// TestAnswersOfTheSayChainKeepTheID checks that messages that a module changes for some members have
// the id, except for clients of ActionHero, and that each answer reaches the right members.
func TestAnswersOfTheSayChainKeepTheID(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keepsR)
		var clients []*client
		for i := range 4 {
			change := func(*engine.Info) {}
			if i%2 == 1 {
				change = actionHero
			}
			c, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{}, change)
			w.must(err, nil)
			clients = append(clients, c.do(roomAdd("r")))
		}
		for _, each := range []bool{true, false} {
			n.mw.Say = func(ev *hook.Event, members []hook.Member) hook.Delivery {
				d := hook.Delivery{Answers: []wire.Payload{{Message: wire.Message{Text: "for you"}, Room: "r", From: ev.From, Context: "user", SentAt: ev.SentAt}}}
				for _, m := range members {
					if each && (m.Profile().ID == clients[0].ID() || m.Profile().ID == clients[1].ID()) {
						d.For = append(d.For, hook.AsIs)
					} else if each {
						d.For = append(d.For, 0)
					}
				}
				return d
			}
			id, err := n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hi"`))
			w.must(err, nil)
			for i, c := range clients {
				want := `{"message":"for you",`
				if each && i < 2 {
					want = `{"message":"hi",`
				}
				heard := c.heardIDs()
				if len(heard) != 1 || !strings.HasPrefix(heard[0], want) || strings.Contains(heard[0], `,"id":"`+id+`",`) != (i%2 == 0) {
					t.Errorf("client %d (each %v) receives %s, want %s and the id %s", i, each, heard, want, id)
				}
			}
		}
	})
}

// TestTheAnswerToADroppedMessageHasAnID checks that the answer does not show the sender that a
// module dropped the message.
func TestTheAnswerToADroppedMessageHasAnID(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keepsR)
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return hook.Verdict{Outcome: hook.Dropped} })
		a := n.client().do(roomAdd("r"))
		a.Run(say("r", "hi"))
		if heard := a.heardIDs(); len(heard) != 1 || len(idsOf(heard)) != 1 {
			t.Errorf("received %s", heard)
		}
	})
}

// TestMessagesOfEarlierVersionsAreDelivered checks that a stored message without an id is delivered as it is.
func TestMessagesOfEarlierVersionsAreDelivered(t *testing.T) {
	inWorld(t, func(w *world) {
		var broker cluster.Broker
		n := w.node("one", keepsR, func(c *engine.Config) { broker = c.Cluster.Broker })
		a := n.client().do(roomAdd("r"))
		old := wire.AppendPayload(nil, wire.Payload{Message: wire.Message{Text: "old"}, Room: "r", From: "0", Context: "user", SentAt: 1})
		w.must(broker.Publish(w.Context(), in("r"), old, cluster.Retention{Messages: 10, For: time.Hour}), nil)
		for _, request := range []string{"", `{"event":"roomHistory","room":"r","messageId":1}`} {
			if request != "" {
				a.Run(request)
			}
			if heard := a.heardIDs(); len(heard) != 1 || !strings.Contains(heard[0], `{"message":"old","room":"r","from":"0","context":"user","sentAt":1,"offset":1,`) {
				t.Errorf("received %s", heard)
			}
		}
	})
}
