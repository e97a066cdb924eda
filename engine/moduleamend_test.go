package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
	"github.com/mootchat/moot/engine/wire"
)

// retraction and revision return the effects of a module that retracts or edits a message of r.
func retraction(id string) hook.Effect {
	return hook.Effect{Amend: &hook.Amendment{Room: "r", ID: id, Module: "tidy"}}
}

func revision(id, text string) hook.Effect {
	return hook.Effect{Amend: &hook.Amendment{Room: "r", ID: id, Edit: true, Message: wire.Message{Text: text}, Module: "tidy"}}
}

// TestModulesAmendMessages checks that a message of another node is edited and then retracted by a module, when it allows an event
// and when it denies one; that members see the system as the editor, and that the events name the module.
func TestModulesAmendMessages(t *testing.T) {
	for _, v := range []hook.Verdict{allow(), deny("no"), {Outcome: hook.Dropped}} {
		inWorld(t, func(w *world) {
			log := &eventLog{kinds: events.Default, ids: map[string]int{}}
			one, two := w.node("one", keepsR), w.node("two", keepsR, func(c *engine.Config) { c.Events = log })
			a, b := one.client().do(roomAddAmending("r")), two.client().do(roomAddAmending("r"))
			id := a.tells("r", "darn")
			a.heardIDs()
			var effect hook.Effect
			two.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
				if ev.Edits != "" {
					return allow()
				}
				return with(v, effect)
			})
			log.take()
			effect = revision(id, "d***")
			b.do(say("r", "first"))
			if heard := strings.Join(a.heardIDs(), ""); !strings.Contains(heard, `{"edits":"`+id+`","message":"d***","room":"r","from":"`+a.ID()+`"`) || !strings.Contains(heard, `"editedBy":"0"`) {
				t.Errorf("received %s", heard)
			}
			if got := log.take(); !slices.Contains(got, `message.edited {"messageId":"*","module":"tidy","room":"r"}`) {
				t.Errorf("the events are %q", got)
			}
			effect = retraction(id)
			b.do(say("r", "second"))
			if heard := strings.Join(a.heardIDs(), ""); !strings.Contains(heard, `{"retracts":"`+id+`","room":"r"`) || !strings.Contains(heard, `"retractedBy":"0"`) {
				t.Errorf("received %s", heard)
			}
			if got := log.take(); !slices.Contains(got, `message.retracted {"messageId":"*","module":"tidy","room":"r"}`) {
				t.Errorf("the events are %q", got)
			}
			if past := b.past("r"); slices.Contains(past, "darn") || slices.Contains(past, "d***") {
				t.Errorf("history has %q", past)
			}
			if got := two.Stats().EmitsDropped; got != 0 {
				t.Errorf("%d effects were dropped", got)
			}
		})
	}
}

// TestModulesKnowTheIDOfAMessage checks the id that rules see at onSayReceive and at say: it is that of the answer to the say. If a
// rule has moved the message, the answer has the id in its room.
func TestModulesKnowTheIDOfAMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR, func(c *engine.Config) { c.Tenants[0].StartingRooms = append(c.Tenants[0].StartingRooms, "s") })
		a := n.client().do(roomAdd("r"), roomAdd("q"), roomAdd("s"))
		var received, delivered string
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			received = ev.MessageID
			if ev.Message.Text == "move" {
				ev.Room = "r"
			}
			return allow()
		})
		n.mw.Say = func(ev *hook.Event, _ []hook.Member) hook.Delivery {
			delivered = ev.MessageID
			return hook.Delivery{All: hook.AsIs}
		}
		if id := a.tells("r", "hi"); received != id || delivered != id {
			t.Errorf("rules see %q and %q, the id is %q", received, delivered, id)
		}
		if id := a.tells("s", "move"); received == id || delivered != id {
			t.Errorf("moved: rules see %q and %q, the id is %q", received, delivered, id)
		} else {
			a.takes(retract("r", id)) // the author proves to be the author in the room that the message has reached
		}
		a.do(say("q", "ephemeral"))
		if received != "" || delivered != "" {
			t.Errorf("ephemeral: rules see %q and %q", received, delivered)
		}
		id := a.tells("r", "once more")
		a.takes(edit("r", id, "twice"))
		if received != id || delivered != id {
			t.Errorf("edited: rules see %q and %q, the id is %q", received, delivered, id)
		}
	})
}

// TestEditsOfModulesEnd checks a module that edits every message, also in reaction to an edit: each edit of a client has one edit of
// the module, whose amendments, emits and rooms are dropped.
func TestEditsOfModulesEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a := n.client().do(roomAddAmending("r"))
		id := a.tells("r", "one")
		var caused []bool
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			caused = append(caused, ev.Caused)
			return allow(revision(ev.MessageID, fmt.Sprint(ev.Message.Text, "!")), retraction("other"), emit("r", "edited"))
		})
		a.takes(edit("r", id, "two"))
		if past := a.past("r"); !slices.Contains(past, "two!") {
			t.Errorf("history has %q", past)
		}
		// The client's edit, the module's edit, and the message that the module emits.
		if fmt.Sprint(caused) != "[false true true]" && fmt.Sprint(caused) != "[false true true true]" {
			t.Errorf("the rules were asked about events caused by effects: %v", caused)
		}
		asked := len(caused)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(caused) != asked {
			t.Errorf("%d further events", len(caused)-asked)
		}
		if got := n.Stats().EmitsDropped; got != 6 { // three of each event that was caused
			t.Errorf("%d effects were dropped, want 6", got)
		}
	})
}

// TestRulesDenyTheEditOfAModule checks that a rule sees the whole new text, and that the message stays if it denies the edit.
func TestRulesDenyTheEditOfAModule(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a := n.client().do(roomAddAmending("r"))
		id := a.tells("r", "one")
		var seen hook.Event
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Edits != "" {
				seen = *ev
				return deny("not so")
			}
			return allow(revision(id, "bad"))
		})
		a.do(say("r", "two"))
		synctest.Wait()
		if seen.Edits != id || seen.MessageID != id || seen.Message.Text != "bad" || !seen.Caused || seen.Conn != nil || seen.From != a.ID() {
			t.Errorf("the rule sees %+v", seen)
		}
		if past := a.past("r"); !slices.Equal(past, []string{"one", "two"}) {
			t.Errorf("history has %q", past)
		}
		if got := n.Stats().EmitsDropped; got != 1 {
			t.Errorf("%d effects were dropped, want 1", got)
		}
	})
}

// TestModulesLeaveWhatAModeratorEdited checks that a module's edit does not replace that of a person, and that the author can.
func TestModulesLeaveWhatAModeratorEdited(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a := n.client().do(roomAddAmending("r"))
		id := a.tells("r", "one")
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(revision(id, "by the module")) })
		w.must(n.EditMessage(w.Context(), in("r"), id, "mia", json.RawMessage(`"by mia"`)), nil)
		n.client().do(roomAdd("r"))
		if past := a.past("r"); !slices.Equal(past, []string{"by mia"}) {
			t.Errorf("history has %q", past)
		}
		a.takes(edit("r", id, "by the author"))
		n.client().do(roomAdd("r"))
		if past := a.past("r"); !slices.Equal(past, []string{"by the module"}) {
			t.Errorf("history has %q", past)
		}
	})
}

// TestModulesLeaveWhatAModeratorEditsMeanwhile has a moderator edit or retract a message while a rule asks a service about the edit of a module.
func TestModulesLeaveWhatAModeratorEditsMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *world, n *node, id string)
		want []string
	}{
		"nothing": {func(*world, *node, string) {}, []string{"slow"}},
		"edited": {func(w *world, n *node, id string) {
			w.must(n.EditMessage(w.Context(), in("r"), id, "mia", json.RawMessage(`"by mia"`)), nil)
		}, []string{"by mia"}},
		"retracted": {func(w *world, n *node, id string) { w.must(n.RetractMessage(w.Context(), in("r"), id, "mia"), nil) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n", keepsR)
				a := n.client().do(roomAdd("r"))
				id := a.tells("r", "one")
				n.asks(hook.OnSayReceive, slow)
				n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(revision(id, "slow")) })
				n.client().do(roomAdd("r"))
				time.Sleep(time.Second)
				c.do(w, n, id)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if past := a.past("r"); !slices.Equal(past, c.want) {
					t.Errorf("history has %q, want %q", past, c.want)
				}
			})
		})
	}
}

// TestAmendmentsOfAModuleAreBounded checks more amendments than one module may have waiting, in a room whose queue does not move:
// those of another module find room, and those over the limit are counted.
func TestAmendmentsOfAModuleAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR, func(c *engine.Config) { c.Tenants[0].StartingRooms = append(c.Tenants[0].StartingRooms, "s") })
		a := n.client().do(roomAdd("r"))
		first, last := retraction(a.tells("r", "mine")), retraction(a.tells("r", "also mine"))
		last.Amend.Module = "other"
		gate := make(chan struct{})
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { <-gate; return allow() })
		effects := []hook.Effect{first} // waits for the queue of r, and the others behind it
		for i := range 299 {
			f := retraction(fmt.Sprint("m", i))
			f.Amend.Room = "s"
			effects = append(effects, f)
		}
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(append(effects, last)...) })
		said := a.Begin(say("r", "it takes a while"))
		synctest.Wait()
		n.client().do(roomAdd("q"))
		if got := n.Stats().EmitsDropped; got != 300-256 {
			t.Errorf("%d amendments were dropped, want %d", got, 300-256)
		}
		close(gate)
		<-said
		synctest.Wait()
		if past := a.past("r"); !slices.Equal(past, []string{"it takes a while"}) {
			t.Errorf("history has %q", past)
		}
		if got := n.Stats().EmitsDropped; got != 300-256 {
			t.Errorf("%d amendments were dropped, want %d", got, 300-256)
		}
	})
}

// TestAnAmendmentOfAModuleWaitsForTheTenantsRate checks that a retraction is repeated until the tenant may publish again, and that an edit
// of a waiting message does not replace it.
func TestAnAmendmentOfAModuleWaitsForTheTenantsRate(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR, func(c *engine.Config) { c.Tenants[0].MessagesPerSecond = 1 })
		a := n.client().do(roomAdd("r"))
		id := a.tells("r", "one")
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(retraction(id), revision(id, "two")) })
		a.do(say("r", "another")) // the bucket of two seconds is empty
		n.client().do(roomAdd("q"))
		if past := a.past("r"); !slices.Equal(past, []string{"one", "another"}) {
			t.Errorf("history has %q", past)
		}
		time.Sleep(5 * time.Second)
		if past := a.past("r"); !slices.Equal(past, []string{"another"}) {
			t.Errorf("history has %q", past)
		}
	})
}

// TestAnAmendmentOfAModuleFails checks a room without history, an ephemeral room, an unknown room, and a shadowed author's message,
// whose effects nobody else may notice.
func TestAnAmendmentOfAModuleFails(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}), keepsR, func(c *engine.Config) { c.Tenants[0].StartingRooms = append(c.Tenants[0].StartingRooms, "s") })
		a, ann := n.client().do(roomAddAmending("r"), roomAddAmending("q"), roomAddAmending("s")), n.as("ann").do(roomAdd("r"))
		id := a.tells("r", "one")
		a.heardIDs()
		var effects []hook.Effect
		for _, room := range []string{"q", "s", "nowhere"} {
			f := revision(id, "two")
			f.Amend.Room = room
			effects = append(effects, f)
		}
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(effects...) })
		n.client().do(roomAdd("r"))
		a.hears()
		if got := n.Stats().EmitsDropped; got != 3 {
			t.Errorf("%d amendments were dropped, want 3", got)
		}
		n.sanctions(sanction(moderation.Shadow, "ann", "r", 0))
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return allow(retraction(id)) })
		ann.do(say("r", "shadowed"))
		a.hears()
		if past := a.past("r"); !slices.Equal(past, []string{"one"}) {
			t.Errorf("history has %q", past)
		}
	})
}

// TestAReleasedMessageHasItsID checks the id that the rules behind a hold see.
func TestAReleasedMessageHasItsID(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.holding().node("one", keepsR)
		ann := n.as("ann").do(roomAdd("r"))
		held := ann.holds(say("r", "hold 1"))
		var seen string
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict { seen = ev.MessageID; return allow() })
		if one := n.releases(held); seen == "" || seen != one.MessageID {
			t.Errorf("the rule sees the id %q of the message %q", seen, one.MessageID)
		}
	})
}

// TestEffectsOfAnEditApply checks that a rule's property, room and emit at an edit apply, as at a say.
func TestEffectsOfAnEditApply(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a := n.client().do(roomAdd("r"))
		id := a.tells("r", "one")
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Caused {
				return allow()
			}
			return allow(property("edits", "1"), hook.Effect{Room: &hook.RoomEffect{Name: "made"}}, emit("r", "edited"))
		})
		a.takes(edit("r", id, "two"))
		if got := string(a.Profile().Property("edits")); got != "1" {
			t.Errorf("the property is %q", got)
		}
		w.must(n.EditMessage(w.Context(), in("r"), id, "mia", json.RawMessage(`"three"`)), nil)
		if rooms, _, err := n.Rooms(w.Context(), "default", cluster.RoomQuery{Limit: 9}); !slices.Contains(rooms, "made") || err != nil {
			t.Errorf("the rooms are %v, %v", rooms, err)
		}
		if past := a.past("r"); !slices.Equal(past, []string{"three", "edited", "edited"}) {
			t.Errorf("history has %q", past)
		}
	})
}
