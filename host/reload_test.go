package host

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

func TestASwapIsSeenByTheNextEventAndNoEarlier(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"}, Entry{Module: "allow-2"})
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, _ := decide(h, "hello")
				if mixed := v.Outcome == hook.Failed || v.Outcome == hook.Denied && !strings.HasPrefix(v.Module, "code-1@"); mixed {
					t.Errorf("%+v", v)
					return
				}
			}
		})
	}
	for i := range 30 {
		chain := []Entry{{Module: "allow"}, {Module: "allow-2"}}
		if i%2 == 0 {
			chain = []Entry{{Module: "allow", Config: fmt.Appendf(nil, `{"n": %d}`, i)}, {Module: "code-1"}}
		}
		swap(t, h, rulesFor(chain...))
	}
	close(stop)
	callers.Wait()
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
}

func TestAReloadKeepsEqualEntries(t *testing.T) {
	entry := Entry{Module: "allow"}
	h, _ := start(t, Config{}, entry)
	before := h.current.Load()
	kept := before.generations[0]
	decide(h, "hello")
	for name, change := range map[string]func(*Entry){
		"nothing":  func(*Entry) {},
		"policy":   func(e *Entry) { e.OnError = AllowOnError },
		"expiry":   func(e *Entry) { e.OnExpire = ReleaseOnExpire },
		"priority": func(e *Entry) { e.Priority, e.Rooms, e.Timeout = 7, []string{"r"}, time.Second },
	} {
		next := entry
		change(&next)
		swap(t, h, rulesFor(next))
		if got := h.current.Load().generations[0]; got != kept {
			t.Errorf("%s: the module was started anew", name)
		}
		if same := h.Revision() == before.id; same != (name == "nothing") {
			t.Errorf("%s: the revision is the same: %v", name, same)
		}
	}
	for name, change := range map[string]func(*Entry){
		"config": func(e *Entry) { e.Config = []byte(`{"n": 1}`) },
		"memory": func(e *Entry) { e.Memory = 32 << 20 },
		"grants": func(e *Entry) { e.Grants = []string{"kv"} },
	} {
		next := entry
		change(&next)
		swap(t, h, rulesFor(next))
		if got := h.current.Load().generations[0]; got == kept {
			t.Errorf("%s: the module was not started anew", name)
		}
	}
	if s := h.Stats()[0]; s.Calls != 1 {
		t.Errorf("the counts from before are gone: %+v", s)
	}
}

func TestTheRevisionDependsOnRules(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow", Where: "config.yaml:1"})
	before := h.Revision()
	swap(t, h, rulesFor(Entry{Module: "allow", Where: "config.yaml:2", Memory: defaultMemory}))
	if h.Revision() != before {
		t.Error("a line that moved, or a default that is written down, changed it")
	}
	rules := rulesFor(Entry{Module: "allow"})
	rules.Modules[0].Wasm = handMade("allow-2")
	rules.Modules[0].Wasm = append(rules.Modules[0].Wasm, 0, 2, 1, 'x') // a custom section
	swap(t, h, rules)
	if h.Revision() == before {
		t.Error("another binary did not change it")
	}
}

func TestACallInFlightFinishesOnTheOldRevision(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "loop", Timeout: 100 * time.Millisecond})
	done := make(chan hook.Verdict)
	go func() {
		v, _ := decide(h, "hello")
		done <- v
	}()
	old := h.current.Load()
	for old.users.Load() < 2 { // until the call is in flight
		runtime.Gosched()
	}
	swap(t, h, rulesFor(Entry{Module: "allow"}))
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
	if v := <-done; v.Outcome != hook.Failed || !strings.HasSuffix(v.Module, "#"+old.id[:8]) {
		t.Errorf("%+v", v)
	}
}

func TestACloseWaitsForCallsInFlight(t *testing.T) {
	h, err := New(Config{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	swap(t, h, rulesFor(Entry{Module: "loop", Timeout: 50 * time.Millisecond}))
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() { decide(h, "hello") })
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	calls.Wait()
	if used := h.memory.used; used != 0 {
		t.Errorf("%d bytes are left", used)
	}
	if _, err := h.Load(context.Background(), Rules{}); err == nil {
		t.Error("a closed host loads rules")
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("a host without rules: %+v", v)
	}
}

func TestWaitingForAnInstanceIsBounded(t *testing.T) {
	h, _ := start(t, Config{Instances: 2}, Entry{Module: "allow", Timeout: 20 * time.Millisecond})
	p := h.current.Load().generations[0].pool
	var taken []*instance
	for range 2 {
		in, f := p.take(t.Context(), now(), now()+int64(patience))
		if f != nil {
			t.Fatal(f)
		}
		taken = append(taken, in)
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Failed {
		t.Errorf("%+v", v)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, f := p.take(ctx, now(), now()+int64(time.Hour)); f == nil || f.kind != NoInstance {
		t.Errorf("the engine ended: %v", f)
	}
	if s := h.Stats()[0]; s.Errors["pool"] != 1 || s.Instances != 2 || s.Calls != 0 {
		t.Errorf("%+v", s)
	}
	for _, in := range taken {
		p.put(in)
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
}

func TestActionsLeaveAnInstanceForMessages(t *testing.T) {
	h, _ := start(t, Config{Instances: 2, ChainTimeout: 2 * time.Second}, Entry{Module: "busy", Breaker: Breaker{Minimum: 1000}})
	var actions sync.WaitGroup
	for range 3 {
		actions.Go(func() {
			h.Decide(context.Background(), &hook.Event{Hook: hook.Action, Tenant: "t", Action: "loop"})
		})
	}
	for range 20 {
		if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
			t.Errorf("%+v", v)
		}
	}
	actions.Wait()
}

// TestAnInstanceThatIsMadeDuringRestIsClosed checks that an instance that is being made while the
// pool is put to rest is closed.
func TestAnInstanceThatIsMadeDuringRestIsClosed(t *testing.T) {
	h, _ := start(t, Config{Instances: 2}, Entry{Module: "allow"})
	p := h.current.Load().generations[0].pool
	p.drain()
	begin, made := make(chan struct{}), p.make
	p.make = func(first bool) (*instance, *failure) {
		<-begin
		return made(first)
	}
	p.grow()
	p.rest()
	close(begin)
	p.makers.Wait()
	if n := p.alive.Load(); n != 0 {
		t.Errorf("%d instances are alive", n)
	}
}

// TestARevisionHasOnlyTheShownConfig checks that another secret in Config starts the module anew,
// but does not change the ID of the revision. Rules.Beside has such changes.
func TestARevisionHasOnlyTheShownConfig(t *testing.T) {
	entry := Entry{Module: "allow", Config: []byte(`{"pin": 1}`), Shown: []byte(`{"pin": "${PIN}"}`)}
	h, _ := start(t, Config{}, entry)
	before, first := h.Revision(), h.current.Load().generations[0]
	entry.Config = []byte(`{"pin": 2}`)
	swap(t, h, rulesFor(entry))
	if h.Revision() != before {
		t.Error("the ID can be used to guess the secret")
	}
	if h.current.Load().generations[0] == first {
		t.Error("the module still has the old secret")
	}
	entry.Shown = []byte(`{"pin": "${OTHER}"}`)
	swap(t, h, rulesFor(entry))
	if h.Revision() == before {
		t.Error("another reference did not change the ID")
	}
}
