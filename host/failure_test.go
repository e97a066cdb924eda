package host

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/report"
)

func TestHostileModulesFailAndTheNextCallIsAnswered(t *testing.T) {
	for module, want := range map[string]string{
		"loop":       "kind=deadline error=\"deadline exceeded after 20ms: the entry's timeout is 20ms\"",
		"trap":       "kind=trap error=\"wasm error: unreachable",
		"deep":       "kind=trap error=\"call stack too deep\"",
		"hungry":     "kind=memory",
		"exit":       "kind=exit",
		"badpointer": "kind=protocol error=\"reason: 100 bytes at 0xfffffff0",
		"code-8":     "kind=protocol error=\"on_say_receive returned 8",
		"code-3":     "kind=protocol",
		"code--1":    "kind=trap error=\"on_say_receive returned an error: -1\"",
	} {
		for policy, outcome := range map[Policy]hook.Outcome{DenyOnError: hook.Failed, AllowOnError: hook.Allowed} {
			entry := Entry{Module: module, OnError: policy, Breaker: Breaker{Minimum: 1000}}
			if module == "loop" {
				entry.Timeout = 20 * time.Millisecond
			}
			h, log := start(t, Config{}, entry)
			for range 5 { // more than there are instances
				if v, _ := decide(h, "hello"); v.Outcome != outcome {
					t.Errorf("%s: %+v", module, v)
				}
			}
			if n := strings.Count(log.String(), want); n != 5 {
				t.Errorf("%s: %q is in the log %d times, want 5:\n%s", module, want, n, log)
			}
		}
	}
}

func TestFailuresOfAGoGuest(t *testing.T) {
	entry := goEntry(`{}`)
	entry.Breaker.Minimum = 1000
	h, log := start(t, Config{}, entry)
	for say, want := range map[string]string{
		"panic with these words": "with these words",
		"exit":                   "kind=exit",
		"deep":                   "kind=trap",
		"hoard":                  "kind=memory",
		"badpointer":             "kind=protocol",
	} {
		if v, _ := decide(h, say); v.Outcome != hook.Failed || v.Reason != "" {
			t.Errorf("%s: %+v", say, v)
		}
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s: %q is not in the log:\n%s", say, want, log)
		}
		if v, _ := decide(h, "deny next"); v.Reason != "next" {
			t.Errorf("the call after %s: %+v", say, v)
		}
	}
}

func TestTheCollectorRunsWhileAGuestLoops(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "loop", Timeout: 200 * time.Millisecond})
	done := make(chan hook.Verdict)
	go func() {
		v, _ := decide(h, "hello")
		done <- v
	}()
	collections := 0
	for {
		select {
		case v := <-done:
			if v.Outcome != hook.Failed || collections < 3 {
				t.Errorf("%+v after %d collections", v, collections)
			}
			return
		default:
			runtime.GC()
			collections++
		}
	}
}

func TestAnInstanceIsReplacedBeforeItsMemoryIsUsedUp(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	for range 4 {
		if v, _ := decide(h, "grow"); v.Outcome != hook.Allowed {
			t.Errorf("%+v", v)
		}
	}
	if s := h.Stats()[0]; len(s.Errors) > 0 {
		t.Errorf("%+v", s)
	}
}

func TestAChainOutOfTimeIsNotTheNextModulesFault(t *testing.T) {
	slow := Entry{Module: "loop", OnError: AllowOnError}
	next := Entry{Module: "allow", Breaker: Breaker{Minimum: 1}}
	h, _ := start(t, Config{ChainTimeout: 100 * time.Millisecond}, slow, next)
	if v, _ := decide(h, "hello"); v.Outcome != hook.Failed || !strings.HasPrefix(v.Module, "allow@") {
		t.Errorf("%+v", v)
	}
	if s := h.Stats()[1]; s.OpenBreakers != 0 || s.Errors["deadline"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAClientCannotOpenABreakerWithLargeMessages(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "small", Breaker: Breaker{Minimum: 1}})
	for _, size := range []int{100 << 10, 2 << 20} { // more than the module's buffer, more than any buffer
		if v, _ := decide(h, strings.Repeat("x", size)); v.Outcome != hook.Failed {
			t.Errorf("%d bytes: %+v", size, v)
		}
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
	if s := h.Stats()[0]; s.Errors["memory"] != 1 || s.Errors["host"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestALargeMessageGetsALargerBuffer(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	long := strings.Repeat("long ", 40_000) // 200 KB
	if v, _ := decide(h, "deny "+long); v.Outcome != hook.Failed {
		t.Errorf("a reason of 200 KB: %v", v.Outcome)
	}
	if v, ev := decide(h, "rewrite "+long[:60_000]); v.Outcome != hook.Allowed || ev.Message.Text != long[:60_000] {
		t.Errorf("%+v, %d bytes", v, len(ev.Message.Text))
	}
}

func TestAGateHoldsATenantToItsShare(t *testing.T) {
	g := new(gate)
	g.set(0.5)
	second := int64(time.Second)
	if g.spend(second, overdraft/2); g.wait(second) != 0 {
		t.Error("a burst waits")
	}
	g.spend(11*second, second) // one second of use is earned in two seconds
	if got, want := g.wait(11*second), time.Second-time.Duration(overdraft); got != want {
		t.Errorf("it waits %v, want %v", got, want)
	}
	if g.wait(12*second) != 0 {
		t.Error("it waits when it has earned what it used")
	}
}

func TestAnotherTenantIsNotHeldUp(t *testing.T) {
	greedy := Entry{Module: "loop", Timeout: 100 * time.Millisecond, Breaker: Breaker{Minimum: 1000}}
	rules := rulesFor(greedy, Entry{Module: "allow"})
	rules.Tenants[0].Chain = rules.Tenants[0].Chain[:1]
	rules.Tenants[0].CPU = 0.25
	rules.Tenants = append(rules.Tenants, Tenant{Name: "other", Chain: []Entry{{Module: "allow"}}})
	h, _ := start(t, Config{})
	swap(t, h, rules)
	stop := make(chan struct{})
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					decide(h, "hello")
				}
			}
		})
	}
	for range 200 {
		ev := said("hello")
		ev.Tenant = "other"
		if v := h.Decide(context.Background(), ev); v.Outcome != hook.Allowed {
			t.Errorf("%+v", v)
		}
	}
	close(stop)
	loops.Wait()
}

func TestLogLinesOfAModuleAreBounded(t *testing.T) {
	h, log := start(t, Config{}, goEntry(`{}`))
	for range 1000 {
		decide(h, "log words of a guest")
	}
	n := strings.Count(log.String(), "words of a guest")
	if n < linesPerSecond || n > 10*linesPerSecond {
		t.Errorf("%d lines", n)
	}
	if s := h.Stats()[0]; s.LogsDropped == 0 {
		t.Errorf("%+v", s)
	}
}

// TestADecisionHasThePanicAndThePlace: a decision's Error is short, and begins with the reason of the failure.
func TestADecisionHasThePanicAndThePlace(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	if v, _ := decide(h, "panic with these words"); v.Outcome != hook.Failed {
		t.Fatalf("%+v", v)
	}
	list := h.Decisions(report.DecisionFilter{Tenant: "t"})
	if len(list) != 1 || !strings.HasPrefix(list[0].Error, "panic: with these words") || !strings.Contains(list[0].Error, "testdata/guest/main.go:") {
		t.Errorf("%+v", list)
	}
}

func TestTheShortTextOfAFailure(t *testing.T) {
	for text, want := range map[string]string{
		"wasm error: unreachable\nwasm stack trace:\n\t.$3(i32)\n\t.check_words(i32,i32) i32\n\t.on_say_receive(i32) i32": "wasm error: unreachable in check_words",
		"wasm error: unreachable\nwasm stack trace:\n\t.$3(i32)\n\t.$4(i32) i32":                                          "wasm error: unreachable",
		"a line\npanic: no words\n\ngoroutine 1":                                                                          "panic: no words\n\ngoroutine 1",
	} {
		if got := fail(Trap, "%s", text).short(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
