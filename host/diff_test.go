package host

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/script"
)

// sleeps removes the instances of a tenant's first entry.
func sleeps(h *Host, tenant string) {
	p := generationOf(h, tenant).pool
	p.makers.Wait()
	p.drain()
}

// TestADiffIsWhatTheStartHasMade has tenants of each module wake in turn, in instances that another tenant has marked,
// and compares their state with the one after moot_init.
func TestADiffIsWhatTheStartHasMade(t *testing.T) {
	without := map[string]bool{"Go": true} // uses math/rand
	for name, module := range guests(t) {
		for method, prepare := range methods {
			t.Run(name+", "+method, func(t *testing.T) {
				h, log := start(t, Config{VerifyResets: true, Scripts: script.New(script.Config{Command: script.Self()})})
				prepare(h)
				swap(t, h, rulesOfGuest(name, module))
				const rounds = 4
				for range rounds {
					for i := range 2 {
						tenant := fmt.Sprint("t", i)
						if in, f := generationOf(h, tenant).newInstance(false); f != nil {
							t.Fatal(f, log)
						} else {
							in.park()
						}
					}
				}
				kept, _ := h.codes.diffs.numbers()
				applied := h.codes.diffs.applied.Load()
				if without[name] && (kept != 0 || applied != 0) || !without[name] && (kept != 2 || applied != 2*(rounds-1)) {
					t.Errorf("%d diffs, applied %d times", kept, applied)
				}
				if strings.Contains(log.String(), "level=ERROR") {
					t.Error(log)
				}
			})
		}
	}
}

// growing returns a module whose moot_init copies the config to 300, grows the memory by two pages, and writes into
// the last one and a global. Its hook allows if all of it is there.
func growing() *asm.Module {
	m := blank()
	speak(m)
	global := m.Global("i32", asm.I32(0))
	m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(300)+asm.Get(1)+asm.Get(2)+asm.MemoryCopy+
		asm.I32(2)+asm.MemoryGrow+asm.Drop+asm.I32(25<<16)+asm.I32(7)+asm.Store32(0)+
		asm.I32(9)+asm.GlobalSet(global)+asm.I32(0))
	m.Func("on_say_receive", "i32 -> i32",
		asm.I32(25<<16)+asm.Load32(0)+asm.I32(7)+asm.Unequal+asm.If(asm.Unreachable)+
			asm.GlobalGet(global)+asm.I32(9)+asm.Unequal+asm.If(asm.Unreachable)+
			asm.I32(25<<16)+asm.I32(8)+asm.Store32(0)+asm.I32(8)+asm.GlobalSet(global)+asm.I32(abi.Allow))
	return m
}

// TestADiffBelongsToOneEntry checks that entries of one module with diffs have their own configs, that a wake does not
// have what a call has left, that a new config ends a diff, and that memory that moot_init has grown is charged.
func TestADiffBelongsToOneEntry(t *testing.T) {
	h, log := start(t, Config{VerifyResets: true})
	entry := func(config string) Entry { return Entry{Module: "m", Config: []byte(config)} }
	rules := func(first string) Rules {
		return every(growing().Wasm(), tenantsOf(entry(first), entry(`{"a":"t1"}`), entry(`{"a":"t1"}`)))
	}
	wakes := func(tenant, config string) {
		t.Helper()
		if v := asks(h, tenant); v.Outcome != hook.Allowed {
			t.Fatalf("%s: %+v\n%s", tenant, v, log)
		}
		in := generationOf(h, tenant).pool.warm.Load()
		if got := in.memory()[300 : 300+len(config)]; string(got) != config {
			t.Errorf("%s has the config %s, want %s", tenant, got, config)
		}
		if n := used(h, tenant); n != in.linear.charged() || in.linear.size != 26<<16 {
			t.Errorf("%d bytes are charged, %d of memory", n, in.linear.size)
		}
		sleeps(h, tenant)
	}
	swap(t, h, rules(`{"a":"t0"}`))
	for range 3 {
		wakes("t0", `{"a":"t0"}`)
		wakes("t1", `{"a":"t1"}`)
		wakes("t2", `{"a":"t1"}`)
	}
	if n, size := h.codes.diffs.numbers(); n != 3 || size <= 0 || h.codes.diffs.applied.Load() != 6 {
		t.Errorf("%d diffs, %d bytes, %d wakes by one", n, size, h.codes.diffs.applied.Load())
	}
	swap(t, h, rules(`{"a":"T0"}`))
	waitClosed(h, func() bool { n, _ := h.codes.diffs.numbers(); return n == 2 })
	if n, _ := h.codes.diffs.numbers(); n != 2 {
		t.Errorf("%d diffs after one of three entries has changed", n)
	}
	for range 2 {
		wakes("t0", `{"a":"T0"}`)
		wakes("t1", `{"a":"t1"}`)
	}
	h.codes.known[generationOf(h, "t0").code.digest].images.drop()
	if n, size := h.codes.diffs.numbers(); n != 0 || size != 0 {
		t.Errorf("%d diffs of %d bytes without their image", n, size)
	}
	wakes("t1", `{"a":"t1"}`)
	swap(t, h, Rules{})
	waitClosed(h, func() bool { n, _ := h.codes.diffs.numbers(); return n == 0 })
	if n, size := h.codes.diffs.numbers(); n != 0 || size != 0 || len(h.codes.diffs.tenants) != 0 {
		t.Errorf("%d diffs of %d bytes without rules", n, size)
	}
}

// TestNoDiffIsKept checks that moot_init runs at each wake if another run could have another result, and if it must not
// have the same random numbers.
func TestNoDiffIsKept(t *testing.T) {
	call := func(name, signature string, code asm.Code) func(m *asm.Module) asm.Code {
		return func(m *asm.Module) asm.Code { m.Import(abi.ImportModule, name, signature); return code }
	}
	draw := asm.I32(128) + asm.I32(8) + asm.Call(0) + asm.Drop
	for name, c := range map[string]struct {
		init func(m *asm.Module) asm.Code // adds to the module and returns the code of moot_init
		wake bool
		kept int
	}{
		"memory":     {init: func(*asm.Module) asm.Code { return asm.I32(300) + asm.I32(7) + asm.Store32(0) }, kept: 1},
		"a log line": {init: call(abi.ImportLog, "i32 i32 i32 ->", asm.I32(1)+asm.I32(64)+asm.I32(1)+asm.Call(0)), kept: 1},
		"random":     {init: call(abi.ImportRandom, "i32 i32 -> i32", draw)},
		"the clock":  {init: call(abi.ImportNow, "-> i64", asm.Call(0)+asm.Drop)},
		"the store":  {init: call(abi.ImportKVGet, "i32 i32 i32 i32 -> i32", asm.I32(64)+asm.I32(1)+asm.I32(128)+asm.I32(8)+asm.Call(0)+asm.Drop)},
		"moot_wake":  {init: func(*asm.Module) asm.Code { return "" }, wake: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := blank()
			code := c.init(m)
			m.Data(64, []byte("k"))
			speak(m)
			if c.wake {
				m.Func(abi.ExportWake, "->", "")
			}
			m.Func(abi.ExportInit, "i32 i32 i32 -> i32", code+asm.I32(0))
			m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
			h, log := start(t, Config{VerifyResets: true})
			swap(t, h, rulesOf(m.Wasm(), Entry{Grants: allGrants}))
			for range 3 {
				decide(h, "hello")
				sleeps(h, "t")
			}
			if n, _ := h.codes.diffs.numbers(); n != c.kept {
				t.Errorf("%d diffs, want %d: %s\n%s", n, c.kept, generationOf(h, "t").images.why(), log)
			}
		})
	}
}

// TestGeneratorsHaveNewSeedsAfterADiff checks that each wake by a diff gives the generators of a program new seeds, and
// that there is no diff if moot_init puts something else in their place.
func TestGeneratorsHaveNewSeedsAfterADiff(t *testing.T) {
	const at = 1 << 10
	for name, c := range map[string]struct {
		to   int // address to which moot_init writes
		kept bool
	}{"a generator": {300, true}, "no generator any more": {at + 8, false}} {
		t.Run(name, func(t *testing.T) {
			state := make([]byte, generatorSize)
			setGenerator(state, [32]byte{1})
			m := blank()
			m.Import(abi.ImportModule, abi.ImportRandom, "i32 i32 -> i32")
			m.Data(at, state)
			speak(m)
			m.Func(abi.ExportInitialize, "->", asm.I32(128)+asm.I32(8)+asm.Call(0)+asm.Drop)
			m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(c.to)+asm.I32(7)+asm.Store32(0)+asm.I32(0))
			m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
			h, log := start(t, Config{VerifyResets: true})
			swap(t, h, rulesOf(m.Wasm(), Entry{}))
			g := generationOf(h, "t")
			var seen [][]byte
			for range 4 {
				in, f := g.newInstance(false)
				if f != nil {
					t.Fatal(f)
				}
				b := bytes.Clone(in.memory()[at : at+generatorSize])
				if c.kept && !isGenerator(b) {
					t.Error("it is no generator")
				}
				if slices.ContainsFunc(seen, func(s []byte) bool { return bytes.Equal(s[generatorSeed:], b[generatorSeed:]) }) {
					t.Error("the seed of a generator is that of another instance")
				}
				seen = append(seen, b)
				in.park()
			}
			if applied := h.codes.diffs.applied.Load(); (applied > 0) != c.kept || strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("%d wakes by a diff: %s\n%s", applied, g.images.why(), log)
			}
		})
	}
}

// TestDiffsAreBounded checks that diffs use at most their part of the memory, those of one tenant at most its share, and
// that the least recently used ones are dropped.
func TestDiffsAreBounded(t *testing.T) {
	ds := &diffs{memory: newMemory(64 << 20)}
	limit, share := ds.limit(), ds.limit()/tenantDiffShare
	if limit != 64<<20/diffShare {
		t.Fatalf("the limit is %d", limit)
	}
	im := new(image)
	of := func(runs int64) *diff { return &diff{image: im, runs: make([]byte, runs-256)} }
	budgets := make([]*budget, 20)
	for i := range budgets {
		budgets[i] = new(budget)
	}
	add := func(tenant int, size int64) *generation {
		g := &generation{memory: budgets[tenant], pool: new(pool)}
		ds.add(g, of(size))
		if n, size := ds.numbers(); size > limit || ds.tenants[budgets[tenant]] != nil && ds.tenants[budgets[tenant]].bytes > share {
			t.Errorf("%d diffs of %d bytes", n, size)
		}
		return g
	}
	if g := add(0, share+1); g.diff != nil {
		t.Error("a diff larger than the share of its tenant is kept")
	}
	first, second := add(0, share/2), add(0, share/2)
	ds.find(first, im)
	if add(0, share/2); first.diff == nil || second.diff != nil {
		t.Error("a tenant over its share does not lose the diff that was used least recently")
	}
	other := add(1, share/2)
	for range 10 {
		add(0, share/2)
	}
	if other.diff == nil {
		t.Error("a tenant has dropped the diff of another one")
	}
	for tenant := 2; tenant < len(budgets); tenant++ {
		add(tenant, share)
	}
	if _, size := ds.numbers(); other.diff != nil || size < limit-share {
		t.Errorf("%d of %d bytes, and the least recently used diff is kept: %v", size, limit, other.diff != nil)
	}
	for _, g := range []*generation{first, second, other} {
		ds.forget(g)
	}
	if ds.find(add(19, 300), new(image)) != nil {
		t.Error("a diff to another image is found")
	}
}
