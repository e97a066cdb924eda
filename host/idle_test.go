package host

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
)

// TestAnIdleTenantTakesLittleMemory checks what a tenant with three rules, each with a config of its own, takes while it
// has no clients: at most 30 KB.
func TestAnIdleTenantTakesLittleMemory(t *testing.T) {
	h, _ := start(t, Config{})
	heap := func(tenants int) int {
		rules := rulesFor(Entry{Module: "allow"})
		entry := rules.Tenants[0].Chain[0]
		rules.Tenants = nil
		for i := range tenants {
			chain := []Entry{entry, entry, entry}
			for k := range chain {
				chain[k].Config = json.RawMessage(fmt.Sprintf(`{"words":["darn%d-%d"]}`, i, k))
			}
			rules.Tenants = append(rules.Tenants, Tenant{Name: fmt.Sprint("t", i), Chain: chain})
		}
		swap(t, h, rules)
		rules = Rules{}
		for range 3 { // finalizers, and what sync.Pool keeps for one collection
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	few := heap(50)
	const more = 500
	if each := (heap(50+more) - few) / more; each > 30_000 {
		t.Errorf("an idle tenant with three rules takes %d bytes", each)
	} else {
		t.Logf("an idle tenant with three rules takes %d bytes", each)
	}
}
