package host

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/report"
)

func decide(h *Host, text string) (hook.Verdict, *hook.Event) {
	ev := said(text)
	return h.Decide(context.Background(), ev), ev
}

func TestAnswersAtOnSayReceive(t *testing.T) {
	h, log := start(t, Config{}, goEntry(`{}`))
	label := h.Stats()[0].Version
	for _, c := range []struct {
		say     string
		verdict hook.Verdict
		heard   string // the changed part of the event
	}{
		{"hello", hook.Verdict{}, ""},
		{"deny no such words", hook.Verdict{Outcome: hook.Denied, Reason: "no such words", Module: label}, ""},
		{"code 5", hook.Verdict{Outcome: hook.Dropped, Module: label}, ""},
		{"code 4", hook.Verdict{}, ""},
		{"rewrite other", hook.Verdict{}, "text=other"},
		{`json {"a":  1}`, hook.Verdict{}, `json={"a":1}`},
		{`extra {"flag": "de"}`, hook.Verdict{}, `extra={"flag":"de"}`},
		{"from c9", hook.Verdict{}, "from=c9 sentAt=1234"},
		{"room q", hook.Verdict{Module: label}, "room=q"},
		{"room a\x00b", hook.Verdict{Outcome: hook.Failed, Module: label}, ""},
		{"json {", hook.Verdict{Outcome: hook.Failed, Module: label}, ""},
		{"extra []", hook.Verdict{Outcome: hook.Failed, Module: label}, ""},
	} {
		v, ev := decide(h, c.say)
		if !reflect.DeepEqual(v, c.verdict) {
			t.Errorf("%q: verdict %+v, want %+v", c.say, v, c.verdict)
		}
		if heard := changes(ev, c.say); heard != c.heard {
			t.Errorf("%q: %q changed, want %q", c.say, heard, c.heard)
		}
	}
	if n := strings.Count(log.String(), "kind=protocol"); n != 3 {
		t.Errorf("%d protocol errors were logged, want 3:\n%s", n, log)
	}
}

// changes lists the fields of ev that differ from an event of said.
func changes(ev *hook.Event, text string) string {
	var c []string
	add := func(changed bool, name string, value any) {
		if changed {
			c = append(c, fmt.Sprintf("%s=%v", name, value))
		}
	}
	add(!ev.Message.JSON && ev.Message.Text != text, "text", ev.Message.Text)
	add(ev.Message.JSON, "json", ev.Message.Text)
	add(ev.Extra != nil, "extra", string(ev.Extra))
	add(ev.Room != "r", "room", ev.Room)
	add(ev.From != "c1", "from", ev.From)
	add(ev.SentAt != 1000, "sentAt", ev.SentAt)
	return strings.Join(c, " ")
}

func TestReservedNamesAreRefused(t *testing.T) {
	entry := goEntry(`{}`)
	entry.Breaker.Minimum = 1000
	h, _ := start(t, Config{}, entry)
	for _, name := range reservedInExtra {
		if v, _ := decide(h, fmt.Sprintf(`extra {"a": 1, %q: 1}`, name)); v.Outcome != hook.Failed {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v, _ := decide(h, `extra {"fr\u006fm": 1}`); v.Outcome != hook.Failed {
		t.Errorf("from, escaped: %+v", v)
	}
}

// TestNamesThatWereReservedLaterAreLeftOut checks that a module of an earlier version, which may use id, user
// and held in extra, works without these names, and that the log reports them once.
func TestNamesThatWereReservedLaterAreLeftOut(t *testing.T) {
	h, log := start(t, Config{}, goEntry(`{}`))
	for extra, want := range map[string]string{
		`{"user": "ann", "b": [1], "a": 2, "id": {}, "held": null, "edits": "x", "retracts": 1, "editedAt": 2, "editedBy": "y"}`: `{"a":2,"b":[1]}`,
		`{"us\u0065r": "ann"}`: ``,
		`{"x": {"user": 1}}`:   `{"x":{"user":1}}`,
	} {
		if v, ev := decide(h, "extra "+extra); v.Outcome != hook.Allowed || string(ev.Extra) != want {
			t.Errorf("%s: %+v, extra %s", extra, v, ev.Extra)
		}
	}
	if n := strings.Count(log.String(), "a reserved name is left out"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

func TestEveryHookIsAsked(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	for _, at := range []hook.Hook{hook.Connect, hook.Join, hook.Leave, hook.Disconnect} {
		ev := &hook.Event{Hook: at, Tenant: "t", Room: "deny me", Conn: &hook.Profile{Connection: hook.Connection{User: "deny me"}}}
		if !h.Asks(at, "t", "deny me") {
			t.Errorf("%v: not asked", at)
		}
		if v := h.Decide(context.Background(), ev); v.Outcome != hook.Denied || v.Reason != "me" {
			t.Errorf("%v: %+v", at, v)
		}
		ev.Room, ev.Conn = "rewrite x", &hook.Profile{Connection: hook.Connection{User: "rewrite x"}}
		if v := h.Decide(context.Background(), ev); v.Outcome != hook.Failed {
			t.Errorf("%v: nothing can be rewritten there: %+v", at, v)
		}
	}
}

func TestAnActionIsAnsweredByItsModuleAlone(t *testing.T) {
	h, _ := start(t, Config{},
		goEntry(`{"manifest": {"name": "a", "actions": [{"name": "login", "description": "d", "inputs": {"token": {"required": true}}}]}}`))
	want := map[string]hook.ActionSpec{"login": {Description: "d", Module: "go", Inputs: map[string]hook.InputSpec{"token": {Required: true}}}}
	if got := h.Actions("t"); !reflect.DeepEqual(got, want) {
		t.Errorf("actions %+v, want %+v", got, want)
	}
	ev := &hook.Event{Hook: hook.Action, Tenant: "t", Action: "login", Params: json.RawMessage(`{"token":"x"}`), Conn: alice()}
	v := h.Decide(context.Background(), ev)
	if want := `{"did":"login","params":{"token":"x"}}`; v.Outcome != hook.Allowed || string(v.Reply) != want {
		t.Errorf("%+v, reply %s, want %s", v, v.Reply, want)
	}
	ev.Action = "other"
	if v := h.Decide(context.Background(), ev); v.Reply != nil || v.Outcome != hook.Allowed {
		t.Errorf("an action that nobody declared: %+v", v)
	}
}

func TestEntriesRunInOrderAndSeeRewrites(t *testing.T) {
	last := goEntry(`{}`)
	last.Priority, last.Mode = 3, Shadow // it denies the second entry's rewrite, without effect
	second := goEntry(`{"n": 2}`)
	second.Priority = 2
	first := goEntry(`{"n": 1}`)
	h, _ := start(t, Config{}, last, second, first)
	v, ev := decide(h, "rewrite rewrite deny me")
	if v.Outcome != hook.Allowed || ev.Message.Text != "deny me" {
		t.Errorf("%+v, %q", v, ev.Message.Text)
	}
	s := h.Stats()
	if s[0].Denied != 0 || s[0].Rewritten != 2 || s[0].Calls != 2 || strings.HasSuffix(s[0].Name, "+shadow") {
		t.Errorf("%+v", s[0])
	}
	if s[1].Denied != 1 || s[1].Rewritten != 0 || s[1].Calls != 1 || !strings.HasSuffix(s[1].Name, "+shadow") {
		t.Errorf("the shadow: %+v", s[1])
	}
	if v, _ := decide(h, "rewrite deny me"); v.Outcome != hook.Denied || v.Reason != "me" {
		t.Errorf("%+v", v)
	}
}

func TestAllowEndEndsTheChain(t *testing.T) {
	deny := Entry{Module: "code-1", Priority: 2}
	h, _ := start(t, Config{}, goEntry(`{}`), deny)
	if v, _ := decide(h, "hello"); v.Outcome != hook.Denied {
		t.Errorf("allow: %+v", v)
	}
	if v, _ := decide(h, "code 4"); v.Outcome != hook.Allowed {
		t.Errorf("allow and end: %+v", v)
	}
}

func TestEntriesAreCalledForTheirRooms(t *testing.T) {
	deny := Entry{Module: "code-1", Rooms: []string{"x*", "only"}}
	h, _ := start(t, Config{}, deny)
	for room, want := range map[string]hook.Outcome{"r": hook.Allowed, "xy": hook.Denied, "only": hook.Denied, "only2": hook.Allowed} {
		ev := said("hello")
		ev.Room = room
		for range 2 { // the second time with the entries that the chain has cached
			if v := h.Decide(context.Background(), ev); v.Outcome != want {
				t.Errorf("%s: %+v", room, v)
			}
		}
		if asks := h.Asks(hook.OnSayReceive, "t", room); asks != (want == hook.Denied) {
			t.Errorf("%s: asks is %v", room, asks)
		}
	}
	if h.Asks(hook.Join, "t", "xy") {
		t.Error("it asks about what nobody listens to")
	}
}

func TestATenantWithoutRulesIsNotServed(t *testing.T) {
	h, _ := start(t, Config{})
	for at, want := range map[hook.Hook]hook.Outcome{
		hook.Connect: hook.Denied, hook.Join: hook.Denied, hook.OnSayReceive: hook.Denied,
		hook.Action: hook.Denied, hook.Leave: hook.Allowed, hook.Disconnect: hook.Allowed,
	} {
		if v := h.Decide(context.Background(), &hook.Event{Hook: at, Tenant: "other", Room: "r"}); v.Outcome != want {
			t.Errorf("%v: %+v", at, v)
		}
		if !h.Asks(at, "other", "r") {
			t.Errorf("%v: it is not asked", at)
		}
	}
	if d := h.Deliver(context.Background(), &hook.Event{Hook: hook.Say, Tenant: "other", Room: "r"}, nil); d.All != hook.Nothing || !h.Asks(hook.Say, "other", "r") {
		t.Errorf("say: %+v", d)
	}
	if v := h.Decide(context.Background(), said("x")); v.Outcome != hook.Allowed || h.Asks(hook.Join, "t", "r") {
		t.Errorf("a tenant with an empty chain: %+v", v)
	}
}

func TestAMovedMessageRunsTheChainOfItsNewRoomOnce(t *testing.T) {
	mover := goEntry(`{}`)
	mover.Rooms = []string{"r"}
	guard := Entry{Module: "code-1", Rooms: []string{"guarded"}}
	again := goEntry(`{"n": 2}`) // it gets the same text, and moves the message to its own room
	again.Rooms = []string{"again"}
	h, _ := start(t, Config{}, mover, guard, again)
	if v, ev := decide(h, "room free"); v.Outcome != hook.Allowed || ev.Room != "free" {
		t.Errorf("%+v %s", v, ev.Room)
	}
	if v, _ := decide(h, "room guarded"); v.Outcome != hook.Denied {
		t.Errorf("%+v", v)
	}
	ev := said(`room again`)
	v := h.Decide(context.Background(), ev)
	if v.Outcome != hook.Allowed || ev.Room != "again" {
		t.Errorf("moved to where it is: %+v %s", v, ev.Room)
	}
}

func TestAMessageIsMovedOnce(t *testing.T) {
	away := Entry{Module: "room-b", Rooms: []string{"r"}}
	back := Entry{Module: "room-r", Rooms: []string{"b"}}
	h, log := start(t, Config{}, away, back)
	if v, ev := decide(h, "hello"); v.Outcome != hook.Failed || ev.Room != "b" {
		t.Errorf("%+v %s", v, ev.Room)
	}
	if !strings.Contains(log.String(), "was moved") {
		t.Errorf("it is not in the log:\n%s", log)
	}
}

func TestAModuleSeesWhatItReads(t *testing.T) {
	for manifest, want := range map[string]string{
		`{}`:                                              "r|t|c1|see|user|-|-|-|c1|f1|alice|websocket|10.0.0.1|t|en|-",
		`{"reads": ["message", "room", "id"]}`:            "r|-|-|see|-|-|-|-|c1|-|-|-|-|-|-|-",
		`{"reads": ["message", "tenant"]}`:                "-|t|-|see|-|-|-|-|-|-|-|-|-|t|-|-",
		`{"reads": ["message", "properties.mood"]}`:       "-|-|-|see|-|-|-|-|-|-|-|-|-|-|-|\x04\x00\x00\x00\x06\x00\x00\x00mood\"good\"",
		`{"reads": ["message", "properties.none", "id"]}`: "-|-|-|see|-|-|-|-|c1|-|-|-|-|-|-|",
	} {
		h, _ := start(t, Config{}, goEntry(`{"manifest": `+manifest+`}`))
		if _, ev := decide(h, "see"); ev.Message.Text != want {
			t.Errorf("%s: it saw %q, want %q", manifest, ev.Message.Text, want)
		}
	}
}

func TestADenialHasTheNumberOfTheModule(t *testing.T) {
	h, log := start(t, Config{})
	recorded(t, h, Recording{Log: true}, Entry{Module: "number-429", Mode: Shadow}, Entry{Module: "number-429"})
	if v, _ := decide(h, "hello"); v.Outcome != hook.Denied || v.Code != 429 {
		t.Errorf("%+v", v)
	}
	list := h.Decisions(report.DecisionFilter{})
	if len(list) != 2 || list[0].Code != 429 || list[1].Code != 429 || strings.Count(log.String(), "code=429") != 2 {
		t.Errorf("decisions %+v\n%s", list, log)
	}
}
