package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/script"
)

// methods are the ways to find the pages that a reset must restore.
var methods = map[string]func(h *Host){
	"pagemap":        func(*Host) {},
	"by comparison":  func(h *Host) { h.codes.pagemap.close(); h.codes.pagemap = nil },
	"without a file": func(h *Host) { h.codes.unmapped = true },
}

// guests are modules that the tests of resets use: by hand, in Go, scripts of each language, and the guests that are
// built: those in guests/builtin are written in Rust, C, C++ and Zig, blocklist in Go. Package sdk resets those of AssemblyScript.
func guests(t testing.TB) map[string]Module {
	all := map[string]Module{
		"by hand":    {Wasm: handMade("allow")},
		"Go":         {Wasm: goGuest},
		"JavaScript": {Script: "rule.js", Wasm: []byte("moot.on(\"onSayReceive\", (e) => moot.rewrite(e.message + \"!\"));")},
		"TypeScript": {Script: "rule.ts", Wasm: []byte("moot.on(\"onSayReceive\", (e: moot.SayReceive) => moot.rewrite(e.message + \"!\" as string));")},
		"Lua":        {Script: "rule.lua", Wasm: []byte(`moot.on("onSayReceive", function(e) return moot.rewrite(e.message .. "!") end)`)},
	}
	files, err := filepath.Glob("../guests/b*/*.wasm") // builtin and, in Go, blocklist
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(file, "../guests/")] = Module{Wasm: wasm}
	}
	for language, name := range map[string]string{"Rust": "redact", "C": "slowmode", "C++": "flood", "Zig": "links", "Go": "blocklist"} {
		if all["builtin/"+name+".wasm"].Wasm == nil {
			t.Fatalf("there is no guest in %s", language)
		}
	}
	return all
}

// TestNothingIsLeftAfterARebind has one tenant mark all memory, all memory that it grows into and all globals of an
// instance, and checks that the next tenant gets it as if it were new.
func TestNothingIsLeftAfterARebind(t *testing.T) {
	for name, module := range guests(t) {
		cache := new(memoryCache) // compiles each guest once for all methods
		for method, prepare := range methods {
			t.Run(name+", "+method, func(t *testing.T) {
				h, log := start(t, Config{VerifyResets: true, Cache: cache, Scripts: script.New(script.Config{Command: script.Self()})})
				if method == "pagemap" && h.codes.pagemap == nil {
					t.Fatal("this system has no pagemap")
				}
				prepare(h)
				swap(t, h, rulesOfGuest(name, module))
				a, b := generationOf(h, "t0"), generationOf(h, "t1")
				for round := range 4 {
					in, f := a.newInstance(false)
					if f != nil {
						t.Fatal(f)
					}
					in.event, in.effects, in.words, in.units, in.label = said("x"), []hook.Effect{{}}, []byte("secret"), []unit{{}}, "a"
					in.begin(now()+int64(patience), "a", 0, nil)
					in.park()
					if n := h.Instances().Spare; n == 0 {
						t.Fatalf("round %d: it was not kept\n%s", round, log)
					}
					next, f := b.newInstance(false)
					if f != nil {
						t.Fatal(f)
					}
					if next != in {
						t.Errorf("round %d: it is another instance", round)
					}
					if next.event != nil || next.effects != nil || next.words != nil || next.units != nil || next.generation != b || next.linear.budget != b.memory {
						t.Errorf("round %d: the host has state of the first tenant: %+v", round, next.words)
					}
					next.park()
				}
				if strings.Contains(log.String(), "differs") {
					t.Error(log)
				}
			})
		}
	}
}

// TestResetsAreVerified checks that the comparison after a reset finds each part that a reset could forget.
func TestResetsAreVerified(t *testing.T) {
	for what, forget := range map[string]func(in *instance){
		"a byte of memory": func(in *instance) { in.memory()[70_000]++ },
		"the last byte":    func(in *instance) { b := in.memory(); b[len(b)-1] = 1 },
		"a global":         func(in *instance) { g := in.mutables()[0]; g.Set(g.Get() + 1) },
		"the size":         func(in *instance) { in.mem.Grow(1) },
		"the depth":        func(in *instance) { in.depth.Set(1) },
		"the buffer":       func(in *instance) { in.buffer++ },
	} {
		t.Run(what, func(t *testing.T) {
			h, _ := start(t, Config{}, goEntry(`{}`))
			in := instanceOf(t, h, "t")
			g := in.generation
			if err := in.reset(); err != nil {
				t.Fatal(err)
			}
			in.generation = g
			if err := in.compare(); err != nil {
				t.Fatal(err)
			}
			if forget(in); in.compare() == nil {
				t.Error("it is not found")
			}
		})
	}
}

// TestASpareInstanceIsUsedFirst checks that an instance goes to the next entry of its module when its own one is asleep,
// and is charged to that entry's tenant.
func TestASpareInstanceIsUsedFirst(t *testing.T) {
	h, _ := start(t, Config{VerifyResets: true})
	swap(t, h, every(countsInMemory(), tenantsOf(Entry{Module: "m"}, Entry{Module: "m"})))
	for i := range 6 {
		tenant := fmt.Sprint("t", i%2)
		for n, want := range []hook.Outcome{hook.Allowed, hook.Dropped} {
			if v := asks(h, tenant); v.Outcome != want {
				t.Fatalf("%s, message %d: %+v", tenant, n, v)
			}
		}
		ready := generationOf(h, tenant).pool.warm.Load().linear.ready
		if used(h, tenant) != 24<<16+int64(ready) {
			t.Errorf("%d bytes are charged to %s, %d of them behind the memory", used(h, tenant), tenant, ready)
		}
		generationOf(h, tenant).pool.drain()
		if n := h.Instances().Spare; n != 1 || used(h, tenant) != 0 {
			t.Errorf("%d spare instances; %d bytes are charged to %s, which is asleep", n, used(h, tenant), tenant)
		}
	}
	h.memory.awake.sweep(now() + int64(idleAfter) + 1)
	if n := h.Instances().Spare; n != 0 || h.memory.used != 0 {
		t.Errorf("%d spare instances, %d bytes after a minute", n, h.memory.used)
	}
}

// TestAResetKeepsPagesForTheNextGrowth checks that an instance that is reset keeps some of the memory that it grew
// into, as zeros that are charged, and gives back more than that, or all of it if the next tenant has no memory for it.
func TestAResetKeepsPagesForTheNextGrowth(t *testing.T) {
	const page, kept = 1 << 16, maxReady >> 16
	for _, c := range []struct{ grown, ready int }{{0, 0}, {1, 1}, {kept, kept}, {kept + 1, 0}} {
		h, _ := start(t, Config{}, goEntry(`{}`))
		in := instanceOf(t, h, "t")
		g, l, size := in.generation, in.linear, in.linear.size
		in.mem.Grow(uint32(c.grown))
		for at := size; at < l.size; at++ {
			l.bytes()[at] = markByte
		}
		if err := in.reset(); err != nil {
			t.Fatal(err)
		}
		charged := int64(size) + int64(c.ready*page) + l.beside
		if l.size != size || l.ready != uint64(c.ready*page) || l.charged() != charged || used(h, "t") != charged {
			t.Errorf("grown by %d pages: %d bytes and %d behind them, %d charged, want %d", c.grown, l.size, l.ready, used(h, "t"), charged)
		}
		if err := in.bind(g, true); err != nil {
			t.Fatal(err)
		}
		in.mem.Grow(kept + 2)
		if l.ready != 0 || l.size != size+(kept+2)*page || !isZero(l.bytes()[size:]) || used(h, "t") != int64(l.size)+l.beside {
			t.Errorf("grown again: %d bytes and %d behind them, %d charged", l.size, l.ready, used(h, "t"))
		}
	}
	h, _ := start(t, Config{}, goEntry(`{}`))
	in := instanceOf(t, h, "t")
	g, size := in.generation, in.linear.size
	in.mem.Grow(1)
	if err := in.reset(); err != nil {
		t.Fatal(err)
	}
	other := &budget{memory: newMemory(int64(size) + in.linear.beside)}
	g.memory = other
	if err := in.bind(g, true); err != nil || in.linear.ready != 0 || other.used != int64(size)+in.linear.beside {
		t.Errorf("%v: %d bytes are charged to a tenant that has no more, %d behind the memory", err, other.used, in.linear.ready)
	}
}

// TestOnlyInstancesThatRestAreTaken checks that an entry loses its instance to another entry only if it was not called
// for stealAfter, however much the other one needs.
func TestOnlyInstancesThatRestAreTaken(t *testing.T) {
	h, _ := start(t, Config{VerifyResets: true, Instances: 2})
	swap(t, h, tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"}, Entry{Module: "allow"}))
	h.memory.awake.spares.dropAll(func(*instance) bool { return true })
	asks(h, "t0")
	asks(h, "t1")
	p := generationOf(h, "t0").pool
	first := p.warm.Load()
	asks(h, "t2")
	if p.warm.Load() != first {
		t.Error("an instance that was just used is gone")
	}
	generationOf(h, "t2").pool.drain()
	h.memory.awake.spares.dropAll(func(*instance) bool { return true })
	p.used.Add(-int64(stealAfter))
	asks(h, "t2")
	if in := generationOf(h, "t2").pool.warm.Load(); in != first || p.alive.Load() != 0 {
		t.Error("an instance that rests was not taken")
	}
	for range 2 { // the entry that lost it starts another one
		if v := asks(h, "t0"); v.Outcome != hook.Allowed {
			t.Errorf("%+v", v)
		}
	}
	if alive(h, "t1") != 1 {
		t.Error("the other tenant has lost its instance")
	}
}

// TestAnInstanceOfASilentEntryIsTakenSoonWhenManyAreAwake checks that an entry with a diff loses its instance after
// stealSoon only if the module has many entries that are awake, and that it wakes by its diff.
func TestAnInstanceOfASilentEntryIsTakenSoonWhenManyAreAwake(t *testing.T) {
	h, _ := start(t, Config{VerifyResets: true, Memory: 1 << 30})
	var chain []Entry
	for range manyAwake + 4 {
		chain = append(chain, Entry{Module: "allow"})
	}
	swap(t, h, tenantsOf(chain...))
	h.memory.awake.spares.dropAll(func(*instance) bool { return true })
	wakes := func(tenant int) { // its instance is not taken afterwards
		t.Helper()
		if v := asks(h, fmt.Sprint("t", tenant)); v.Outcome != hook.Allowed {
			t.Fatalf("t%d: %+v", tenant, v)
		}
		generationOf(h, fmt.Sprint("t", tenant)).pool.used.Store(now() + int64(time.Hour))
	}
	for i := range manyAwake - 1 {
		wakes(i)
	}
	// loses reports whether the silent tenant loses its instance while another one wakes, as often as a search takes to
	// look at all pools.
	loses := func(silent string, other int) bool {
		p := generationOf(h, silent).pool
		p.used.Store(now() - int64(stealSoon))
		in := p.warm.Load()
		for range manyAwake/maxTries + 2 {
			wakes(other)
			o := generationOf(h, fmt.Sprint("t", other)).pool
			if p.alive.Load() == 0 {
				return o.warm.Load() == in
			}
			o.drain()
			h.memory.awake.spares.dropAll(func(*instance) bool { return true })
		}
		p.used.Store(now() + int64(time.Hour))
		return false
	}
	if loses("t0", manyAwake-1) {
		t.Error("its instance was taken although few are awake")
	}
	wakes(manyAwake - 1)
	h.codes.diffs.forget(generationOf(h, "t1"))
	if loses("t1", manyAwake) {
		t.Error("the instance of an entry without a diff was taken")
	}
	if !loses("t0", manyAwake) {
		t.Error("its instance was not taken")
	}
	before := h.codes.diffs.applied.Load()
	if wakes(0); h.codes.diffs.applied.Load() != before+1 {
		t.Error("it does not wake by its diff")
	}
}

// TestAnInstanceGrowsToTheLimitOfItsNewEntry checks an instance that goes to an entry with more memory than the entry for
// which it was made.
func TestAnInstanceGrowsToTheLimitOfItsNewEntry(t *testing.T) {
	h, _ := start(t, Config{VerifyResets: true})
	const small, large = 4 << 20, 16 << 20
	swap(t, h, tenantsOf(Entry{Module: "allow", Memory: small}, Entry{Module: "allow", Memory: large}))
	h.memory.awake.spares.dropAll(func(*instance) bool { return true })
	asks(h, "t0")
	p := generationOf(h, "t0").pool
	first := p.warm.Load()
	p.used.Add(-int64(stealAfter))
	asks(h, "t1")
	in := generationOf(h, "t1").pool.warm.Load()
	if in == nil || in != first {
		t.Fatal("the test is wrong: the instance was not taken")
	}
	in.linear.late = nil
	if _, ok := in.mem.Grow((large - in.mem.Size()) >> 16); !ok || in.mem.Size() != large {
		t.Errorf("%d bytes of memory, want %d", in.mem.Size(), large)
	}
}

// TestSparesAreTheFirstToGo checks that a tenant that needs memory gets that of spare instances before that of others.
func TestSparesAreTheFirstToGo(t *testing.T) {
	h, _ := start(t, Config{Memory: 16 << 20})
	swap(t, h, tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"}))
	asks(h, "t0")
	if in, f := generationOf(h, "t1").newInstance(false); f == nil {
		in.park()
	}
	if h.Instances().Spare == 0 {
		t.Fatal("the test is wrong: there is no spare instance")
	}
	b := h.current.Load().tenants["t1"].memory
	n := b.reserved + h.memory.shared - h.memory.lent + 1
	if err := b.claim(n, true, nil); err != nil || h.Instances().Spare != 0 || alive(h, "t0") != 1 {
		t.Errorf("%v; %d spare instances, %d of the other tenant", err, h.Instances().Spare, alive(h, "t0"))
	}
	b.give(n)
}

// TestTenantsTakeTurns checks that calls succeed with the right state while tenants use the same few instances in turn,
// sleep, and are reloaded.
func TestTenantsTakeTurns(t *testing.T) {
	h, log := start(t, Config{VerifyResets: true, Instances: 2})
	config := func(i, n int) Entry { return goEntry(fmt.Sprintf(`{"say":"t%d","n":%d}`, i, n)) }
	rules := rulesFor(config(0, 0))
	rules.Tenants = nil
	for i := range 4 {
		rules.Tenants = append(rules.Tenants, Tenant{Name: fmt.Sprint("t", i), CPU: 1, Chain: []Entry{config(i, 0)}})
		rules.Tenants[i].Chain[0].Timeout = patience
	}
	swap(t, h, rules)
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			tenant := fmt.Sprint("t", i)
			for !stop.Load() {
				ev := said("config say")
				ev.Tenant = tenant
				if v := h.Decide(t.Context(), ev); v.Outcome != hook.Allowed || ev.Message.Text != `"`+tenant+`"` {
					t.Errorf("%s: %+v, %s\n%s", tenant, v, ev.Message.Text, log)
					return
				}
			}
		})
	}
	for n := range 20 {
		for i := range 4 {
			p := generationOf(h, fmt.Sprint("t", i)).pool
			p.used.Add(-int64(stealAfter))
			if n%3 == 0 {
				p.drain()
			}
		}
		next := rules
		next.Tenants = append([]Tenant(nil), rules.Tenants...)
		changed := config(n%4, n+1)
		changed.Timeout = patience
		next.Tenants[n%4].Chain = []Entry{changed}
		swap(t, h, next)
	}
	stop.Store(true)
	all.Wait()
	if h.Instances().Resets == 0 || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%d resets\n%s", h.Instances().Resets, log)
	}
}

// TestABrokenInstanceIsNotKept checks that an instance that trapped is not bound to another entry.
func TestABrokenInstanceIsNotKept(t *testing.T) {
	h, _ := start(t, Config{VerifyResets: true})
	swap(t, h, rulesOf(writesMemory(func(*asm.Module) {}, "", asm.Unreachable), Entry{}))
	h.memory.awake.spares.dropAll(func(*instance) bool { return true })
	for range 3 {
		decide(h, "hello")
		generationOf(h, "t").pool.makers.Wait()
	}
	if n := h.Instances().Spare; n != 0 {
		t.Errorf("%d spare instances", n)
	}
}

// TestIsolationPerCall checks that each call of an isolated entry has an instance that was not called before, with the
// entry's config, while another entry of the same module keeps its memory between calls.
func TestIsolationPerCall(t *testing.T) {
	h, log := start(t, Config{VerifyResets: true})
	e := Entry{Module: "m", Isolation: PerCall}
	swap(t, h, every(countsInMemory(), tenantsOf(e, Entry{Module: "m"})))
	for i := range 20 {
		if v := asks(h, "t0"); v.Outcome != hook.Allowed {
			t.Fatalf("call %d: %+v\n%s", i, v, log)
		}
		if v := asks(h, "t1"); (v.Outcome == hook.Allowed) != (i == 0) {
			t.Fatalf("the other entry, call %d: %+v", i, v)
		}
	}
	generationOf(h, "t0").pool.makers.Wait()
	if n := h.Instances().Resets; n < 20 {
		t.Errorf("%d resets", n)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Error(log)
	}
}

// TestALargeMemoryIsReset checks that an instance whose memory has nearly reached its limit is reset, not closed.
func TestALargeMemoryIsReset(t *testing.T) {
	h, log := start(t, Config{VerifyResets: true}, goEntry(`{}`))
	decide(h, "hello")
	in := generationOf(h, "t").pool.warm.Load()
	before := in.linear.size
	if v, _ := decide(h, "grow"); v.Outcome != hook.Allowed {
		t.Fatalf("%+v\n%s", v, log)
	}
	generationOf(h, "t").pool.makers.Wait()
	if in.linear.size != before || h.Instances().Resets == 0 {
		t.Errorf("%d bytes, %d before it grew; %d resets\n%s", in.linear.size, before, h.Instances().Resets, log)
	}
}

// rulesOfGuest returns rules in which the tenants t0 and t1 have a guest, with all grants. Of the guests, only the rule webhook
// asks a service.
func rulesOfGuest(name string, module Module) Rules {
	module.Name, module.File = "m", "m"
	e := Entry{Module: "m", Grants: allGrants, Timeout: patience}
	if name == "builtin/webhook.wasm" {
		e.Asks = map[string]Ask{"webhook": {}}
	}
	rules := Rules{Modules: []Module{module}}
	for i := range 2 {
		rules.Tenants = append(rules.Tenants, Tenant{Name: fmt.Sprint("t", i), CPU: 1, Chain: []Entry{e}})
	}
	return rules
}
