package host

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// every sets the same binary for all modules of the rules.
func every(wasm []byte, r Rules) Rules {
	for i := range r.Modules {
		r.Modules[i].Wasm = wasm
	}
	return r
}

// knownCodes returns the number of modules that the host has compiled.
func knownCodes(h *Host) int {
	h.codes.mu.Lock()
	defer h.codes.mu.Unlock()
	return len(h.codes.known)
}

// TestTenantsShareCode checks that tenants share the code of a binary, whatever its name, that its memory is counted
// once, and that its last user closes it.
func TestTenantsShareCode(t *testing.T) {
	h, _ := start(t, Config{Cache: new(memoryCache)})
	if knownCodes(h) != 0 || h.memory.code != 0 {
		t.Fatalf("without modules: %d codes, %d bytes", knownCodes(h), h.memory.code)
	}
	swap(t, h, tenantsOf(Entry{Module: "allow"}))
	one := h.memory.code
	rules := tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow", Memory: 2 << 20}, Entry{Module: "once"}, Entry{Module: "other"})
	same := handMade("allow")
	rules.Modules[len(rules.Modules)-1].Wasm = same // the same binary with another name
	swap(t, h, rules)
	if n := knownCodes(h); n != 2 {
		t.Errorf("%d codes of two binaries", n)
	}
	gens := h.current.Load().generations
	if gens[0].code != gens[1].code || gens[0].code != gens[3].code || gens[0].code == gens[2].code {
		t.Error("codes are not shared by binary")
	}
	if h.memory.code <= one || h.memory.code > 3*one {
		t.Errorf("one module is counted with %d bytes, two with %d", one, h.memory.code)
	}
	if machineCode(instanceOf(t, h, "t0").module) == 0 {
		t.Error("this version of wazero does not tell how much machine code a module has")
	}
	swap(t, h, Rules{})
	waitClosed(h, func() bool { return knownCodes(h) == 0 })
	if h.memory.code != 0 {
		t.Errorf("%d bytes of code are left", h.memory.code)
	}
}

// waitClosed waits until done, for work that closing a revision does in the background.
func waitClosed(h *Host, done func() bool) {
	for begin := time.Now(); !done() && time.Since(begin) < patience; {
		time.Sleep(time.Millisecond)
	}
}

// instanceOf returns a new instance of the tenant's first entry, outside of its pool.
func instanceOf(t *testing.T, h *Host, tenant string) *instance {
	t.Helper()
	g := h.current.Load().tenants[tenant].entries[0].generation
	in, f := g.newInstance(false)
	if f != nil {
		t.Fatal(f)
	}
	t.Cleanup(in.close)
	return in
}

// asksForKV is a module that drops the message if the host refuses it kv_get.
func asksForKV() []byte {
	m := blank()
	get := m.Import(abi.ImportModule, abi.ImportKVGet, "i32 i32 i32 i32 -> i32")
	m.Data(64, []byte("k"))
	speak(m)
	m.Func("on_say_receive", "i32 -> i32", asm.I32(64)+asm.I32(1)+asm.I32(128)+asm.I32(8)+asm.Call(get)+
		asm.I32(abi.NotGranted)+asm.Unequal+asm.If(asm.I32(abi.Allow)+asm.Return)+asm.I32(abi.Drop))
	return m.Wasm()
}

// TestGrantsAreCheckedAtTheCall checks that the grants of the calling entry apply, while an entry with other grants
// uses the same code.
func TestGrantsAreCheckedAtTheCall(t *testing.T) {
	h, _ := start(t, Config{})
	kv := Entry{Module: "kv", Grants: []string{"kv"}}
	swap(t, h, every(asksForKV(), tenantsOf(kv, kv)))
	with, without := h.current.Load().tenants["t0"].entries[0].generation, h.current.Load().tenants["t1"].entries[0].generation
	if with.code != without.code {
		t.Fatal("they do not share their code")
	}
	without.capabilities &^= capabilityBit(abi.CapabilityKV) // as if the check at load had missed it
	var all sync.WaitGroup
	for i, want := range []hook.Outcome{hook.Allowed, hook.Dropped} {
		all.Go(func() {
			for range 200 {
				if v := asks(h, fmt.Sprint("t", i)); v.Outcome != want {
					t.Errorf("t%d: %+v", i, v)
				}
			}
		})
	}
	all.Wait()
	for _, capability := range capabilities[1:] { // each has its own bit
		g := grants{capabilities: map[string]bool{capability: true}}
		if capability == abi.CapabilityProperties {
			g = grants{properties: []string{"p"}}
		}
		if bits := g.bits(); bits == 0 || bits&(bits-1) != 0 || bits != capabilityBit(capability) || everything.bits()&bits == 0 {
			t.Errorf("%s: %b", capability, bits)
		}
	}
	for name, fn := range imports {
		if refuses := reflect.ValueOf(granted(fn).call).Pointer() != reflect.ValueOf(fn.call).Pointer(); refuses != (fn.capability != "") {
			t.Errorf("%s: looks at grants: %v", name, refuses)
		}
	}
}

// TestCodeIsFreedOnceItIsCompiled checks that a host keeps only the machine code of a module, and that dropBodies finds the
// WebAssembly code in this version of wazero.
func TestCodeIsFreedOnceItIsCompiled(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	c := generationOf(h, "t").code
	if n := dropBodies(c.compiled); n != 0 {
		t.Errorf("%d bytes of code are kept", n)
	}
	compiled, err := c.linked.runtime.CompileModule(t.Context(), handMade("allow"))
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Close(t.Context())
	if n := dropBodies(compiled); n == 0 {
		t.Error("no code was found")
	}
}

// countsInMemory is a module that allows the first message of an instance and drops the others.
func countsInMemory() []byte {
	m := blank()
	speak(m)
	m.Func("on_say_receive", "i32 -> i32", asm.I32(200)+asm.Load32(0)+asm.If(asm.I32(abi.Drop)+asm.Return)+
		asm.I32(200)+asm.I32(1)+asm.Store32(0)+asm.I32(abi.Allow))
	return m.Wasm()
}

// TestSharedCodeHasNoSharedMemory checks that instances of the same code do not see each other's memory.
func TestSharedCodeHasNoSharedMemory(t *testing.T) {
	h, _ := start(t, Config{})
	swap(t, h, every(countsInMemory(), tenantsOf(Entry{Module: "m"}, Entry{Module: "m"}, Entry{Module: "m"})))
	for i := range 3 {
		for n, want := range []hook.Outcome{hook.Allowed, hook.Dropped} {
			if v := asks(h, fmt.Sprint("t", i)); v.Outcome != want {
				t.Errorf("t%d, message %d: %+v", i, n, v)
			}
		}
	}
}

// TestOtherTenantsAreReloadedDuringCalls checks that calls of one tenant succeed while others with the same code are loaded,
// reloaded and unloaded, and fail.
func TestOtherTenantsAreReloadedDuringCalls(t *testing.T) {
	h, _ := start(t, Config{})
	allow, trap := Entry{Module: "allow"}, Entry{Module: "trap"}
	rules := tenantsOf(allow, allow, trap, allow)
	swap(t, h, rules)
	g := h.current.Load().tenants["t0"].entries[0].generation
	var stop atomic.Bool
	var calls, all = atomic.Int64{}, sync.WaitGroup{}
	for range 2 {
		all.Go(func() {
			for !stop.Load() {
				if v := asks(h, "t0"); v.Outcome != hook.Allowed {
					t.Errorf("%+v", v)
					return
				}
				calls.Add(1)
			}
		})
	}
	for n := range 30 {
		rules.Tenants[1].Chain[0].Config = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		next := rules
		if n%2 == 0 {
			next.Tenants = rules.Tenants[:3]
		}
		swap(t, h, next)
		asks(h, "t1")
		if v := asks(h, "t2"); v.Outcome != hook.Failed {
			t.Errorf("%+v", v)
		}
		for before := calls.Load(); calls.Load() == before && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	stop.Store(true)
	all.Wait()
	if h.current.Load().tenants["t0"].entries[0].generation != g {
		t.Error("a tenant that did not change was loaded anew")
	}
	if n := knownCodes(h); n != 2 {
		t.Errorf("%d codes", n)
	}
}

// TestRuntimesAreReplaced checks that a runtime takes a bounded number of types, and is closed with its last module.
func TestRuntimesAreReplaced(t *testing.T) {
	h, _ := start(t, Config{})
	cs := h.codes
	link := func(types int) *linked {
		l, err := cs.link(types)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first, same := link(maxTypes/2), link(maxTypes/2)
	second := link(1)
	if first != same || second == first {
		t.Fatal("a runtime takes more types than it may, or fewer")
	}
	open := func(l *linked) bool {
		_, err := l.runtime.CompileModule(t.Context(), []byte(asm.Magic))
		return err == nil
	}
	cs.unlink(first)
	if !open(first) {
		t.Error("a runtime is closed that has a module")
	}
	cs.unlink(first)
	if open(first) {
		t.Error("a runtime is open that nothing needs")
	}
	cs.unlink(second)
	if !open(second) {
		t.Error("the runtime that takes the next modules is closed")
	}
	third := link(maxTypes)
	if open(second) || third == second {
		t.Error("a runtime is open that takes no modules and has none")
	}
	cs.unlink(third)
	for _, name := range []string{"allow", "class"} { // each load uses a new runtime
		cs.current.types = maxTypes
		swap(t, h, rulesFor(Entry{Module: name}))
		if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// watchedCache is a Cache that counts the concurrent reads of one name.
type watchedCache struct {
	memoryCache
	mu      sync.Mutex
	reading map[string]int
	most    int
}

func (c *watchedCache) Get(name string) []byte {
	c.count(name, 1)
	defer c.count(name, -1)
	for range 100 {
		runtime.Gosched()
	}
	return c.memoryCache.Get(name)
}

func (c *watchedCache) count(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading[name] += n
	c.most = max(c.most, c.reading[name])
}

// TestModulesThatDifferInDataOnly loads modules that differ only in their data, so that they have the same rewritten
// binary, at the same time and with their machine code in the cache, and calls each of them.
func TestModulesThatDifferInDataOnly(t *testing.T) {
	c := &watchedCache{reading: make(map[string]int)}
	const modules = 16
	rules := tenantsOf(make([]Entry, modules)...)
	rules.Modules = nil
	for i := range modules {
		m := blank()
		speak(m)
		m.Data(200, []byte{byte(i), 0, 0, 0})
		m.Func("on_say_receive", "i32 -> i32", asm.I32(exchange)+asm.I32(200)+asm.Load32(0)+asm.Store32(abi.ResultCode)+asm.I32(abi.Deny))
		name := fmt.Sprint("m", i)
		rules.Modules = append(rules.Modules, Module{Name: name, Wasm: m.Wasm()})
		rules.Tenants[i].Chain[0].Module = name
	}
	for range 20 {
		// The first load of a host uses all processors. Fresh: accepted configs are not kept.
		h, err := New(Config{Cache: c, Fresh: true, StartTimeout: patience, ChainTimeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		swap(t, h, rules)
		for i := range modules {
			if v := asks(h, fmt.Sprint("t", i)); v.Outcome != hook.Denied || v.Code != uint32(i) {
				t.Errorf("module %d: %+v", i, v)
			}
		}
		if len(h.codes.busy) != 0 {
			t.Errorf("%d binaries are still being compiled", len(h.codes.busy))
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if c.most > 1 {
		t.Errorf("the machine code of one binary was read %d times at once", c.most)
	}
}
