package host

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// TestManifestsTakeTheTenantsMemory checks that what the manifests of entries take is charged to their tenant.
func TestManifestsTakeTheTenantsMemory(t *testing.T) {
	const n = 8
	var chain []Entry
	for i := range n {
		chain = append(chain, Entry{Module: fmt.Sprint("verbose-", i), Hooks: []hook.Hook{hook.OnSayReceive}, Memory: 2 << 20})
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	h, _ := start(t, Config{Memory: 128 << 20})
	before := heap()
	swap(t, h, rulesFor(chain...))
	took := heap() - before
	charged := int64(0)
	for _, g := range h.current.Load().generations {
		charged += g.charged
	}
	if used := used(h, "t"); charged == 0 || used < charged {
		t.Errorf("the manifests are charged with %d bytes, of %d that the tenant uses", charged, used)
	}
	t.Logf("%d bytes, charged with %d", took, charged)

	for i := range 32 { // entries of other configs have manifests of their own
		e := chain[i%n]
		e.Config = fmt.Appendf(nil, `{"n": %d}`, i)
		chain = append(chain, e)
	}
	small, err := New(Config{Cache: cache, Memory: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	r, err := small.Load(t.Context(), rulesFor(chain...))
	if err == nil {
		r.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "its manifest is large: tenant t has no memory left") {
		t.Errorf("%.300v", err)
	}
	if used := small.memory.used; used != 0 {
		t.Errorf("a load that failed left %d bytes", used)
	}
}

// TestErrorsOfAManifestAreBounded checks that a manifest with thousands of errors has a short text.
func TestErrorsOfAManifestAreBounded(t *testing.T) {
	_, err := declare([]byte(`{"reads": [`+strings.Repeat(`"?",`, 15_000)+`"?"]}`), "m", func(string) bool { return true })
	if err == nil || len(err.Error()) > 5000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	if n := sizeOf(&abi.Manifest{Reads: make([]string, 1000)}); n < 16_000 {
		t.Errorf("1000 names take %d bytes", n)
	}
}

// TestALoadKeepsFewManifests checks that entries with manifests of their own, each of 64 KiB, do not fill the memory while
// they are loaded.
func TestALoadKeepsFewManifests(t *testing.T) {
	a := &accepted{cache: cache, build: func() string { return "" }}
	for i := range 1000 {
		a.add(acceptedKey{byte(i), byte(i >> 8)}, fmt.Appendf(make([]byte, 60_000), "%d", i))
	}
	if n := len(a.manifests); n == 0 || n*60_000 > maxAdded {
		t.Errorf("%d manifests of 60 KB are kept", n)
	}
	var c configChecks
	for i := range 100 {
		if errs := c.check(&configSchema{map[string]any{}, [32]byte{byte(i)}}, `{}`); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	if len(c.schemas) > maxSchemas {
		t.Errorf("%d schemas are kept", len(c.schemas))
	}
}

// TestAnErrorOfATextNamesItsExport checks an error of a text of a module whose functions have no names.
func TestAnErrorOfATextNamesItsExport(t *testing.T) {
	if got := problems(t, rulesFor(Entry{Module: "endless"})); !strings.Contains(got, "moot_manifest: 70000 bytes at 0x8 are not") {
		t.Error(got)
	}
}
