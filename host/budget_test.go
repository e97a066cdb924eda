package host

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

// tenantsOf returns rules with the tenants t0, t1, and so on, each with one of the entries.
func tenantsOf(chain ...Entry) Rules {
	r := rulesFor(chain...)
	chain, r.Tenants = r.Tenants[0].Chain, nil
	for i := range chain {
		r.Tenants = append(r.Tenants, Tenant{Name: fmt.Sprint("t", i), Chain: chain[i : i+1]})
	}
	return r
}

// hoarder takes all memory that it can get, and allows.
var hoarder = Entry{Module: "hoard", Memory: 64 << 20}

// asks calls the chain of a tenant with a message.
func asks(h *Host, tenant string) hook.Verdict {
	ev := said("hello")
	ev.Tenant = tenant
	return h.Decide(context.Background(), ev)
}

// used returns the number of bytes that a tenant's modules use.
func used(h *Host, tenant string) int64 {
	h.memory.mu.Lock()
	defer h.memory.mu.Unlock()
	return h.current.Load().tenants[tenant].memory.used
}

// again returns the rules with another config for every entry, so that all generations are new.
func again(r Rules, n int) Rules {
	for i := range r.Tenants {
		for k := range r.Tenants[i].Chain {
			r.Tenants[i].Chain[k].Config = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		}
	}
	return r
}

// TestTwoTenantsDoNotTakeAThirdsMemory checks that a third tenant is served and reloads succeed while two tenants use
// all memory that they can get.
func TestTwoTenantsDoNotTakeAThirdsMemory(t *testing.T) {
	h, _ := start(t, Config{Memory: 48 << 20, Instances: 3})
	rules := tenantsOf(hoarder, hoarder, Entry{Module: "allow"})
	swap(t, h, rules)
	for range 3 {
		for _, tenant := range []string{"t0", "t1"} {
			if v := asks(h, tenant); v.Outcome != hook.Allowed {
				t.Errorf("%s: %+v", tenant, v)
			}
		}
	}
	const part, most = 8 << 20, 24<<20 + 4<<20 // the shared half, and half of a part
	if a, b := used(h, "t0"), used(h, "t1"); a+b < most-1<<20 || max(a, b) > most {
		t.Fatalf("the test is wrong: two tenants use %d and %d bytes", a, b)
	}
	g := h.current.Load().tenants["t2"].entries[0].generation
	in, f := g.newInstance(false) // a second one, within the tenant's own part
	if f != nil {
		t.Fatal(f)
	}
	defer in.close()
	if n := used(h, "t2"); n > part/2 {
		t.Fatalf("the test is wrong: the third uses %d bytes", n)
	}
	for n := range 3 {
		swap(t, h, again(rules, n))
		for i := range rules.Tenants {
			if v := asks(h, fmt.Sprint("t", i)); v.Outcome != hook.Allowed {
				t.Errorf("after reload %d t%d: %+v", n, i, v)
			}
		}
	}
}

// TestAReloadFindsMemory checks that rules can be reloaded while the only tenant uses all memory that it can get.
func TestAReloadFindsMemory(t *testing.T) {
	h, _ := start(t, Config{Memory: 8 << 20, Instances: 2})
	rules := tenantsOf(hoarder)
	for n := range 4 {
		swap(t, h, again(rules, n))
		if v := asks(h, "t0"); v.Outcome != hook.Allowed {
			t.Errorf("%d: %+v", n, v)
		}
		if got := used(h, "t0"); got < 5<<20 || got > 6<<20+64<<10 { // the shared half, and half of its part
			t.Errorf("%d: it uses %d bytes", n, got)
		}
	}
}

// poolOf returns the pool of the tenant's first entry.
func poolOf(h *Host, tenant string) *pool {
	return h.current.Load().tenants[tenant].entries[0].generation.pool
}

// takeFrom takes an instance.
func takeFrom(t *testing.T, p *pool) *instance {
	t.Helper()
	in, f := p.take(t.Context(), now(), now()+int64(patience))
	if f != nil {
		t.Fatal(f)
	}
	return in
}

// hold takes an instance of the tenant's first entry, until the test ends or put is called.
func hold(t *testing.T, h *Host, tenant string) (put func()) {
	t.Helper()
	p := poolOf(h, tenant)
	in := takeFrom(t, p)
	put = sync.OnceFunc(func() { p.put(in) })
	t.Cleanup(put)
	return put
}

// TestACallWithoutMemoryFailsWithAdvice checks tenants whose part is smaller than an instance: idle instances of other tenants are
// closed to free memory, and if all are in use the call fails with advice.
func TestACallWithoutMemoryFailsWithAdvice(t *testing.T) {
	h, log := start(t, Config{Memory: 8 << 20}, Entry{Module: "hungry"})
	if v, _ := decide(h, "hello"); v.Outcome != hook.Failed || !strings.Contains(log.String(), "kind=memory") ||
		!strings.Contains(log.String(), "tenant t has no memory left for 65536 more bytes") {
		t.Errorf("%+v\n%s", v, log)
	}
	var many []Entry
	for range 10 {
		many = append(many, Entry{Module: "allow", Timeout: 20 * time.Millisecond})
	}
	swap(t, h, tenantsOf(many...))
	for range 2 {
		for i := range many {
			if v := asks(h, fmt.Sprint("t", i)); v.Outcome != hook.Allowed {
				t.Errorf("%d: %+v", i, v)
			}
		}
	}
	hold(t, h, "t0")
	hold(t, h, "t1")
	put := hold(t, h, "t2") // 3.3 MiB of the 4 MiB that are shared
	if v := asks(h, "t3"); v.Outcome != hook.Failed {
		t.Errorf("there was memory for four: %+v", v)
	}
	for _, want := range []string{"tenant t3 has no memory left for 1572864 more bytes", "its own part is 4193", "raise limits.moduleMemory"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s\nwant %q", log, want)
		}
	}
	put()
	if v := asks(h, "t3"); v.Outcome != hook.Allowed {
		t.Errorf("after another tenant's call: %+v", v)
	}
}

// TestACallWaitsForMemory checks that a call waits until another tenant releases memory.
func TestACallWaitsForMemory(t *testing.T) {
	h, _ := start(t, Config{Memory: 4 << 20})
	swap(t, h, tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow", Timeout: patience}))
	other := h.current.Load().tenants["t0"].memory
	n := other.reserved/2 + h.memory.shared
	if err := other.take(n, false); err != nil {
		t.Fatal(err)
	}
	give := sync.OnceFunc(func() { other.give(n) })
	defer give()
	done := make(chan hook.Verdict, 1)
	go func() { done <- asks(h, "t1") }()
	p := h.current.Load().tenants["t1"].entries[0].generation.pool
	for p.short.Load() == nil {
		if len(done) > 0 {
			t.Fatalf("there was memory: %+v", <-done)
		}
		runtime.Gosched()
	}
	give()
	if v := <-done; v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
}

// TestMemoryIsGivenBackToNewTenants checks that a tenant over its part releases instances when tenants are added or the
// limit is lowered.
func TestMemoryIsGivenBackToNewTenants(t *testing.T) {
	h, _ := start(t, Config{Memory: 16 << 20, Instances: 5}) // instances have 1.5 MiB
	one, two := tenantsOf(Entry{Module: "allow"}), tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"})
	swap(t, h, one)
	p := h.current.Load().generations[0].pool
	var out []*instance
	for range 5 {
		in, f := p.take(context.Background(), now(), now()+int64(patience))
		if f != nil {
			t.Fatal(f)
		}
		out = append(out, in)
	}
	p.put(out[0]) // one is idle, four are in use
	two.Memory = 7 << 20
	swap(t, h, two)
	if n := p.alive.Load(); n != 4 || !h.memory.over.Load() {
		t.Errorf("%d instances are left, of which four are asked", n)
	}
	for _, in := range out[1:] {
		p.put(in)
	}
	p.makers.Wait()
	if n := p.alive.Load(); n != 3 || h.memory.over.Load() { // 4.5 MiB: 1.75 MiB of its own, and less than the 3.5 MiB that are shared
		t.Errorf("%d instances are left", n)
	}
	for i := range 2 {
		if v := asks(h, fmt.Sprint("t", i)); v.Outcome != hook.Allowed {
			t.Errorf("%d: %+v", i, v)
		}
	}
}

// TestAPartIsAvailableToItsTenant checks that requests within half of a part succeed while another tenant is refused
// concurrently.
func TestAPartIsAvailableToItsTenant(t *testing.T) {
	m := newMemory(1 << 20)
	tenants := make(map[string]*tenant)
	for i := range 4 {
		tenants[fmt.Sprint(i)] = &tenant{memory: &budget{memory: m}}
	}
	m.reserve(1<<20, tenants, nil)
	var all sync.WaitGroup
	for i := range 4 {
		b := tenants[fmt.Sprint(i)].memory
		all.Go(func() {
			for range 20_000 {
				if i == 0 {
					if b.take(1<<20, true) == nil {
						t.Error("one tenant takes all")
					}
					continue
				}
				if err := b.take(b.reserved/2, false); err != nil {
					t.Error(err)
					return
				}
				b.give(b.reserved / 2)
			}
		})
	}
	all.Wait()
}

// TestPartsAreKept checks with random requests and changes of parts that a first instance within its tenant's part is
// never refused, and that the sums are right.
func TestPartsAreKept(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const limit = 1 << 20
	m := newMemory(limit)
	tenants := make(map[string]*tenant)
	for step := range 200_000 {
		if step%5000 == 0 {
			old := tenants
			tenants = make(map[string]*tenant)
			for i := range 1 + random.IntN(8) {
				name := fmt.Sprint(i)
				if tenants[name] = old[name]; tenants[name] == nil {
					tenants[name] = &tenant{memory: &budget{memory: m}}
				}
			}
			for name, gone := range old {
				if tenants[name] == nil {
					gone.memory.give(gone.memory.used)
				}
			}
			m.reserve(limit, tenants, old)
		}
		b := tenants[fmt.Sprint(random.IntN(len(tenants)))].memory
		n, first := int64(random.IntN(64<<10)), random.IntN(2) == 0
		if random.IntN(3) == 0 {
			b.give(min(n, b.used))
		} else if own := b.reserved; b.take(n, first) != nil && first && b.used+n <= own {
			t.Fatalf("step %d: %d bytes were refused of %+v", step, n, b)
		}
		var lent, all int64
		for _, x := range tenants {
			lent, all = lent+x.memory.borrowed, all+x.memory.used
			if x.memory.borrowed < 0 || x.memory.used-x.memory.borrowed > x.memory.reserved {
				t.Fatalf("step %d: %+v", step, x.memory)
			}
		}
		if lent != m.lent || all != m.used || all > limit && !m.over.Load() {
			t.Fatalf("step %d: %d and %d, of %+v", step, lent, all, m)
		}
	}
}

// roomForOne swaps in rules of two tenants, and takes memory until only a first instance of t0 has enough. It returns
// the pool of t0.
func roomForOne(t *testing.T, h *Host) *pool {
	t.Helper()
	entry := Entry{Module: "allow", Timeout: patience}
	swap(t, h, tenantsOf(entry, entry)) // 1.5 MiB each: a part has 1 MiB
	other := h.current.Load().tenants["t1"].memory
	rest := h.memory.shared - h.memory.lent - 512<<10 // leaves the shared memory that the first instance needs beside its part
	if err := other.take(rest, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.give(rest) })
	return poolOf(h, "t0")
}

// TestAnIdleInstanceIsNotGivenUpForAnother checks that a pool that has no memory for a second instance keeps its first
// one.
func TestAnIdleInstanceIsNotGivenUpForAnother(t *testing.T) {
	h, _ := start(t, Config{Memory: 4 << 20, Instances: 4})
	p := roomForOne(t, h)
	in := takeFrom(t, p)
	p.put(in)
	p.grow()
	p.makers.Wait()
	if got := takeFrom(t, p); got != in {
		t.Error("the instance was closed")
		p.put(got)
	} else {
		p.put(in)
	}
}

// TestASecondInstanceBecomesTheFirst checks that a call for which a second instance is being made, for which there is
// no memory, gets one when the first instance is closed.
func TestASecondInstanceBecomesTheFirst(t *testing.T) {
	h, _ := start(t, Config{Memory: 4 << 20, Instances: 4})
	p := roomForOne(t, h)
	in := takeFrom(t, p)
	done := make(chan hook.Verdict, 1)
	go func() { done <- asks(h, "t0") }()
	for p.short.Load() == nil {
		runtime.Gosched()
	}
	in.broken = true
	p.put(in)
	if v := <-done; v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
}

// TestOneOfSeveralIsTheFirst checks that one of several instances made concurrently counts as the first and may use all
// of the tenant's part.
func TestOneOfSeveralIsTheFirst(t *testing.T) {
	h, log := start(t, Config{Memory: 4 << 20, Instances: 4})
	p := roomForOne(t, h)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // both goroutines wait for the lock before one is refused
	h.memory.mu.Lock()
	p.grow()
	p.grow()
	for range 10 {
		runtime.Gosched()
	}
	h.memory.mu.Unlock()
	p.makers.Wait()
	if n := p.alive.Load(); n != 1 {
		t.Errorf("there are %d instances, want one\n%s", n, log)
	}
}

// TestAReloadMayBringMemory checks that a reload that raises the memory limit may use the new limit, as the error
// advises.
func TestAReloadMayBringMemory(t *testing.T) {
	h, _ := start(t, Config{Memory: 4 << 20})
	rules := tenantsOf(Entry{Module: "allow"})
	swap(t, h, rules)
	hold(t, h, "t0")
	b := h.current.Load().tenants["t0"].memory
	rest := h.memory.limit - h.memory.code - h.memory.used
	if err := b.take(rest, true); err != nil {
		t.Fatal(err)
	}
	defer b.give(rest)
	if _, err := h.Load(context.Background(), again(rules, 1)); err == nil || !strings.Contains(err.Error(), "raise limits.moduleMemory") {
		t.Fatalf("there was memory: %v", err)
	}
	rules = again(rules, 2)
	rules.Memory = 64 << 20
	r, err := h.Load(context.Background(), rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.take(1<<20, false); err == nil {
		t.Error("calls have it before the rules are in use")
	}
	r.Close()
	if r, err = h.Load(context.Background(), rules); err != nil {
		t.Fatal(err)
	}
	h.Swap(r)
	if v := asks(h, "t0"); v.Outcome != hook.Allowed || h.memory.over.Load() {
		t.Errorf("%+v", v)
	}
}
