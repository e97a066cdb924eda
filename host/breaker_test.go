package host

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/report"
)

const second = int64(time.Second)

// breakerAt returns a breaker created at time 0, with defaults for empty fields and probes of at most 50 ms.
func breakerAt(rule Breaker) *breaker {
	return newBreaker(Entry{Breaker: rule}.withDefaults().Breaker, second/20, 0)
}

// call asks b for a call at time t, and reports to b whether the call fails.
func call(b *breaker, t int64, fails bool) (admitted bool) {
	k, wait := b.admit(t)
	switch {
	case wait > 0:
		return false
	case fails:
		b.failed(k, t)
	default:
		b.succeeded(k)
	}
	return true
}

func TestABreakerOpensAtItsRatio(t *testing.T) {
	type burst struct {
		at           int64 // ms
		good, failed int
	}
	for _, c := range []struct {
		name   string
		rule   Breaker
		bursts []burst
		opens  bool
	}{
		{"two deadlines among a thousand messages a second", Breaker{}, []burst{{0, 1000, 0}, {1000, 1000, 2}, {2000, 1000, 0}}, false},
		{"a pause of the machine that fails all that was under way", Breaker{}, []burst{{0, 1000, 0}, {1000, 0, 16}}, false},
		{"all of few", Breaker{}, []burst{{0, 0, 19}}, false},
		{"all", Breaker{}, []burst{{0, 0, 20}}, true},
		{"half", Breaker{}, []burst{{0, 10, 10}}, true},
		{"less than half", Breaker{}, []burst{{0, 11, 10}}, false},
		{"those of the last window alone", Breaker{}, []burst{{0, 1000, 0}, {10_000, 0, 20}}, true},
		{"the window rolls", Breaker{}, []burst{{0, 0, 19}, {9_900, 100, 0}, {10_100, 0, 19}}, false},
		{"a window without calls", Breaker{}, []burst{{0, 0, 19}, {3_600_000, 0, 1}}, false},
		{"a rule of its own", Breaker{Ratio: 0.01, Minimum: 100, Window: time.Minute}, []burst{{0, 99, 0}, {50_000, 0, 1}}, true},
	} {
		b := breakerAt(c.rule)
		for _, r := range c.bursts {
			for range r.good {
				call(b, r.at*second/1000, false)
			}
			for range r.failed {
				call(b, r.at*second/1000, true)
			}
		}
		if opens := b.state() == opened; opens != c.opens {
			t.Errorf("%s: open is %v", c.name, opens)
		}
	}
}

// TestAClientFailsARuleOnPurpose checks the figures in README.md: for a minute one client sends messages that make the
// module fail, while other clients send good ones.
func TestAClientFailsARuleOnPurpose(t *testing.T) {
	for _, c := range []struct {
		name            string
		others, hostile int64 // messages per second
		opens           bool
	}{
		{"a quiet tenant, one a second", 0, 1, false},
		{"a quiet tenant, two a second", 0, 2, true},
		{"a quiet tenant, fifty a second", 0, 50, true},
		{"as many as it", 50, 50, true},
		{"twice as many as it", 100, 50, false},
		{"a hundred times as many", 10_000, 100, false},
	} {
		b, refused := breakerAt(Breaker{}), 0
		for s := range int64(60) {
			sum := c.others + c.hostile
			for i := range sum { // evenly over the second
				t := s*second + i*second/sum
				fails := (i+1)*c.hostile/sum > i*c.hostile/sum
				if !call(b, t, fails) {
					refused++
				}
			}
		}
		if opens := b.outage.Load() != nil; opens != c.opens || (refused > 0) != opens {
			t.Errorf("%s: it opened: %v, %d were refused", c.name, opens, refused)
		}
	}
}

func TestAnOpenBreakerProbes(t *testing.T) {
	b := breakerAt(Breaker{Minimum: 1, Probes: 2})
	k, _ := b.admit(0)
	late, _ := b.admit(0)
	o := b.failed(k, 0)
	if o == nil || o.calls != (count{1, 1}) {
		t.Fatalf("it did not open: %+v", o)
	}
	b.failed(late, 0) // a call that was admitted before the breaker opened
	if _, wait := b.admit(second); wait != 4*second {
		t.Errorf("a call is to wait %v, want the rest of the cooldown", time.Duration(wait))
	}
	first, w1 := b.admit(5 * second)
	other, w2 := b.admit(5 * second)
	_, w3 := b.admit(5 * second)
	if w1 != 0 || w2 != 0 || w3 != second/20 {
		t.Errorf("probes wait %v and %v, the call beside them %v", w1, w2, w3)
	}
	b.ignored(other)
	if other, w2 = b.admit(5 * second); w2 != 0 {
		t.Error("a probe that says nothing gives no place back")
	}
	if b.failed(first, 6*second) != nil || b.succeeded(other) != nil {
		t.Error("a probe that fails begins or ends an outage")
	}
	if _, wait := b.admit(6 * second); wait != 5*second {
		t.Errorf("after a probe that failed a call is to wait %v, want the cooldown", time.Duration(wait))
	}
	for i := range 2 {
		k, wait := b.admit(11 * second)
		if wait != 0 {
			t.Fatalf("probe %d is to wait %v", i, time.Duration(wait))
		}
		if ended := b.succeeded(k); (ended == o) != (i == 1) {
			t.Errorf("probe %d: ended %v", i, ended)
		}
	}
	if n := o.refused.Load(); b.state() != closed || n != 3 {
		t.Errorf("state %d, %d calls were refused, want 3", b.state(), n)
	}
}

// TestProbesAreBounded checks the number of concurrent probes, while many goroutines call a module that fails and
// recovers.
func TestProbesAreBounded(t *testing.T) {
	b := breakerAt(Breaker{Minimum: 4, Probes: 3, Cooldown: 1, Window: 100})
	var clock, under, most atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 5000 {
				k, wait := b.admit(clock.Add(1))
				if wait > 0 {
					continue
				}
				if k&stateMask == halfOpen {
					for now, seen := under.Add(1), most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
					}
					under.Add(-1)
				}
				switch (n/100 + i) % 3 {
				case 0:
					b.failed(k, clock.Load())
				case 1:
					b.ignored(k)
				default:
					b.succeeded(k)
				}
			}
		})
	}
	all.Wait()
	if most.Load() > 3 || b.probing < 0 || b.probing > 3 {
		t.Errorf("%d probes at a time, %d are left under way", most.Load(), b.probing)
	}
}

// outageOf returns a host whose only entry has failed until its breaker opened, and was then refused n more calls.
func outageOf(t *testing.T, e Entry, recording Recording, n int) (*Host, *logged, *entry) {
	e.Breaker.Cooldown = time.Hour
	h, log := start(t, Config{})
	recorded(t, h, recording, e)
	for range 20 + n {
		decide(h, "panic with these words")
	}
	return h, log, h.current.Load().tenants["t"].entries[0]
}

func TestAnOutageIsRecordedOnce(t *testing.T) {
	h, log, e := outageOf(t, goEntry(`{}`), Recording{}, 100)
	if got := inShort(h.Decisions(report.DecisionFilter{Limit: 2})); got != `go onSayReceive opened "trap"; go onSayReceive error "trap"` {
		t.Errorf("the last decisions are %s", got)
	}
	d := h.Decisions(report.DecisionFilter{Verdict: report.Opened})[0]
	if d.Refused != 100 || !strings.HasPrefix(d.Error, "20 of 20 calls failed, the last one: ") || !strings.Contains(d.Error, "with these words") {
		t.Errorf("%+v", d)
	}
	s := h.Stats()[0]
	if s.Calls != 20 || s.Errors["trap"] != 20 || s.Errors["open"] != 100 || s.OpenBreakers != 1 {
		t.Errorf("%+v", s)
	}
	e.breaker.until.Store(0) // the cooldown has passed
	decide(h, "panic")
	e.breaker.until.Store(0)
	for range 3 {
		if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
			t.Errorf("a probe: %+v", v)
		}
	}
	if got := inShort(h.Decisions(report.DecisionFilter{Limit: 3})); got != `go onSayReceive closed; go onSayReceive error "trap"; go onSayReceive opened "trap"` {
		t.Errorf("the last decisions are %s", got)
	}
	if d := h.Decisions(report.DecisionFilter{Limit: 1})[0]; d.Refused != 100 || d.Took <= 0 {
		t.Errorf("%+v", d)
	}
	if s := h.Stats()[0]; s.OpenBreakers != 0 {
		t.Errorf("%+v", s)
	}
	for _, line := range []string{`msg="breaker opened"`, `msg="breaker closed"`} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%q is in the log %d times, want once:\n%s", line, n, log)
		}
	}
	if !strings.Contains(log.String(), `calls=20 failures=20 kind=trap error="panic: with these words`) {
		t.Errorf("the log lacks the cause:\n%s", log)
	}
}

// TestFewFailuresKeepNoModuleFromBeingAsked checks that a breaker stays closed at a failure rate of one in ten.
func TestFewFailuresKeepNoModuleFromBeingAsked(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	for i := range 100 {
		text, want := "hello", hook.Allowed
		if i%10 == 9 {
			text, want = "panic", hook.Failed
		}
		if v, _ := decide(h, text); v.Outcome != want {
			t.Errorf("call %d: %+v", i, v)
		}
	}
	if s := h.Stats()[0]; s.Calls != 100 || s.OpenBreakers != 0 {
		t.Errorf("%+v", s)
	}
}

// TestAReloadKeepsABreaker checks that a reload keeps the breaker of an unchanged entry, for only one of two equal
// entries. A reload that changes the entry creates a new breaker.
func TestAReloadKeepsABreaker(t *testing.T) {
	e := goEntry(`{}`)
	e.Breaker.Cooldown = time.Hour
	h, _, was := outageOf(t, e, Recording{}, 1)
	other := Entry{Module: "allow"}
	moved := e
	moved.Where, moved.Priority = "config.yaml:9", 7
	swap(t, h, rulesFor(other, moved, moved))
	entries := h.current.Load().tenants["t"].entries
	decide(h, "hello")
	if d := h.Decisions(report.DecisionFilter{Verdict: report.Opened})[0]; d.Refused != 2 {
		t.Errorf("%+v", d)
	}
	if a, b := entries[1].breaker, entries[2].breaker; a != was.breaker || b == a || b.state() != closed {
		t.Errorf("the breakers are %p and %p, it was %p", a, b, was.breaker)
	}
	moved.Breaker.Minimum = 10
	swap(t, h, rulesFor(other, moved))
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed || h.Stats()[1].OpenBreakers != 0 {
		t.Errorf("%+v", v)
	}
}

func TestAnOpenBreakerAnswersByThePolicy(t *testing.T) {
	for policy, outcome := range map[Policy]hook.Outcome{DenyOnError: hook.Failed, AllowOnError: hook.Allowed} {
		e := goEntry(`{}`)
		e.OnError = policy
		h, _, _ := outageOf(t, e, Recording{}, 0)
		v, ev := decide(h, "rewrite other")
		if v.Outcome != outcome || ev.Message.Text != "rewrite other" {
			t.Errorf("%+v, %q", v, ev.Message.Text)
		}
		if retry := v.RetryAfter; outcome == hook.Failed && (retry <= 0 || retry > time.Hour) || outcome == hook.Allowed && retry != 0 {
			t.Errorf("policy %v: to be asked again in %v", policy, retry)
		}
	}
}

func TestAModuleThatFailsPromisesNothing(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	if v, _ := decide(h, "panic"); v.Outcome != hook.Failed || v.RetryAfter != 0 {
		t.Errorf("%+v", v)
	}
}

func TestRefusingAllocatesNothing(t *testing.T) {
	h, _, _ := outageOf(t, goEntry(`{}`), Recording{}, 0)
	ev := said("hello")
	if n := leastAllocations(func() { h.Decide(context.Background(), ev) }); n > 0 {
		t.Errorf("Decide: %v allocations", n)
	}
	sayEvent, members := one(1000)
	if n := leastAllocations(func() { callChain(h, sayEvent, members) }); n > 0 {
		t.Errorf("Deliver: %v allocations", n)
	}
}

// leastAllocations measures the allocations of f several times and returns the least, because goroutines of the
// host, which start instances and close them, may allocate at the same time.
func leastAllocations(f func()) float64 {
	least := testing.AllocsPerRun(100, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(100, f))
	}
	return least
}

// TestAShadowThatIsRefusedIsNotRecorded checks that a shadow whose breaker is open records no decisions.
func TestAShadowThatIsRefusedIsNotRecorded(t *testing.T) {
	h, _, _ := outageOf(t, shadow(goEntry(`{}`)), Recording{}, 5)
	heard(t, h, "hello", crowd(10))
	list := h.Decisions(report.DecisionFilter{})
	counts := make(map[string]int)
	for _, d := range list {
		counts[d.Verdict]++
	}
	if counts[report.Error] != 20 || counts[report.Opened] != 1 || len(list) != 21 {
		t.Errorf("recorded are %v", counts)
	}
}

// TestABreakerCountsDeliveries checks that failures and refusals at say count once for each message.
func TestABreakerCountsDeliveries(t *testing.T) {
	e := Entry{Module: "trap"}
	e.Breaker = Breaker{Minimum: 4, Cooldown: time.Hour}
	h, _ := start(t, Config{}, e)
	for range 10 {
		heard(t, h, "hello", crowd(3))
	}
	list := h.Decisions(report.DecisionFilter{})
	if len(list) != 5 || list[0].Verdict != report.Opened || list[0].Refused != 6 || list[1].Verdict != report.Error {
		t.Errorf("%d decisions: %+v", len(list), list)
	}
}

// TestWaitingOpensNoBreaker checks that a timeout while a call waits for an instance, or for the tenant's share of the
// processors, does not count as a failure of the module.
func TestWaitingOpensNoBreaker(t *testing.T) {
	e := Entry{Module: "allow", Timeout: 5 * time.Millisecond, Breaker: Breaker{Minimum: 1}}
	h, log := start(t, Config{Instances: 2}, e)
	g := h.current.Load().generations[0]
	var taken []*instance
	for range 2 {
		in, f := g.pool.take(context.Background(), now(), now()+int64(patience))
		if f != nil {
			t.Fatal(f)
		}
		taken = append(taken, in)
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Failed {
		t.Errorf("%+v", v)
	}
	for _, in := range taken {
		g.pool.put(in)
	}
	g.gate.due.Store(now() + int64(time.Hour))
	if v, _ := decide(h, "hello"); v.Outcome != hook.Failed {
		t.Errorf("%+v", v)
	}
	g.gate.due.Store(0)
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("%+v\n%s", v, log)
	}
	if s := h.Stats()[0]; s.Errors["pool"] != 1 || s.Errors["deadline"] != 1 || s.OpenBreakers != 0 || !strings.Contains(log.String(), "share of the processors") {
		t.Errorf("%+v\n%s", s, log)
	}
}

// TestACallWithLittleTimeLeftOpensNoBreaker checks that a deadline does not count as a failure if waiting has used most
// of the call's time.
func TestACallWithLittleTimeLeftOpensNoBreaker(t *testing.T) {
	for timeout, opens := range map[time.Duration]int{time.Hour: 0, 5 * time.Millisecond: 1} {
		h, log := start(t, Config{}, Entry{Module: "loop", Timeout: timeout, Breaker: Breaker{Minimum: 1}})
		e := h.current.Load().tenants["t"].entries[0]
		members := make([]unit, 0)
		for _, say := range []bool{false, true} {
			k, wait := e.breaker.admit(now())
			if wait > 0 {
				continue // the breaker is open
			}
			in, f := e.generation.pool.take(t.Context(), now(), now()+int64(patience))
			if f != nil {
				t.Fatal(f)
			}
			ev, deadline := said("hello"), in.mark+int64(5*time.Millisecond)
			if say {
				_, f = in.say(e, &scratch{host: h, ctx: t.Context(), event: *ev}, members, nil, deadline)
			} else {
				f = in.decide(e, ev, nil, deadline, new(answer))
			}
			e.generation.pool.put(in)
			if f == nil || f.kind != Deadline {
				t.Fatalf("%v", f)
			}
			e.failed(k, f, ev)
		}
		if s := h.Stats()[0]; s.OpenBreakers != opens {
			t.Errorf("%v: %+v\n%s", timeout, s, log)
		}
	}
}

// TestAnActionIsRefusedToo checks that an open breaker refuses an action by the entry's policy, with RetryAfter.
func TestAnActionIsRefusedToo(t *testing.T) {
	e := goEntry(`{"manifest": {"name": "a", "actions": [{"name": "login"}]}}`)
	h, _, _ := outageOf(t, e, Recording{}, 0)
	v := h.Decide(context.Background(), &hook.Event{Hook: hook.Action, Tenant: "t", Action: "login", Params: json.RawMessage(`{}`), Conn: alice()})
	if v.Outcome != hook.Failed || v.RetryAfter <= 0 {
		t.Errorf("%+v", v)
	}
}

func BenchmarkBreaker(b *testing.B) {
	for name, most := range map[string]int{"one after the other": 1, "at once": 0} {
		b.Run(name, func(b *testing.B) {
			k := breakerAt(Breaker{})
			b.ReportAllocs()
			if most == 1 {
				for b.Loop() {
					call(k, 1, false)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call(k, 1, false)
				}
			})
		})
	}
}

// TestShortMemoryOpensNoBreaker checks that a call without memory does not count as a failure while other instances use
// the shared memory.
func TestShortMemoryOpensNoBreaker(t *testing.T) {
	h, log := start(t, Config{Memory: 8 << 20, Instances: 2}, Entry{Module: "hungry", Breaker: Breaker{Minimum: 1}})
	for range 3 {
		if v, _ := decide(h, "hello"); v.Outcome != hook.Failed {
			t.Errorf("%+v", v)
		}
	}
	if s := h.Stats()[0]; s.Errors["memory"] != 3 || s.OpenBreakers != 0 {
		t.Errorf("%+v\n%s", s, log)
	}
}

// TestAModulesOwnLimitCounts checks that a module that exceeds its own memory limit opens its breaker.
func TestAModulesOwnLimitCounts(t *testing.T) {
	h, log := start(t, Config{}, Entry{Module: "hungry", Memory: 2 << 20, Breaker: Breaker{Minimum: 1}})
	decide(h, "hello")
	if s := h.Stats()[0]; s.Errors["memory"] != 1 || s.OpenBreakers != 1 {
		t.Errorf("%+v\n%s", s, log)
	}
}
