package host

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// delayed delays new instances of the tenant's first entry by d.
func delayed(h *Host, tenant string, d time.Duration) {
	p := h.current.Load().tenants[tenant].entries[0].generation.pool
	make := p.make
	p.make = func(first bool) (*instance, *failure) {
		for begin := now(); now() < begin+int64(d); {
			runtime.Gosched()
		}
		return make(first)
	}
}

// TestAWakeTakesNoTimeOfTheTimeout checks that the start of the first instance does not count against the timeout of
// the entry, within the limit.
func TestAWakeTakesNoTimeOfTheTimeout(t *testing.T) {
	const timeout = 5 * time.Millisecond
	h, log := start(t, Config{}, Entry{Module: "allow", Timeout: timeout})
	delayed(h, "t", 3*timeout)
	// On a busy machine the call itself may miss its deadline, but it gets the instance.
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed && !strings.Contains(log.String(), "kind=deadline") {
		t.Errorf("%+v\n%s", v, log)
	}
	p := h.current.Load().generations[0].pool
	p.drain()
	begin := now()
	in, until, f := p.takeOrWake(t.Context(), begin, begin+int64(timeout), begin+int64(patience))
	if f != nil {
		t.Fatal(f)
	}
	if left := until - in.mark; left != int64(timeout) {
		t.Errorf("%v of %v are left when the instance is there", time.Duration(left), timeout)
	}
	p.put(in)
	p.drain()
	release, made := make(chan struct{}), p.make
	p.make = func(first bool) (*instance, *failure) {
		<-release
		return made(first)
	}
	defer close(release)
	begin = now()
	if _, _, f = p.takeOrWake(t.Context(), begin, begin+int64(timeout), begin+2*int64(timeout)); f != noneFree {
		t.Errorf("an instance that comes after the limit: %v", f)
	}
}

// TestABusyModuleIsNotAwaitedLonger checks that a call that waits for an instance in use fails at its timeout.
func TestABusyModuleIsNotAwaitedLonger(t *testing.T) {
	h, _ := start(t, Config{Instances: 2}, Entry{Module: "allow"})
	hold(t, h, "t")
	hold(t, h, "t")
	p := h.current.Load().generations[0].pool
	begin := now()
	if _, _, f := p.takeOrWake(t.Context(), begin, begin+int64(time.Millisecond), begin+int64(patience)); f != noneFree {
		t.Errorf("%v", f)
	}
	if took := now() - begin; took > int64(patience/2) {
		t.Errorf("it waited %v", time.Duration(took))
	}
}

// refusesLater is a module that refuses its config after it was called with a message.
func refusesLater() []byte { return changesLater("") }

// changesLater returns a module whose start leaves 0 on the stack before the module has received a message, and 1 afterwards. then turns that into the
// result of the start.
func changesLater(then asm.Code) []byte {
	m := blank()
	get := m.Import(abi.ImportModule, abi.ImportKVGet, "i32 i32 i32 i32 -> i32")
	set := m.Import(abi.ImportModule, abi.ImportKVSet, "i32 i32 i32 i32 i64 -> i32")
	m.Data(64, []byte("k"))
	speak(m)
	m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(64)+asm.I32(1)+asm.I32(128)+asm.I32(8)+asm.Call(get)+asm.I32(1)+asm.Equal+then)
	m.Func("on_say_receive", "i32 -> i32", asm.I32(64)+asm.I32(1)+asm.I32(64)+asm.I32(1)+asm.I64(0)+asm.Call(set))
	return m.Wasm()
}

// TestACallIsToldWhyAModuleDoesNotStart checks that calls of a module that no longer starts fail at once with the
// cause, that each failure is logged once, and that the breaker opens.
func TestACallIsToldWhyAModuleDoesNotStart(t *testing.T) {
	h, log := start(t, Config{})
	swap(t, h, rulesOf(refusesLater(), Entry{Grants: []string{"kv"}, Breaker: Breaker{Minimum: 6}}))
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Fatalf("%+v\n%s", v, log)
	}
	g := h.current.Load().generations[0]
	g.pool.drain()
	for i := range 8 {
		begin := now()
		v, _ := decide(h, "hello")
		if took := now() - begin; v.Outcome != hook.Failed || took > int64(patience/2) {
			t.Errorf("%+v after %v", v, time.Duration(took))
		}
		if opened := i >= 5; opened != (v.RetryAfter > 0) {
			t.Errorf("call %d: %+v", i, v)
		}
	}
	const cause = "no new instance: moot_init refused its config: 1"
	if n := strings.Count(log.String(), `msg="module failed"`); n != 5 || strings.Count(log.String(), "kind=protocol") != 6 || !strings.Contains(log.String(), cause) {
		t.Errorf("%d failures\n%s", n, log)
	}
	if n := strings.Count(log.String(), `msg="no new instance"`); n != 0 {
		t.Errorf("%d of them are logged twice", n)
	}
	if n := fmt.Sprint(g.counters.errors[Protocol].Load(), g.counters.errors[NoInstance].Load(), g.counters.errors[Open].Load()); n != "5 0 3" {
		t.Errorf("counted: %s", n)
	}
}

// TestCodeOutlivesInstances checks that closing a pool waits for an instance that sacrifice is closing, because the
// code may be closed afterwards.
func TestCodeOutlivesInstances(t *testing.T) {
	h, _ := start(t, Config{})
	swap(t, h, tenantsOf(Entry{Module: "allow"}))
	asks(h, "t0")
	p := h.current.Load().generations[0].pool
	h.memory.mu.Lock() // the instance cannot be closed while it is locked
	taken := make(chan bool)
	go func() { taken <- p.sacrifice() }()
	for p.hasIdle() {
		runtime.Gosched()
	}
	left := make(chan int32)
	go func() {
		p.close()
		left <- p.alive.Load()
	}()
	for range 10_000 {
		runtime.Gosched()
	}
	h.memory.mu.Unlock()
	if n := <-left; n != 0 {
		t.Errorf("%d instances are left when the pool is closed", n)
	}
	if !<-taken {
		t.Error("the test is wrong: there was no instance to close")
	}
}

// TestFailedStartsAreCharged checks that a tenant is charged for instances that could not be made, because the search
// for memory takes time.
func TestFailedStartsAreCharged(t *testing.T) {
	h, _ := start(t, Config{Memory: 8 << 20})
	swap(t, h, tenantsOf(Entry{Module: "allow"}))
	g := h.current.Load().generations[0]
	rest := h.memory.limit - h.memory.code - h.memory.used
	if err := g.memory.take(rest, true); err != nil {
		t.Fatal(err)
	}
	defer g.memory.give(rest)
	before := g.gate.due.Load()
	if _, f := g.newInstance(false); f == nil || !strings.Contains(f.Error(), "no memory left") {
		t.Fatalf("the test is wrong: %v", f)
	}
	if g.gate.due.Load() == before {
		t.Error("nothing is charged")
	}
}
