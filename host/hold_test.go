package host

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/report"
)

// at returns an entry of a handmade module with the priority.
func at(priority int, module string) Entry { return Entry{Module: module, Priority: priority} }

func TestAModuleHoldsAMessage(t *testing.T) {
	first, holder := goEntry(`{}`), goEntry(`{"n": 2}`)
	holder.Priority, holder.OnExpire = 5, ReleaseOnExpire
	h, _ := start(t, Config{}, first, holder)
	month := 30 * 24 * time.Hour
	for text, want := range map[string]hook.Verdict{
		"hold 0":                      {Hold: &hook.Hold{At: hook.Place{Module: "go"}}},
		"hold 60000 a new user":       {Reason: "a new user", Hold: &hook.Hold{TTL: time.Minute, At: hook.Place{Module: "go"}}},
		"hold 2592000001":             {Hold: &hook.Hold{TTL: month, At: hook.Place{Module: "go"}}},
		"hold 18446744073709551615":   {Hold: &hook.Hold{TTL: month, At: hook.Place{Module: "go"}}},
		"rewrite hold 1 by the other": {Reason: "by the other", Hold: &hook.Hold{TTL: time.Millisecond, Release: true, At: hook.Place{Priority: 5, Module: "go"}}},
		"strikehold ann r":            {Reason: "strike", Hold: &hook.Hold{At: hook.Place{Module: "go"}}, Effects: []hook.Effect{muteOf("ann"), removalOf("ann", "r", "")}},
	} {
		want.Outcome, want.Module = hook.Held, h.Stats()[0].Version
		v, ev := decide(h, text)
		if !reflect.DeepEqual(v, want) {
			t.Errorf("%s: %+v %+v, want %+v %+v", text, v, v.Hold, want, want.Hold)
		}
		if changed := strings.HasPrefix(text, "rewrite"); changed != (ev.Message.Text == "hold 1 by the other") {
			t.Errorf("%s: the message is %q", text, ev.Message.Text)
		}
	}
	if s := h.Stats()[0]; s.Held != 6 || s.Denied != 0 || s.Allowed != 0 || s.Rewritten != 1 {
		t.Errorf("%+v", s)
	}
}

// TestAHoldIsAnErrorAtOtherHooks checks each hook, and a hold whose reason is not in the memory.
func TestAHoldIsAnErrorAtOtherHooks(t *testing.T) {
	entry := goEntry(`{}`)
	entry.Breaker.Minimum = 1000
	h, log := start(t, Config{}, entry)
	for _, at := range []hook.Hook{hook.Connect, hook.Join, hook.Leave, hook.Disconnect} {
		ev := &hook.Event{Hook: at, Tenant: "t", Room: "hold 1 x", Conn: &hook.Profile{Connection: hook.Connection{User: "hold 1 x"}}}
		if v := h.Decide(context.Background(), ev); v.Outcome != hook.Failed || v.Hold != nil {
			t.Errorf("%v: %+v", at, v)
		}
	}
	if got := heard(t, h, "hold 1 x", crowd(2)); !slices.Equal(got, []string{"-", "-"}) {
		t.Errorf("at say: %q", got)
	}
	if v, _ := decide(h, "hold 1 "+strings.Repeat("r", abi.MaxReason+1)); v.Outcome != hook.Failed || v.Hold != nil {
		t.Errorf("a long reason: %+v", v)
	}
	if s := h.Stats()[0]; s.Errors["protocol"] != 6 || s.Held != 0 {
		t.Errorf("%+v\n%s", s, log)
	}
}

func TestAHoldOfAMessageWithoutAnAuthorIsADenial(t *testing.T) {
	h, _ := start(t, Config{})
	recorded(t, h, Recording{}, at(0, "code-6"), at(1, "allow"))
	for name, ev := range map[string]*hook.Event{"of the system": said("x"), "of a module": said("x"), "of the system, released": said("x")} {
		switch name {
		case "of the system":
			ev.Conn = nil
		case "of a module":
			ev.Caused = true
		default:
			ev.Conn, ev.After = nil, &hook.Place{Priority: -1}
		}
		v := h.Decide(context.Background(), ev)
		if held := ev.After != nil; held != (v.Outcome == hook.Held) || held != (v.Hold != nil) || !held && v.Outcome != hook.Denied {
			t.Errorf("%s: %+v", name, v)
		}
	}
	want := "code-6 onSayReceive deny; code-6 onSayReceive deny; code-6 onSayReceive hold"
	list := h.Decisions(report.DecisionFilter{})
	slices.SortFunc(list, func(a, b report.Decision) int { return strings.Compare(a.Verdict, b.Verdict) })
	if got := inShort(list); got != want {
		t.Errorf("decisions %s, want %s", got, want)
	}
}

// TestShadowsAndHolds checks the decisions of shadows before, at and behind a hold. A shadow behind is called at the release.
func TestShadowsAndHolds(t *testing.T) {
	h, _ := start(t, Config{})
	recorded(t, h, Recording{}, shadow(at(0, "code-6")), at(1, "code-6"), shadow(at(2, "code-1")))
	v, ev := decide(h, "x")
	if v.Outcome != hook.Held || v.Hold.At != (hook.Place{Priority: 1, Module: "code-6"}) {
		t.Errorf("%+v", v)
	}
	want := "code-6 onSayReceive hold done hold; code-6 onSayReceive hold"
	if got := inShort(h.Decisions(report.DecisionFilter{})); got != want {
		t.Errorf("decisions %s, want %s", got, want)
	}
	if list := h.Decisions(report.DecisionFilter{Verdict: report.Hold, Shadow: true}); len(list) != 1 || list[0].DoneBy != v.Module {
		t.Errorf("%+v", list)
	}
	ev.After = &v.Hold.At
	if v := h.Decide(context.Background(), ev); v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
	if got := inShort(h.Decisions(report.DecisionFilter{Limit: 1})); got != "code-1 onSayReceive deny done allow" {
		t.Errorf("decisions %s", got)
	}
}

// TestAReleaseContinuesTheChain holds a message with one chain, loads another chain, and releases the message.
func TestAReleaseContinuesTheChain(t *testing.T) {
	const holder = "code-6"
	for _, test := range []struct {
		name          string
		before, after []Entry // after nil: no reload
		called        string  // by the release
		outcome       hook.Outcome
	}{
		{"by priority", []Entry{at(3, "allow-b"), at(2, holder), at(1, "allow-a")}, nil, "allow-b", hook.Allowed},
		{"ties in order", []Entry{at(1, "allow-a"), at(1, holder), at(1, "allow-b"), at(0, "allow-c")}, nil, "allow-b", hook.Allowed},
		{"the last entry", []Entry{at(1, "allow-a"), at(2, holder)}, nil, "", hook.Allowed},
		{"a reload between", []Entry{at(1, holder)}, []Entry{at(1, holder)}, "", hook.Allowed},
		{"a new entry of a later priority", []Entry{at(1, holder)}, []Entry{at(1, holder), at(2, "allow-n")}, "allow-n", hook.Allowed},
		{"a new entry of an earlier priority", []Entry{at(1, holder)}, []Entry{at(0, "allow-n"), at(1, holder)}, "", hook.Allowed},
		{"a new entry of the same priority", []Entry{at(1, holder)}, []Entry{at(1, "allow-n"), at(1, holder), at(1, "allow-m")}, "allow-m", hook.Allowed},
		{"the entry is removed", []Entry{at(1, "allow-a"), at(1, holder), at(1, "allow-b"), at(2, "allow-c")},
			[]Entry{at(1, "allow-a"), at(1, "allow-b"), at(2, "allow-c")}, "allow-c", hook.Allowed},
		{"the chain is removed", []Entry{at(1, holder)}, []Entry{}, "", hook.Allowed},
		{"the entry is moved back", []Entry{at(1, holder), at(2, "allow-b")}, []Entry{at(2, "allow-b"), at(3, holder)}, "allow-b code-6", hook.Held},
		{"the entry is moved forward", []Entry{at(5, holder), at(6, "allow-b")}, []Entry{at(1, holder), at(6, "allow-b")}, "allow-b", hook.Allowed},
		{"the entry is a shadow now", []Entry{at(1, holder), at(2, "allow-b")}, []Entry{shadow(at(1, holder)), at(2, "allow-b")}, "allow-b", hook.Allowed},
		{"another room pattern", []Entry{at(1, holder), at(2, "allow-b")},
			[]Entry{{Module: holder, Priority: 1, Rooms: []string{"q"}}, at(2, "allow-b")}, "allow-b", hook.Allowed},
		{"a later entry denies", []Entry{at(1, holder), at(2, "code-1"), at(3, "allow-b")}, nil, "code-1", hook.Denied},
		{"a later entry drops", []Entry{at(1, holder), at(2, "code-5"), at(3, "allow-b")}, nil, "code-5", hook.Dropped},
		{"a later entry fails", []Entry{at(1, holder), at(2, "trap"), at(3, "allow-b")}, nil, "trap", hook.Failed},
		{"a later entry ends the chain", []Entry{at(1, holder), at(2, "code-4"), at(3, "allow-b")}, nil, "code-4", hook.Allowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := start(t, Config{}, test.before...)
			v, ev := decide(h, "x")
			if v.Outcome != hook.Held {
				t.Fatalf("%+v", v)
			}
			if test.after != nil {
				swap(t, h, rulesFor(test.after...))
			}
			before := calls(h)
			ev.After = &v.Hold.At
			if v = h.Decide(context.Background(), ev); v.Outcome != test.outcome {
				t.Errorf("the release: %+v", v)
			}
			var called []string
			for name, n := range calls(h) {
				if n > before[name] {
					called = append(called, name)
				}
			}
			slices.Sort(called)
			if got := strings.Join(called, " "); got != test.called {
				t.Errorf("it calls %q, want %q", got, test.called)
			}
		})
	}
}

// calls returns the calls of each module that enforces.
func calls(h *Host) map[string]uint64 {
	n := make(map[string]uint64)
	for _, s := range h.Stats() {
		n[s.Name] = s.Calls
	}
	return n
}

// TestEachEntryHoldsOnce releases a message until the chain allows it: entries of one module and priority, and those behind them,
// hold in order, and the entries between them rewrite it once.
func TestEachEntryHoldsOnce(t *testing.T) {
	twice := at(1, "code-6")
	other := twice
	other.Config = []byte(`{"n": 2}`)
	text := goEntry(`{}`)
	text.Priority = 1
	h, _ := start(t, Config{}, twice, text, other, at(1, "hold-7"), at(2, "code-6"))
	ev := said("rewrite hello")
	var places []string
	for range 10 {
		v := h.Decide(context.Background(), ev)
		if v.Outcome != hook.Held {
			places = append(places, v.Outcome.String())
			break
		}
		ev.After = &v.Hold.At
		at := v.Hold.At
		places = append(places, fmt.Sprint(at.Module, " ", at.Priority, " ", at.Index, " ", v.Hold.TTL))
	}
	want := []string{"code-6 1 0 0s", "code-6 1 1 0s", "hold-7 1 0 7ms", "code-6 2 0 0s", "allowed"}
	if !slices.Equal(places, want) || ev.Message.Text != "hello" {
		t.Errorf("%q %q, want %q", places, ev.Message.Text, want)
	}
	if n := calls(h)["go"]; n != 1 {
		t.Errorf("the entry between was called %d times", n)
	}
}

// TestAHoldInAMovedRoom checks the release of a message that was held before and after a chain moved it to another room: it is
// moved once, and runs the whole chain of the other room once.
func TestAHoldInAMovedRoom(t *testing.T) {
	in := func(room string, e Entry) Entry {
		e.Rooms = []string{room}
		return e
	}
	h, _ := start(t, Config{}, in("r", at(1, "code-6")), in("r", at(2, "room-b")), in("b", at(0, "allow-b")), in("b", at(1, "hold-9")), in("b", at(2, "room-r")))
	v, ev := decide(h, "x")
	if v.Outcome != hook.Held || ev.Room != "r" || v.Hold.At.Moved {
		t.Fatalf("%+v %s", v, ev.Room)
	}
	ev.After = &v.Hold.At
	v = h.Decide(context.Background(), ev)
	if v.Outcome != hook.Held || ev.Room != "b" || v.Hold.At != (hook.Place{Priority: 1, Module: "hold-9", Moved: true}) || calls(h)["allow-b"] != 1 {
		t.Fatalf("%+v %s %v", v, ev.Room, calls(h))
	}
	ev.After = &v.Hold.At
	if v = h.Decide(context.Background(), ev); v.Outcome != hook.Failed || ev.Room != "b" || calls(h)["allow-b"] != 1 {
		t.Errorf("it is moved again: %+v %s", v, ev.Room)
	}
}

// TestAHoldBehindAMove checks the release of a message that was held by an entry behind the one that moved it to another room, in
// the chain of the first room: the rest of that chain and the whole chain of the other room are called.
func TestAHoldBehindAMove(t *testing.T) {
	in := func(room string, e Entry) Entry {
		e.Rooms = []string{room}
		return e
	}
	h, _ := start(t, Config{}, in("r", at(1, "room-b")), in("r", at(2, "code-6")), in("r", at(3, "allow-a")), in("b", at(0, "allow-b")))
	v, ev := decide(h, "x")
	want := hook.Place{Priority: 2, Module: "code-6", Room: "r"}
	if v.Outcome != hook.Held || ev.Room != "b" || v.Hold.At != want {
		t.Fatalf("%+v %s %+v", v, ev.Room, v.Hold)
	}
	ev.After = &v.Hold.At
	if v = h.Decide(context.Background(), ev); v.Outcome != hook.Allowed || calls(h)["allow-a"] != 1 || calls(h)["allow-b"] != 1 || calls(h)["room-b"] != 1 {
		t.Errorf("%+v %v", v, calls(h))
	}
}
