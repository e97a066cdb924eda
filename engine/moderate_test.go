package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
)

// sanctionBy returns the effect of a module that sets a sanction of a user or an address.
func sanctionBy(module string, kind moderation.Kind, subject, rooms string, ttl time.Duration) hook.Effect {
	s := sanction(kind, subject, rooms, 0)
	s.Tenant, s.By, s.Module, s.Reason = "", "", module, "three strikes"
	if err := s.Identify(); err != nil {
		panic(err)
	}
	return hook.Effect{Sanction: &hook.Sanction{Set: s, TTL: ttl}}
}

func pardonBy(module string, kind moderation.Kind, subject, rooms string) hook.Effect {
	f := sanctionBy(module, kind, subject, rooms, 0)
	f.Sanction.Pardon = true
	return f
}

func removal(connection, room, reason string) hook.Effect {
	return hook.Effect{Removal: &hook.Removal{Connection: connection, Room: room, Reason: reason, Module: "strict"}}
}

// with returns a verdict with effects.
func with(v hook.Verdict, effects ...hook.Effect) hook.Verdict {
	v.Effects = effects
	return v
}

// TestADenialMutes checks that the sanction of a denied or dropped message holds for the next message of the user on all
// nodes, and that the module is not asked again.
func TestADenialMutes(t *testing.T) {
	for _, v := range []hook.Verdict{deny("no"), {Outcome: hook.Dropped}} {
		inWorld(t, func(w *world) {
			store := &memory.Store{}
			a, b := w.node("a", moderated(store)), w.node("b", moderated(store))
			asked := 0
			a.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
				asked++
				return with(v, emit("r", "nobody hears this"), sanctionBy("strikes", moderation.Mute, "ann", "*", time.Minute))
			})
			ann, also, bob := a.as("ann").do(roomAdd("r")), b.as("ann").do(roomAdd("r")), b.as("bob").do(roomAdd("r"))
			ann.do(say("r", "darn"))
			muted := "muted until 2000-01-01T00:01:00Z: three strikes"
			ann.says(say("r", "darn"), refused(muted, unsaid("darn"), time.Minute))
			synctest.Wait()
			also.says(say("r", "darn"), refused(muted, unsaid("darn"), time.Minute))
			bob.hears()
			if asked != 1 {
				w.Errorf("the module was asked %d times", asked)
			}
			page, _, err := a.Sanctions(w.Context(), "default", moderation.Query{Limit: 10})
			if err != nil || len(page) != 1 || page[0].Module != "strikes" || page[0].By != "" {
				w.Errorf("stored are %+v, %v", page, err)
			}
		})
	}
}

// TestASanctionOfAnAllowedMessageFollowsIt checks that the message is published, and that the next one in the queue of the
// room is refused already.
func TestASanctionOfAnAllowedMessageFollowsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		decide := make(chan struct{})
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
			<-decide
			return allow(sanctionBy("strikes", moderation.Mute, "ann", "r", 0))
		})
		ann, also, bob := n.as("ann").do(roomAdd("r")), n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
		first := ann.Begin(say("r", "the last one"))
		synctest.Wait()
		second := also.Begin(say("r", "too late"))
		synctest.Wait()
		close(decide)
		<-first
		<-second
		bob.hears(chat("r", ann.ID(), "the last one"))
		if got := strings.Join(also.heard(), ""); !strings.Contains(got, "muted: three strikes") {
			w.Errorf("the second message: %s", got)
		}
	})
}

// TestNothingIsAppliedWhenTheChainFailed checks effects beside the outcome Failed.
func TestNothingIsAppliedWhenTheChainFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		n := w.node("n", moderated(store))
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
			return with(hook.Verdict{Outcome: hook.Failed}, sanctionBy("strikes", moderation.Mute, "ann", "*", 0))
		})
		n.as("ann").do(roomAdd("r"), say("r", "darn"))
		synctest.Wait()
		if page, _, err := n.Sanctions(w.Context(), "default", moderation.Query{Limit: 10}); len(page) != 0 || err != nil {
			w.Errorf("stored are %+v, %v", page, err)
		}
	})
}

// TestAModuleDoesNotTouchWhatAPersonSet checks that a module's shorter mute and its pardon leave the mute of a person.
func TestAModuleDoesNotTouchWhatAPersonSet(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		effect := sanctionBy("strikes", moderation.Mute, "ann", "*", time.Second)
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(effect) })
		ann := n.as("ann")
		n.sanctions(sanction(moderation.Mute, "ann", "*", time.Hour))
		persons := refused("muted until 2000-01-01T01:00:00Z: be kind", unsaid("x"), time.Hour)
		ann.do(roomAdd("r")).says(say("r", "x"), persons)
		effect = pardonBy("strikes", moderation.Mute, "ann", "*")
		ann.do(roomAdd("q")).says(say("r", "x"), persons)
		synctest.Wait()
		page, _, err := n.Sanctions(w.Context(), "default", moderation.Query{Limit: 10})
		if err != nil || len(page) != 1 || page[0].Module != "" {
			w.Errorf("stored are %+v, %v", page, err)
		}
	})
}

// stuck is a store whose changes wait for a value from let. They fail with this error, or succeed if it is nil.
type stuck struct {
	memory.Store
	let chan error
}

func (s *stuck) Set(ctx context.Context, one moderation.Sanction) (moderation.Sanction, error) {
	if err := <-s.let; err != nil {
		return one, err
	}
	return s.Store.Set(ctx, one)
}

func (s *stuck) Remove(ctx context.Context, tenant, id string) (bool, error) {
	if err := <-s.let; err != nil {
		return false, err
	}
	return s.Store.Remove(ctx, tenant, id)
}

// TestAChainDoesNotWaitForTheStore checks a store that does not answer: sanctions and pardons of modules hold on the node
// at once and in their order, also after the store has sent all sanctions anew, and are stored later.
func TestAChainDoesNotWaitForTheStore(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &stuck{let: make(chan error)}
		n := w.node("n", moderated(store))
		var v hook.Verdict
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return v })
		n.on(hook.Join, func(ev *hook.Event) hook.Verdict {
			if ev.Room == "q" {
				return with(deny("pardoned"), pardonBy("strikes", moderation.Mute, "ann", "*"))
			}
			return allow()
		})
		ann, dan := n.as("ann").do(roomAdd("r")), n.client().do(roomAdd("r"))
		v = with(deny("no"), sanctionBy("strikes", moderation.Mute, "ann", "*", 0))
		ann.do(say("r", "darn"))
		muted := refused("muted: three strikes", unsaid("x"), 0)
		ann.says(say("r", "x"), muted)

		other := sanction(moderation.Mute, "bob", "*", 0) // the node receives a sanction that a person sets on another node
		w.must(other.Identify(), nil)
		_, err := store.Store.Set(w.Context(), other)
		w.must(err, nil)
		ann.says(say("r", "x"), muted)

		ann.do(roomAdd("q"))
		v = allow()
		ann.says(say("r", "x"), ok, chat("r", ann.ID(), "x"))
		store.let <- errors.New("store is away") // of the mute, which a pardon has replaced meanwhile
		time.Sleep(time.Second)
		store.let <- nil
		synctest.Wait()
		store.let <- nil
		synctest.Wait()
		dan.heard()
		ann.do(say("r", "x"))
		if got := dan.heard(); len(got) != 1 {
			w.Errorf("dan receives %s", got)
		}
		if page, _, err := n.Sanctions(w.Context(), "default", moderation.Query{Limit: 10}); len(page) != 1 || err != nil {
			w.Errorf("stored are %+v, %v", page, err)
		}
	})
}

// TestASanctionThatTheStoreRefusesEnds checks the quota of modules: the node applies a further sanction until the store
// refuses it, and counts it as dropped.
func TestASanctionThatTheStoreRefusesEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{Limits: moderation.Limits{All: 8, OfModules: 1}}))
		v := allow(sanctionBy("strikes", moderation.Mute, "bob", "*", 0), sanctionBy("strikes", moderation.Mute, "ann", "*", 0))
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return v })
		ann, bob := n.as("ann"), n.as("bob")
		bob.do(roomAdd("r"))
		synctest.Wait()
		v = allow()
		ann.do(roomAdd("r")).says(say("r", "x"), ok, chat("r", ann.ID(), "x"))
		bob.hears(chat("r", ann.ID(), "x"))
		bob.says(say("r", "x"), refused("muted: three strikes", unsaid("x"), 0))
		if got := n.Stats().EmitsDropped; got != 1 {
			w.Errorf("%d effects are counted as dropped", got)
		}
		n.sanctions(sanction(moderation.Mute, "carl", "*", 0)) // people find room
	})
}

// TestTheBacklogOfSanctionsIsBounded checks more sanctions than may wait for a store that does not answer.
func TestTheBacklogOfSanctionsIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &stuck{let: make(chan error)}
		n := w.node("n", moderated(store))
		var effects []hook.Effect
		for i := range 1030 {
			effects = append(effects, sanctionBy("strikes", moderation.Mute, fmt.Sprint("user ", i), "*", 0))
		}
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(effects...) })
		n.as("ann").do(roomAdd("r"))
		if got := n.Stats().EmitsDropped; got != 6 {
			w.Errorf("%d effects are counted as dropped, want 6", got)
		}
		close(store.let)
	})
}

// TestAModulesBanEndsMemberships checks a ban by a module, in a room and of all rooms.
func TestAModulesBanEndsMemberships(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			return with(deny("no"), sanctionBy("strict", moderation.Ban, ev.Conn.User, ev.Message.Text, 0))
		})
		ann, bob := n.as("ann").do(roomAdd("r"), roomAdd("q")), n.as("bob").do(roomAdd("r"))
		ann.Run(say("r", "r"))
		synctest.Wait()
		n.has("r", bob)
		n.has("q", ann)
		bob.Run(say("r", "*"))
		synctest.Wait()
		if got := strings.Join(bob.heard(), ""); !strings.Contains(got, "bye banned: three strikes (3507)") {
			w.Errorf("bob receives %s", got)
		}
	})
}

// TestAModuleRemovesMembers checks a removal from a room and a closed connection, on this and on another node.
func TestAModuleRemovesMembers(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		left := b.countLeavers(allowed)
		ann, bob, carl := a.client().do(roomAdd("r")), b.client().do(roomAdd("r"), roomAdd("q")), b.client()
		a.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
			return with(deny("done"), removal(bob.ID(), "r", "off topic"), removal(bob.ID(), "q", ""), removal(carl.ID(), "", "bye"),
				removal("a-nobody", "r", ""))
		})
		ann.Run(say("r", "!kick"))
		synctest.Wait()
		a.has("r", ann)
		a.has("q")
		bob.hears(`{"context":"api","from":"0","message":"you are no longer in this room (off topic)","room":"r"}`)
		<-carl.Gone
		if got := strings.Join(carl.heard(), ""); !strings.Contains(got, "bye bye (3503)") {
			w.Errorf("carl receives %s", got)
		}
		left.check(w, hook.CauseRemoved, 2)
		if got := a.Stats(); got.Removals != 3 || got.EmitsDropped != 0 {
			w.Errorf("counted %d removals and %d dropped effects", got.Removals, got.EmitsDropped)
		}
	})
}

// TestAShadowedAuthorActsOnNobody checks that messages of a shadowed author have no sanctions of others and no removals,
// whatever the verdict.
func TestAShadowedAuthorActsOnNobody(t *testing.T) {
	for _, v := range []hook.Verdict{deny("no"), {}} {
		inWorld(t, func(w *world) {
			n := w.node("n", moderated(&memory.Store{}))
			ann, bob := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
			n.sanctions(sanction(moderation.Shadow, "ann", "*", 0))
			n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
				return with(v, removal(bob.ID(), "r", "x"), sanctionBy("strict", moderation.Mute, "bob", "*", 0), sanctionBy("strict", moderation.Mute, "ann", "*", 0))
			})
			ann.Run(say("r", "!kick bob"))
			synctest.Wait()
			n.has("r", ann, bob)
			n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return allow() })
			bob.says(say("r", "x"), ok, chat("r", bob.ID(), "x"))
			ann.heard()
			ann.says(say("r", "x"), refused("muted: three strikes", unsaid("x"), 0))
		})
	}
}

// TestMutedClientsDoNotRunActionsThatSpeak checks actions with the mark speech: in the room of their parameter room, if they declare
// one.
func TestMutedClientsDoNotRunActionsThatSpeak(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		asked := 0
		n.on(hook.Action, func(*hook.Event) hook.Verdict { asked++; return hook.Verdict{} })
		n.mw.Declared = map[string]hook.ActionSpec{"roll": {}, "shout": {Speech: true}, "draw": {Speech: true, Inputs: map[string]hook.InputSpec{"room": {}}}}
		ann, done := n.as("ann"), `{"context":"response","messageId":1}`
		mute := sanction(moderation.Mute, "ann", "r", time.Minute)
		n.sanctions(mute)
		refusedAction := `{"error":"muted until 2000-01-01T00:01:00Z: be kind","context":"response","retryAfter":60000,"messageId":1}`
		for _, c := range [][2]string{{action("roll", ""), done}, {action("shout", ""), done}, {action("shout", `"room":"r"`), done},
			{action("draw", `"room":"q"`), done}, {action("draw", `"room":["r"]`), done}, {action("draw", `"room":"r"`), refusedAction}} {
			ann.says(c[0], c[1])
		}
		mute.Rooms = "*"
		n.sanctions(mute)
		ann.says(action("shout", ""), refusedAction)
		ann.says(action("roll", ""), done)
		if asked != 6 {
			w.Errorf("the module was asked %d times", asked)
		}
	})
}

// TestOtherEffectsCostNothingMore checks that effects without sanctions and removals are not copied.
func TestOtherEffectsCostNothingMore(t *testing.T) {
	h := newHall(t)
	defer h.stop()
	effects := []hook.Effect{emit("r", "x"), property("a", "1")}
	if n := testing.AllocsPerRun(100, func() { h.Moderate("default", nil); h.Moderate("default", effects) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
