package guests_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
)

// newcomers returns a host with entries of the rule at the priorities 10, 20, ...
func newcomers(t *testing.T, configs ...string) *host.Host {
	t.Helper()
	h, err := host.New(host.Config{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	var chain []host.Entry
	for i, config := range configs {
		chain = append(chain, host.Entry{Module: "newcomers", Priority: 10 * (i + 1), Grants: []string{"kv"}, Config: json.RawMessage(config), Timeout: time.Minute})
	}
	r, err := h.Load(t.Context(), host.Rules{ChainTimeout: time.Minute, Modules: []host.Module{{Name: "newcomers", Wasm: guest(t, "builtin/newcomers")}},
		Tenants: []host.Tenant{{Name: "default", CPU: 1, Chain: chain}}})
	if err != nil {
		t.Fatal(err)
	}
	h.Swap(r)
	return h
}

// saidBy returns a message of a user on its n-th connection, which has another address and fingerprint than the others.
func saidBy(user string, n int) *hook.Event {
	return &hook.Event{Hook: hook.OnSayReceive, Tenant: "default", Room: fmt.Sprint("room", n%3), From: fmt.Sprint(n), Context: "user", Message: wire.Message{Text: "hello"},
		Conn: &hook.Profile{Connection: hook.Connection{ID: fmt.Sprint(n), User: user, Fingerprint: fmt.Sprint("f", n), RemoteIP: fmt.Sprintf("192.0.2.%d", n), Tenant: "default"}}}
}

// TestNewcomersAreNotNewAfterMessagesThatPassed tries to evade count: passed with many messages, and then releases two of them.
func TestNewcomersAreNotNewAfterMessagesThatPassed(t *testing.T) {
	h := newcomers(t, `{"messages": 2, "count": "passed"}`, `{"action": "count"}`)
	var held []*hook.Event
	send := func(user string, n int) bool {
		ev := saidBy(user, n)
		v := h.Decide(t.Context(), ev)
		if v.Outcome == hook.Held {
			ev.After = &v.Hold.At
			held = append(held, ev)
		}
		return v.Outcome == hook.Held
	}
	for n := range 20 {
		if !send("mallory", n) || !send("ann", n) {
			t.Fatalf("message %d of a new user was not held", n)
		}
	}
	released := 0
	for _, ev := range held {
		if ev.Conn.User == "ann" && released < 2 {
			released++
			if v := h.Decide(t.Context(), ev); v.Outcome != hook.Allowed {
				t.Fatalf("the release: %+v", v)
			}
			if again := send("ann", 30); again != (released < 2) {
				t.Errorf("after %d releases a message is held: %v", released, again)
			}
		}
	}
	if !send("mallory", 31) {
		t.Error("the messages of another user count")
	}
}

// TestTheFirstMessagesAreHeldWhenTheyArriveTogether sends messages of one user on many connections at once: exactly the first three
// are held.
func TestTheFirstMessagesAreHeldWhenTheyArriveTogether(t *testing.T) {
	h := newcomers(t, `{}`)
	var held atomic.Int64
	var wait sync.WaitGroup
	for n := range 40 {
		wait.Go(func() {
			switch v := h.Decide(t.Context(), saidBy("mallory", n)); v.Outcome {
			case hook.Held:
				held.Add(1)
			case hook.Allowed:
			default:
				t.Errorf("%+v", v)
			}
		})
	}
	if wait.Wait(); held.Load() != 3 {
		t.Errorf("%d messages were held, want 3", held.Load())
	}
}
