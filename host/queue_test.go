package host

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestStartsTakeTurns checks that waiting starts of several tenants run in turn, and that a start lets others run when its
// turn is over, and not before.
func TestStartsTakeTurns(t *testing.T) {
	var q startQueue
	var running []*starting
	for range mostStarts() {
		running = append(running, q.enter(new(gate)))
	}
	first := running[0]
	order := make(chan string)
	wait := func(name string, g *gate) {
		n := q.waiting.Load()
		go func() {
			s := q.enter(g)
			order <- name
			s.leave()
		}()
		waitFor(t, func() bool { return q.waiting.Load() == n+1 })
	}
	many, few := new(gate), new(gate)
	wait("many 1", many)
	wait("many 2", many)
	wait("many 3", many)
	wait("few 1", few)
	first.began = now() + int64(patience)
	first.pass() // its turn is not over
	if n := q.waiting.Load(); n != 4 {
		t.Errorf("%d starts wait, want 4", n)
	}
	first.began = now() - startTime
	go func() {
		first.pass()
		order <- "first"
		first.leave()
	}()
	var got []string
	for range 5 {
		got = append(got, <-order)
	}
	if want := "many 1, few 1, first, many 2, many 3"; strings.Join(got, ", ") != want {
		t.Errorf("the order is %v, want %s", got, want)
	}
	for _, s := range running {
		s.leave()
		s.leave() // it has ended
	}
	waitFor(t, func() bool { return q.free() == mostStarts() })
	if q.waiting.Load() != 0 || len(q.places) != 0 || q.tenants.Len() != 0 {
		t.Errorf("%d starts wait, of %d tenants", q.waiting.Load(), len(q.places))
	}
}

// waitFor waits until the condition holds, and ends the test if it does not.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for begin := time.Now(); !condition(); runtime.Gosched() {
		if time.Since(begin) > patience {
			t.Fatal("the condition does not hold")
		}
	}
}

// free returns the number of starts that may begin at once.
func (q *startQueue) free() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return mostStarts() - q.running
}

// endlessLater returns a module that starts until it receives a message. Afterwards its new instances never finish starting.
func endlessLater() []byte { return changesLater(asm.If(forever) + asm.I32(0)) }

// TestFewInstancesStartAtOnce makes a tenant start many instances that never finish starting. No more than half of the
// processors run them at a time, and another tenant's module wakes meanwhile.
func TestFewInstancesStartAtOnce(t *testing.T) {
	var counted atomic.Bool
	var running, most atomic.Int32
	abort := make(chan struct{})
	h, log := start(t, Config{Abort: abort, Refueled: func() {
		if !counted.Load() {
			return
		}
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		runtime.Gosched() // others may come
		running.Add(-1)
	}})
	rules := rulesOf(endlessLater(), Entry{Grants: []string{"kv"}})
	entry := rules.Tenants[0].Chain[0]
	rules.Tenants[0].Chain = nil
	for i := range 8 * runtime.GOMAXPROCS(0) {
		entry.Config = fmt.Appendf(nil, `{"n":%d}`, i)
		rules.Tenants[0].Chain = append(rules.Tenants[0].Chain, entry)
	}
	rules.Modules = append(rules.Modules, Module{Name: "slow", Wasm: slowStart(1_000_000)})
	rules.Tenants = append(rules.Tenants, Tenant{Name: "good", CPU: 1, Chain: []Entry{{Module: "slow", Timeout: patience}}})
	swap(t, h, rules)
	hostile := h.current.Load().tenants["t"].generations
	in := instanceOf(t, h, "t")
	ev := said("hello")
	in.mark = now()
	if f := in.decide(h.current.Load().tenants["t"].entries[0], ev, nil, in.mark+int64(patience), new(answer)); f != nil {
		t.Fatal(f)
	}
	counted.Store(true)
	for _, g := range hostile {
		g.pool.grow()
	}
	if v := asks(h, "good"); v.Outcome != hook.Allowed {
		t.Errorf("the other tenant: %+v\n%s", v, log)
	}
	for _, g := range hostile {
		if g.pool.alive.Load() != 1 || g.pool.ready.Load() != 0 {
			t.Fatalf("the test is wrong: %d instances, %d are ready\n%s", g.pool.alive.Load(), g.pool.ready.Load(), log)
		}
	}
	counted.Store(false)
	close(abort)
	for _, g := range hostile {
		g.pool.makers.Wait()
	}
	if n := int(most.Load()); n == 0 || n > mostStarts() {
		t.Errorf("%d starts ran at the same time, want at most %d", n, mostStarts())
	}
}
