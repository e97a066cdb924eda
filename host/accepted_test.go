package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// memoryCache is a Cache in memory.
type memoryCache struct {
	mu      sync.Mutex
	entries map[string][]byte
}

func (c *memoryCache) Get(name string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.entries[name])
}

func (c *memoryCache) Put(name string, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[string][]byte)
	}
	c.entries[name] = bytes.Clone(content)
}

// loud returns a module whose moot_init writes the line "asked" to the log, does more, and returns code.
func loud(more func(m *asm.Module) asm.Code, code int) []byte {
	m := blank()
	log := m.Import(abi.ImportModule, abi.ImportLog, "i32 i32 i32 ->")
	body := more(m)
	m.Data(8, []byte("asked"))
	speak(m)
	m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(1)+asm.I32(8)+asm.I32(5)+asm.Call(log)+body+asm.I32(code))
	m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
	return m.Wasm()
}

func noMore(*asm.Module) asm.Code { return "" }

// asked loads rules in a new host, and returns how many times a module was asked, and whether the rules could be loaded.
func asked(t *testing.T, cache Cache, wasm []byte, e Entry) (times int, ok bool) {
	t.Helper()
	h, lines := start(t, Config{Cache: cache})
	e.Module = "m"
	r, err := h.Load(context.Background(), Rules{Modules: []Module{{Name: "m", Wasm: wasm}}, Tenants: []Tenant{{Name: "t", Chain: []Entry{e}}}})
	if err == nil {
		r.Close()
	}
	return strings.Count(lines.String(), "asked"), err == nil
}

func TestAnAcceptedConfigIsAskedOnce(t *testing.T) {
	c := new(memoryCache)
	wasm := loud(noMore, 0)
	config := Entry{Config: []byte(`{"n": 1}`)}
	for i, want := range []int{1, 0, 0} {
		if n, ok := asked(t, c, wasm, config); n != want || !ok {
			t.Errorf("load %d: asked %d times, %v; want %d", i, n, ok, want)
		}
	}
	for name, e := range map[string]Entry{
		"config": {Config: []byte(`{"n": 2}`)},
		"grants": {Config: config.Config, Grants: []string{"kv"}},
		"memory": {Config: config.Config, Memory: 32 << 20},
	} {
		for _, want := range []int{1, 0} {
			if n, ok := asked(t, c, wasm, e); n != want || !ok {
				t.Errorf("another %s: asked %d times, %v; want %d", name, n, ok, want)
			}
		}
	}
	if n, _ := asked(t, c, append(bytes.Clone(wasm), 0, 2, 1, 'x'), config); n != 1 {
		t.Errorf("another binary: asked %d times", n)
	}
	if n, _ := asked(t, c, wasm, config); n != 0 {
		t.Errorf("after others were added: asked %d times", n)
	}
}

func TestModulesThatCallOtherFunctionsAreAskedAgain(t *testing.T) {
	clock := func(m *asm.Module) asm.Code {
		now := m.Import(abi.ImportModule, abi.ImportNow, "-> i64")
		return asm.Call(now) + asm.Drop
	}
	size := func(m *asm.Module) asm.Code {
		size := m.Import(abi.ImportModule, abi.ImportRoomSize, "-> i32")
		return asm.Call(size) + asm.Drop
	}
	for name, wasm := range map[string][]byte{"clock": loud(clock, 0), "rooms": loud(size, 0), "refusal": loud(noMore, 1)} {
		c := new(memoryCache)
		for range 2 {
			if n, ok := asked(t, c, wasm, Entry{}); n != 1 || ok == (name == "refusal") {
				t.Errorf("%s: asked %d times, %v", name, n, ok)
			}
		}
	}
}

func TestDamagedOrForeignMemoriesAreNotUsed(t *testing.T) {
	c := new(memoryCache)
	wasm := loud(noMore, 0)
	asked(t, c, wasm, Entry{})
	var name string
	for n := range c.entries {
		if strings.HasPrefix(n, "accepted ") {
			name = n
		}
	}
	whole := c.entries[name]
	for at := range whole {
		c.Put(name, whole[:at])
		if n, ok := asked(t, c, wasm, Entry{}); n != 1 || !ok {
			t.Fatalf("%d of %d bytes: asked %d times, %v", at, len(whole), n, ok)
		}
	}
	c.Put(name, append(binary.AppendUvarint(nil, 1<<62), whole...))
	if n, ok := asked(t, c, wasm, Entry{}); n != 1 || !ok {
		t.Errorf("asked %d times, %v", n, ok)
	}
	c.entries = map[string][]byte{"accepted another build": whole}
	if n, _ := asked(t, c, wasm, Entry{}); n != 1 {
		t.Errorf("that of another build was used")
	}

	dir := t.TempDir()
	disk := diskcache.Open(diskcache.Config{Dir: dir})
	disk.Put(name, whole)
	if n, _ := asked(t, disk, wasm, Entry{}); n != 0 {
		t.Errorf("whole on disk: asked %d times", n)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1] ^= 1
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := asked(t, disk, wasm, Entry{}); n != 1 {
		t.Errorf("a flipped bit on disk: asked %d times", n)
	}
}

// TestARefusalAtAWakeIsTheEntrysFailure checks an entry whose module is remembered to have accepted the config, and refuses it
// when it wakes.
func TestARefusalAtAWakeIsTheEntrysFailure(t *testing.T) {
	for policy, want := range map[Policy]hook.Outcome{DenyOnError: hook.Failed, AllowOnError: hook.Allowed} {
		h, lines := start(t, Config{Cache: new(memoryCache)})
		rules := Rules{Recording: Recording{Ring: 10}, Modules: []Module{{Name: "m", Wasm: loud(noMore, 1)}},
			Tenants: []Tenant{{Name: "t", CPU: 1, Chain: []Entry{{Module: "m", OnError: policy, Timeout: patience}}}}}
		rememberAll(t, h, rules)
		swap(t, h, rules)
		if v := h.Decide(context.Background(), said("hello")); v.Outcome != want {
			t.Errorf("policy %v: %+v", policy, v)
		}
		if !strings.Contains(lines.String(), "moot_init refused its config") {
			t.Errorf("the log does not name it:\n%s", lines.String())
		}
	}
}

// rememberAll makes the host remember that the modules of the rules accept their configs.
func rememberAll(t *testing.T, h *Host, rules Rules) {
	t.Helper()
	a := h.accepted
	key := func(g *generation) acceptedKey { return g.startKey() }
	l := &loader{host: h, ctx: t.Context(), rules: rules, next: &Revision{host: h, tenants: make(map[string]*tenant)}, modules: make(map[string]*source), faults: make(map[string]Problems), failed: make(map[*generation][]error)}
	defer l.releaseCodes()
	for _, m := range rules.Modules {
		l.read(m)
	}
	for _, config := range rules.Tenants {
		l.tenant(config)
	}
	for _, g := range l.starting {
		a.add(key(g), nil)
		g.code.release()
	}
	a.save()
}

func TestTheSizeOfMemoriesIsBounded(t *testing.T) {
	a := &accepted{cache: new(memoryCache), build: func() string { return "b" }}
	var used acceptedKey
	for i := range maxAccepted + 10 {
		var key acceptedKey
		copy(key[8:], fmt.Sprint(i))
		a.add(key, []byte("{}"))
		used = key
	}
	clear(a.used)
	a.used[used] = true
	content := a.encode()
	manifests, keys, ok := parseAccepted(content)
	if _, has := keys[used]; !ok || len(keys) != maxAccepted || len(manifests) != 1 || !has {
		t.Errorf("%v: %d keys, %d manifests, the used one is there: %v", ok, len(keys), len(manifests), has)
	}
	a.save()
	for i := range 10 {
		var key acceptedKey
		key[0] = byte(i + 1)
		a.add(key, bytes.Repeat([]byte{byte(i)}, maxManifests/4))
	}
	if content := a.encode(); len(content) > maxManifests+maxAccepted*40 {
		t.Errorf("%d bytes", len(content))
	}
	if got := maps.Collect(maps.All(a.used)); len(got) != 10 {
		t.Errorf("%d used", len(got))
	}
}

// TestLargeManifestsOfOneModuleDisplaceNoSmallOnes remembers bindings with many large manifests, whose keys come first, and
// others with a small one.
func TestLargeManifestsOfOneModuleDisplaceNoSmallOnes(t *testing.T) {
	a := &accepted{cache: new(memoryCache), build: func() string { return "b" }}
	for i := range 200 {
		var key acceptedKey
		key[0] = byte(i)
		if i < 100 {
			a.add(key, bytes.Repeat([]byte{byte(i)}, maxManifests/50))
		} else {
			a.add(key, []byte("{}"))
		}
	}
	_, keys, ok := parseAccepted(a.encode())
	for i := range 100 {
		if _, kept := keys[acceptedKey{byte(i + 100)}]; !ok || !kept {
			t.Fatalf("%v, the binding %d with a small manifest is forgotten, %d are kept", ok, i, len(keys))
		}
	}
}

// TestModulesAreCheckedOncePerLoad checks that tenants with a module that other tenants have too, and with configs that
// were accepted before, cost a load few allocations: the module's imports and exports are not checked again.
func TestModulesAreCheckedOncePerLoad(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	load := func(n int) float64 {
		var rules Rules
		for i := range n {
			next := rulesFor(goEntry(`{}`))
			rules.Modules = next.Modules
			next.Tenants[0].Name = fmt.Sprint("n", i)
			rules.Tenants = append(rules.Tenants, next.Tenants[0])
		}
		return testing.AllocsPerRun(3, func() {
			r, err := h.Load(t.Context(), rules)
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
		})
	}
	if each := (load(300) - load(100)) / 200; each > 120 {
		t.Errorf("a tenant takes %v allocations", each)
	}
}

// countingCache counts what is read and written.
type countingCache struct {
	memoryCache
	gets, puts int
}

func (c *countingCache) Get(name string) []byte {
	if strings.HasPrefix(name, "accepted ") {
		c.gets++
	}
	return c.memoryCache.Get(name)
}

func (c *countingCache) Put(name string, content []byte) {
	if strings.HasPrefix(name, "accepted ") {
		c.puts++
	}
	c.memoryCache.Put(name, content)
}

// TestASmallLoadDoesNotReadTheList checks that the change of one tenant of many neither reads nor writes the list of
// accepted configs, and that a later host knows them all.
func TestASmallLoadDoesNotReadTheList(t *testing.T) {
	c := new(countingCache)
	h, err := New(Config{Cache: c, StartTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	rules := Rules{Modules: []Module{{Name: "m", Wasm: loud(noMore, 0)}}, Tenants: make([]Tenant, minMany)}
	for i := range rules.Tenants {
		rules.Tenants[i] = Tenant{Name: fmt.Sprint("t", i), CPU: 1, Chain: []Entry{{Module: "m", Config: fmt.Append(nil, i)}}}
	}
	swap(t, h, rules)
	gets, puts := c.gets, c.puts
	if gets == 0 || puts == 0 {
		t.Fatalf("the first load: %d reads, %d writes", gets, puts)
	}
	for i := range 3 {
		rules.Tenants[7].Chain = []Entry{{Module: "m", Config: fmt.Append(nil, "7", i)}}
		swap(t, h, rules)
	}
	if c.gets != gets || c.puts != puts {
		t.Errorf("small loads: %d reads, %d writes", c.gets-gets, c.puts-puts)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if c.puts == puts {
		t.Error("the configs of small loads are not written at the end")
	}
	later, log := start(t, Config{Cache: c})
	swap(t, later, rules)
	if n := strings.Count(log.String(), "asked"); n > 1 { // the image of the module needs a start
		t.Errorf("a later host asks %d times", n)
	}
}

// TestRecentConfigsAreBounded checks that small loads keep a bounded number of configs, and bytes of manifests, in memory.
func TestRecentConfigsAreBounded(t *testing.T) {
	for size, most := range map[int]int{2: maxRecent, 60_000: maxManifests / 2 / 60_000} {
		c := new(countingCache)
		a := &accepted{cache: c, build: func() string { return "b" }}
		for i := range maxRecent + 10 {
			a.begin(1, minMany)
			a.add(acceptedKey{byte(i), byte(i >> 8)}, fmt.Appendf(make([]byte, size), "%d", i))
			a.save()
			if len(a.recent) > most+1 {
				t.Fatalf("%d manifests of %d bytes are kept", len(a.recent), size)
			}
		}
		if c.puts == 0 {
			t.Errorf("manifests of %d bytes are never written", size)
		}
	}
}

// TestALoadOfAcceptedConfigsPreparesSharedModules checks that a module that several entries have has an image and a spare
// instance after a load that starts none of them, and that a module of one entry has none.
func TestALoadOfAcceptedConfigsPreparesSharedModules(t *testing.T) {
	for n, want := range map[int]bool{1: false, 3: true} {
		c := new(memoryCache)
		for run := range 2 {
			h, log := start(t, Config{Cache: c})
			chain := slices.Repeat([]Entry{{Module: "m"}}, n)
			swap(t, h, every(loud(noMore, 0), tenantsOf(chain...)))
			image, spare := generationOf(h, "t0").images.current.Load() != nil, h.Instances().Spare
			if run == 1 && (image != want || (spare == 1) != want) {
				t.Errorf("%d entries: an image: %v, %d spare instances\n%s", n, image, spare, log)
			}
		}
	}
}
