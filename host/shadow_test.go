package host

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/report"
	"github.com/mootchat/moot/host/store"
	memstore "github.com/mootchat/moot/host/store/memory"
)

func shadow(e Entry) Entry {
	e.Mode = Shadow
	return e
}

// inShort formats decisions: module, hook, verdict, reason, outcome and number of receivers.
func inShort(list []report.Decision) string {
	var b strings.Builder
	for _, d := range list {
		name, _, _ := strings.Cut(d.Module, "@")
		fmt.Fprintf(&b, "%s %v %s", name, d.Hook, d.Verdict)
		if d.Reason != "" {
			fmt.Fprintf(&b, " %q", d.Reason)
		}
		if d.Receivers > 0 {
			fmt.Fprintf(&b, " x%d", d.Receivers)
		}
		if d.Shadow {
			fmt.Fprintf(&b, " done %s", d.Done)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestAShadowHasNoEffects(t *testing.T) {
	real := memstore.New()
	k := store.Key{Tenant: "t", Module: "go", Name: "k"}
	if _, err := real.Set(context.Background(), k, []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	h, _ := start(t, Config{Store: real}, shadow(goEntry(`{}`)))
	for _, text := range []string{"deny no", "rewrite other", "room q", "extra {}", "emit r hello", "set mood sad", "create q",
		"kvset k new", "kvadd n 3", "kvdel k", "take bucket", "code 4", "code 5", "panic", "exit", "code 99", "metric m"} {
		ev := said(text)
		before := *ev
		v := h.Decide(context.Background(), ev)
		if v.Outcome != hook.Allowed || len(v.Effects) > 0 || v.Module != "" || ev.Message != before.Message || ev.Room != before.Room || ev.Extra != nil {
			t.Errorf("%s: %+v, %+v", text, v, ev)
		}
	}
	if v, _ := real.Get(context.Background(), k); string(v) != "old" {
		t.Errorf("the key is %q", v)
	}
	if v, _ := real.Get(context.Background(), store.Key{Tenant: "t", Module: "go", Name: "n"}); v != nil {
		t.Errorf("a shadow's key is there: %q", v)
	}
	if wait, _ := real.Take(context.Background(), store.Key{Tenant: "t", Module: "go", Name: "bucket"}, 2, 2, time.Second); wait != 0 {
		t.Error("a shadow took tokens")
	}
	for _, at := range []hook.Hook{hook.Join, hook.Leave} { // the name of the room is the command to the guest
		if v := h.Decide(context.Background(), &hook.Event{Hook: at, Tenant: "t", Room: "deny no", Conn: alice()}); v.Outcome != hook.Allowed {
			t.Errorf("%v: %+v", at, v)
		}
	}
	want := `go leave deny "no" done allow; go join deny "no" done allow`
	if got := inShort(h.Decisions(report.DecisionFilter{Limit: 2})); got != want {
		t.Errorf("decisions %s, want %s", got, want)
	}
}

func TestAShadowSeesItsOwnChanges(t *testing.T) {
	real := memstore.New()
	_, _ = real.Set(context.Background(), store.Key{Tenant: "t", Module: "go", Name: "n"}, []byte("40"), 0)
	echo := shadow(goEntry(`{}`))
	h, _ := start(t, Config{Store: real}, echo)
	for _, text := range []string{"kvadd n 2", "kvget n", "kvcas n 42 43", "kvget n", "kvdel n", "kvget n", "kvset n x", "kvget n", "take b", "take b", "take b"} {
		decide(h, text)
	}
	swap(t, h, Rules{Tenants: []Tenant{{Name: "t"}}})
	swap(t, h, rulesFor(echo)) // with an empty store of the shadow
	decide(h, "kvget n")
	if v, _ := real.Get(context.Background(), store.Key{Tenant: "t", Module: "go", Name: "n"}); string(v) != "40" {
		t.Errorf("the real key is %q", v)
	}
	a := newShadowStore(real)
	ctx, k := context.Background(), store.Key{Tenant: "t", Module: "go", Name: "n"}
	if sum, err := a.Add(ctx, k, 2, 0); sum != 42 || err != nil {
		t.Errorf("add: %d, %v", sum, err)
	}
	if done, _ := a.Swap(ctx, k, []byte("40"), []byte("x"), 0); done {
		t.Error("it swapped what only the real store has")
	}
	if done, _ := a.Swap(ctx, k, []byte("42"), []byte("x"), 0); !done || string(a.Cached(k)) != "x" {
		t.Error("it did not swap its own")
	}
	if had, _ := a.Set(ctx, k, nil, 0); !had {
		t.Error("it had no value")
	}
	if v, _ := a.Get(ctx, k); v != nil || a.Cached(k) != nil {
		t.Errorf("what it removed is there: %q", v)
	}
	if wait, _ := a.Take(ctx, k, 2, 2, time.Second); wait != 0 {
		t.Error("no tokens")
	}
	if wait, _ := a.Take(ctx, k, 1, 2, time.Second); wait == 0 {
		t.Error("the shadow's own bucket is never empty")
	}
}

func TestOldAndNewAreRecordedSideBySide(t *testing.T) {
	for _, test := range []struct{ text, old, new, want string }{
		{"deny bad", "code-0", "go", `go onSayReceive deny "bad" done allow`},
		{"code 0", "code-1", "go", `go onSayReceive allow done deny; code onSayReceive deny`},
		{"rewrite x", "code-5", "go", `go onSayReceive rewrite done drop; code onSayReceive drop`},
		{"panic", "code-0", "go", `go onSayReceive error "trap" done allow`},
		{"code 0", "trap", "go", `go onSayReceive allow done error; trap onSayReceive error "trap"`},
		{"deny x", "room-q", "go", `go onSayReceive deny "x" done rewrite; room onSayReceive rewrite`},
		{"deny x", "code-4", "go", ``}, // a shadow is not called after an enforcing entry has ended the chain with an allow
	} {
		fresh := shadow(goEntry(`{}`))
		fresh.Rooms = []string{"r"} // not in the chain of the room to which a message is moved
		h, _ := start(t, Config{}, Entry{Module: test.old, Rooms: []string{"r"}}, fresh)
		decide(h, test.text)
		got := inShort(h.Decisions(report.DecisionFilter{}))
		got = strings.ReplaceAll(strings.ReplaceAll(got, "code-1", "code"), "code-5", "code")
		got = strings.ReplaceAll(got, "room-q", "room")
		if got != test.want {
			t.Errorf("%s, old %s: %s, want %s", test.text, test.old, got, test.want)
		}
	}
}

func TestAShadowAtSayIsComparedMemberByMember(t *testing.T) {
	first := Entry{Module: "verdict-1"} // drops the message for the first receiver
	for _, test := range []struct {
		chain []Entry
		heard string
		want  string
	}{
		{[]Entry{shadow(first)}, "= = =", "verdict-1 say drop x1 done allow"},
		{[]Entry{shadow(first), first}, "- = =", "verdict-1 say drop x1 done drop; verdict-1 say drop x1"},
		{[]Entry{shadow(Entry{Module: "trap"}), first}, "- = =", `trap say error x1 done drop; trap say error x2 done allow; verdict-1 say drop x1`},
		{[]Entry{shadow(Entry{Module: "allow"}), first}, "- = =", "allow say allow x1 done drop; verdict-1 say drop x1"},
		{[]Entry{shadow(Entry{Module: "code-1"}), Entry{Module: "allow"}}, "= = =", "code-1 say drop x3 done allow"},
	} {
		h, _ := start(t, Config{}, test.chain...)
		if got := strings.Join(heard(t, h, "hello", crowd(3)), " "); got != test.heard {
			t.Errorf("received %s, want %s", got, test.heard)
		}
		list := h.Decisions(report.DecisionFilter{})
		for i, j := 0, len(list)-1; i < j && list[i].Verdict == report.Error; i, j = i+1, j-1 {
			if list[i].Receivers > list[i+1].Receivers && list[i+1].Verdict == report.Error {
				list[i], list[i+1] = list[i+1], list[i]
			}
		}
		if got := inShort(list); got != test.want {
			t.Errorf("decisions %s, want %s", got, test.want)
		}
	}
}

func TestTheTimeOfShadowsIsNotTheChains(t *testing.T) {
	slow := shadow(Entry{Module: "loop", Timeout: 30 * time.Millisecond, Breaker: Breaker{Minimum: 1000}})
	h, _ := start(t, Config{ChainTimeout: 100 * time.Millisecond}, slow, slow, slow, slow, slow, slow, Entry{Module: "allow"})
	for _, ask := range []func() bool{
		func() bool { v, _ := decide(h, "hello"); return v.Outcome == hook.Allowed },
		func() bool { return strings.Join(heard(t, h, "hello", crowd(2)), "") == "==" },
	} {
		begin := time.Now()
		if !ask() {
			t.Error("shadows used up the chain's time")
		}
		if took := time.Since(begin); took > 2*time.Second { // 100 ms on an idle machine
			t.Errorf("shadows took %v", took)
		}
	}
	if got := h.Decisions(report.DecisionFilter{Module: "loop", Verdict: report.Error}); len(got) == 0 {
		t.Error("they did not run out of time")
	}
}

func TestClientsCanDoNothingThatAShadowAloneDeclares(t *testing.T) {
	login := goEntry(`{"manifest": {"actions": [{"name": "login"}]}}`)
	act := &hook.Event{Hook: hook.Action, Tenant: "t", Action: "login", Params: json.RawMessage(`{}`), Conn: alice()}
	h, _ := start(t, Config{}, shadow(login))
	if got := h.Actions("t"); len(got) != 0 {
		t.Errorf("actions %v", got)
	}
	swap(t, h, rulesFor(shadow(login), login))
	if got := h.Actions("t"); len(got) != 1 {
		t.Errorf("actions %v", got)
	}
	if v := h.Decide(context.Background(), act); string(v.Reply) != `{"did":"login","params":{}}` {
		t.Errorf("%+v", v)
	}
	if s := h.Stats(); s[0].Calls+s[1].Calls != 2 {
		t.Errorf("not both were asked: %+v", s)
	}
}
