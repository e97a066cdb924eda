package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
)

func TestJoinAndLeave(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b := n.client(), n.socket()
		a.says(roomAdd("r"), isTrue)
		b.says(`{"event":"roomAdd","room":"r","messageId":1}`, isTrue)
		n.has("r", a, b)
		a.says(roomAdd("q"), isTrue)
		if got := a.Rooms(); !slices.Equal(got, []string{"r", "q"}) {
			w.Errorf("rooms are %v", got)
		}
		a.says(roomLeave("r"), isTrue)
		n.has("r", b)
		a.says(roomAdd("r"), isTrue)
		n.has("r", b, a)
		a.says(`{"event":"quit"}`, "bye quit (1000)")
		<-a.Gone
		n.has("r", b)
		n.has("q")
	})
}

func TestErrorsOfJoinAndLeave(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client()
		a.do(roomAdd("r"))
		for request, text := range map[string]string{
			roomAdd("nowhere"):            "room does not exist",
			roomAdd("r"):                  "connection already in this room (r)",
			roomLeave("q"):                "connection not in this room (q)",
			roomLeave("nowhere"):          "connection not in this room (nowhere)",
			roomAdd(`a\nb`):               "invalid room name",
			roomAdd(`a\u0000b`):           "invalid room name",
			roomAdd(`a\u009fb`):           "invalid room name",
			roomAdd(long(201)):            "invalid room name",
			roomAdd(long(200)):            "room does not exist",
			say("q", "hello"):             "connection not in this room (q)",
			say("r", ""):                  "both room and message are required",
			say("nowhere", "x"):           "connection not in this room (nowhere)",
			roomView("q"):                 "connection not in this room (q)",
			roomView("nowhere"):           "connection not in this room (nowhere)",
			event("roomAdd"):              "room does not exist",
			event("roomLeave"):            "connection not in this room (undefined)",
			event("roomView"):             "connection not in this room (undefined)",
			event("say"):                  "both room and message are required",
			event("file"):                 "verb not found or not allowed (file)",
			event("paramsView"):           "verb not found or not allowed (paramsView)",
			event("toString"):             "verb not found or not allowed (toString)",
			`{"messageId":1}`:             "verb not found or not allowed (undefined)",
			event(""):                     "verb not found or not allowed (undefined)",
			event("roomAdd", `"room":""`): `room does not exist`,
		} {
			<-a.Begin(request)
			got := a.heard()
			if len(got) != 1 || !strings.HasPrefix(got[0], failed(text)[:len(failed(text))-len(`{},"messageId":1}`)]) {
				w.Errorf("%s: received %q, want the error %q", request, got, text)
			}
		}
		n.has("r", a)
		if got := a.Rooms(); len(got) != 1 {
			w.Errorf("rooms are %v after errors, want r alone", got)
		}
	})
}

func long(n int) string { return strings.Repeat("r", n) }

func event(verb string, fields ...string) string {
	return fmt.Sprintf(`{"event":%q,"messageId":1%s}`, verb, strings.Join(append([]string{""}, fields...), ","))
}

func roomView(room string) string { return event("roomView", fmt.Sprintf(`"room":%q`, room)) }

func TestJoinsInFlightRunTheHookOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate, hooks := make(chan struct{}), 0
		n.on(hook.Join, func(*hook.Event) hook.Verdict {
			hooks++
			<-gate
			return allow()
		})
		a := n.client()
		verb := a.Begin(roomAdd("r"))
		synctest.Wait()
		api := make(chan error, 1)
		go func() { api <- n.AddMember(w.Context(), in("r"), a.ID()) }()
		synctest.Wait()
		if len(api) > 0 {
			w.Fatal("the second join did not wait for the first")
		}
		close(gate)
		<-verb
		a.hears(isTrue)
		w.must(<-api, &engine.VerbError{Text: "connection already in this room (r)"})
		if hooks != 1 {
			w.Errorf("the hook ran %d times", hooks)
		}
		n.has("r", a)
	})
}

func TestDeniedJoinLeavesNoTrace(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		verdict := hook.Verdict{Outcome: hook.Denied, Reason: "members only", Effects: []hook.Effect{emit("q", "never")}}
		n.on(hook.Join, func(ev *hook.Event) hook.Verdict {
			if ev.Room == "q" {
				return allow()
			}
			return verdict
		})
		a, listener := n.client(), n.client()
		listener.do(roomAdd("q"))
		for _, c := range []struct {
			hook.Outcome
			reason, text string
		}{
			{hook.Denied, "members only", "members only"}, {hook.Denied, "", "denied"},
			{hook.Dropped, "", "denied"}, {hook.Failed, "secrets of a module", "middleware error"},
		} {
			verdict.Outcome, verdict.Reason = c.Outcome, c.reason
			a.says(roomAdd("r"), failed(c.text))
		}
		listener.hears()
		n.has("r")
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", []byte(`"hello"`))), nil)
		a.hears()
		if n.HeldRooms("default") != 1 {
			w.Error("a room that nobody is in is held")
		}
	})
}

// TestTheNumberOfADenialReachesTheClient checks the errors of a join, a message and an action that a module denies with a
// number.
func TestTheNumberOfADenialReachesTheClient(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.mw.Declared = map[string]hook.ActionSpec{"book": {}}
		deny := func(*hook.Event) hook.Verdict {
			return hook.Verdict{Outcome: hook.Denied, Reason: "slow down", Code: 429}
		}
		a := n.client()
		a.do(roomAdd("r"))
		for _, at := range []hook.Hook{hook.Join, hook.OnSayReceive, hook.Action} {
			n.on(at, deny)
		}
		a.says(roomAdd("q"), `{"status":"Error: slow down","error":"Error: slow down","context":"response","data":{},"code":429,"messageId":1}`)
		a.says(say("r", "x"), `{"status":"Error: slow down","error":"Error: slow down","context":"response","data":{"message":"x"},"code":429,"messageId":1}`)
		a.says(action("book", `"x":1`), `{"error":"slow down","context":"response","code":429,"messageId":1}`)
	})
}

func TestEffectsOfAJoinComeAfterItsAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.on(hook.Join, func(ev *hook.Event) hook.Verdict {
			return allow(emit("r", "welcome"), property("guest", "true"),
				hook.Effect{Emit: &hook.Emit{Connection: ev.Conn.ID, Message: jsonMessage(`{"hint":1}`)}})
		})
		a := n.client()
		<-a.Begin(roomAdd("r"))
		heard := a.heard()
		if len(heard) != 3 || heard[0] != isTrue || !slices.Contains(heard, chat("r", "0", "welcome")) || !slices.Contains(heard, `{"context":"api","hint":1}`) {
			w.Errorf("received %q", heard)
		}
		if got := string(a.Profile().Property("guest")); got != "true" {
			w.Errorf("the property is %q", got)
		}
	})
}

// TestRuleMayDestroyTheRoomItIsAskedAbout checks that a rule can destroy the room of the
// event that it decides about, without a deadlock.
func TestRuleMayDestroyTheRoomItIsAskedAbout(t *testing.T) {
	for _, at := range []hook.Hook{hook.Join, hook.Leave, hook.OnSayReceive} {
		t.Run(at.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n")
				a, b := n.client(), n.client()
				b.do(roomAdd("r"))
				n.on(at, func(ev *hook.Event) hook.Verdict {
					if ev.Message.Text == "this room has been deleted" {
						// The rule would run for ever if these effects were applied.
						return allow(hook.Effect{Room: &hook.RoomEffect{Name: "r"}}, destroy("r"))
					}
					return allow(destroy("r"))
				})
				a.do(roomAdd("r"), say("r", "close"), roomLeave("r"))
				if exists, err := n.RoomExists(w.Context(), in("r")); exists || err != nil {
					w.Errorf("the room exists: %t, %v", exists, err)
				}
				if got := append(a.Rooms(), b.Rooms()...); len(got) != 0 {
					w.Errorf("members are left in %v", got)
				}
			})
		})
	}
}

func TestLimitsOfRooms(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) {
			c.Limits.RoomsPerConnection = 2
			c.Tenants[0].Limits.Rooms = 4
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(r string) bool { return r == "two" }, MaxMembers: 2}, {}}
		})
		w.must(n.CreateRoom(w.Context(), in("two")), nil)
		w.must(n.CreateRoom(w.Context(), in("four")), nil)
		w.must(n.CreateRoom(w.Context(), in("five")), &engine.VerbError{Text: "too many rooms (at most 4)"})
		w.must(n.CreateRoom(w.Context(), in("a\tb")), &engine.VerbError{Text: "invalid room name"})
		a, b, c := n.client(), n.client(), n.client()
		a.do(roomAdd("two"), roomAdd("r"))
		a.says(roomAdd("q"), failed("too many rooms (at most 2)"))
		b.do(roomAdd("two"))
		c.says(roomAdd("two"), failed("room is full (at most 2 members)"))
		b.says(roomLeave("two"), isTrue)
		c.says(roomAdd("two"), isTrue)
		n.has("two", a, c)
	})
}
