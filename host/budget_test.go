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

// tenantsOf are tenants with an entry each, in one chain's place: t0, t1, ...
func tenantsOf(chain ...Entry) Rules {
	r := rulesFor(chain...)
	chain, r.Tenants = r.Tenants[0].Chain, nil
	for i := range chain {
		r.Tenants = append(r.Tenants, Tenant{Name: fmt.Sprint("t", i), Chain: chain[i : i+1]})
	}
	return r
}

// hoarder takes all memory that it can get, and answers.
var hoarder = Entry{Module: "hoard", Memory: 64 << 20}

// asks has a tenant's module asked about a message.
func asks(h *Host, tenant string) hook.Verdict {
	ev := said("hello")
	ev.Tenant = tenant
	return h.Decide(context.Background(), ev)
}

// used is how much memory a tenant's modules use.
func used(h *Host, tenant string) int64 {
	h.memory.mu.Lock()
	defer h.memory.mu.Unlock()
	return h.current.Load().tenants[tenant].memory.used
}

// again are the rules with another config for every entry: all generations are new.
func again(r Rules, n int) Rules {
	for i := range r.Tenants {
		for k := range r.Tenants[i].Chain {
			r.Tenants[i].Chain[k].Config = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		}
	}
	return r
}

// Two tenants take all that they can get: the third is served, and every reload finds memory.
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
	const part, most = 8 << 20, 24<<20 + 4<<20 // what is shared, and half of a part
	if a, b := used(h, "t0"), used(h, "t1"); a+b < most-1<<20 || max(a, b) > most {
		t.Fatalf("the test is wrong: two tenants use %d and %d bytes", a, b)
	}
	g := h.current.Load().tenants["t2"].entries[0].generation
	in, f := g.newInstance(false) // one more, in its own part
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

// A tenant alone that uses all it can get can still be given new rules.
func TestAReloadFindsMemory(t *testing.T) {
	h, _ := start(t, Config{Memory: 8 << 20, Instances: 2})
	rules := tenantsOf(hoarder)
	for n := range 4 {
		swap(t, h, again(rules, n))
		if v := asks(h, "t0"); v.Outcome != hook.Allowed {
			t.Errorf("%d: %+v", n, v)
		}
		if got := used(h, "t0"); got < 5<<20 || got > 6<<20+64<<10 { // what is shared, and half of its part
			t.Errorf("%d: it uses %d bytes", n, got)
		}
	}
}

// hold takes an instance of the tenant's first entry, which is in use until the test ends or the function is called.
func hold(t *testing.T, h *Host, tenant string) (put func()) {
	t.Helper()
	p := h.current.Load().tenants[tenant].entries[0].generation.pool
	in, f := p.take(t.Context(), now(), now()+int64(patience))
	if f != nil {
		t.Fatal(f)
	}
	put = sync.OnceFunc(func() { p.put(in) })
	t.Cleanup(put)
	return put
}

// With many tenants a part is smaller than an instance. Tenants whose instances are idle make room for others; where all
// are in use, the call fails with what to do.
func TestWhoHasNoMemoryIsTold(t *testing.T) {
	h, log := start(t, Config{Memory: 8 << 20}, Entry{Module: "hungry"})
	if v, _ := decide(h, "hello"); v.Outcome != hook.Failed || !strings.Contains(log.String(), "kind=memory") ||
		!strings.Contains(log.String(), "tenant t has no memory left for 65536 bytes more") {
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
	put := hold(t, h, "t2") // 3.3 MiB of the 4 that are shared
	if v := asks(h, "t3"); v.Outcome != hook.Failed {
		t.Errorf("there was memory for four: %+v", v)
	}
	for _, want := range []string{"tenant t3 has no memory left for 1572864 bytes more", "its own part is 4193", "raise limits.moduleMemory"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s\nwant %q", log, want)
		}
	}
	put()
	if v := asks(h, "t3"); v.Outcome != hook.Allowed {
		t.Errorf("after another tenant's call: %+v", v)
	}
}

// A call waits for memory that another tenant gives back.
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

// When tenants are added or the memory limit falls, tenants over their part give instances back.
func TestMemoryIsGivenBackToNewTenants(t *testing.T) {
	h, _ := start(t, Config{Memory: 16 << 20, Instances: 5}) // of 1.5 MiB
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
	p.put(out[0]) // one is idle, four are asked
	two.Memory = 7 << 20
	swap(t, h, two)
	if n := p.alive.Load(); n != 4 || !h.memory.over.Load() {
		t.Errorf("%d instances are left, of which four are asked", n)
	}
	for _, in := range out[1:] {
		p.put(in)
	}
	p.makers.Wait()
	if n := p.alive.Load(); n != 3 || h.memory.over.Load() { // 4.5 MiB: 1.75 of its own, and less than the 3.5 that are shared
		t.Errorf("%d instances are left", n)
	}
	for i := range 2 {
		if v := asks(h, fmt.Sprint("t", i)); v.Outcome != hook.Allowed {
			t.Errorf("%d: %+v", i, v)
		}
	}
}

// TestNobodyIsRefusedWhatIsHis has a tenant refused again and again, while others take and give what they are sure of.
func TestNobodyIsRefusedWhatIsHis(t *testing.T) {
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

// TestPartsAreKept takes, gives and shares anew at random: who asks within its part is never refused, and no more is used than there is.
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

// Calls that find no instance at once have several made at once: one of them is the first, and has the tenant's part.
func TestOneOfSeveralIsTheFirst(t *testing.T) {
	h, log := start(t, Config{Memory: 4 << 20, Instances: 4})
	swap(t, h, tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"})) // 1.5 MiB each: a part has 1 MiB
	p := h.current.Load().tenants["t0"].entries[0].generation.pool
	other := h.current.Load().tenants["t1"].memory
	rest := h.memory.shared - h.memory.lent - 512<<10 // what the first needs beside its part is left
	if err := other.take(rest, false); err != nil {
		t.Fatal(err)
	}
	defer other.give(rest)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // both come to the lock before one is refused
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

// Raising limits.moduleMemory helps the reload that brings it, as the error says.
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
