package host

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// endless returns a module that never starts. Modules with different n have different code.
func endless(n int) []byte {
	m := blank()
	m.Data(8, fmt.Append(nil, n))
	m.Func(abi.ExportInitialize, "->", forever)
	speak(m)
	return m.Wasm()
}

// TestModulesThatNeverStartHoldUpNoOther checks a load with many modules that never start, of one tenant
// and of many: it starts the modules of the other tenants, it fails only the tenants whose modules never
// start, and it tries only few of these modules.
func TestModulesThatNeverStartHoldUpNoOther(t *testing.T) {
	h, _ := start(t, Config{Cache: cache})
	h.cfg.StartTimeout, h.lateTime = 300*time.Millisecond, time.Second
	rules := manyTenants("a", "z")
	add := func(tenant string, modules int) {
		it := Tenant{Name: tenant, Sum: [32]byte{byte(len(rules.Tenants)), 7}}
		for i := range modules {
			name := fmt.Sprint(tenant, i)
			rules.Modules = append(rules.Modules, Module{Name: name, Wasm: endless(len(rules.Modules)), Owner: tenant, Where: name})
			it.Chain = append(it.Chain, Entry{Module: name, Where: name, Timeout: patience})
		}
		rules.Tenants = append([]Tenant{it}, rules.Tenants...)
	}
	add("many", 40)
	for i := range 12 {
		add(fmt.Sprint("m", i), 1)
	}
	r, err := h.Load(context.Background(), rules)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Faults()); n != 13 {
		t.Errorf("%d tenants failed, want 13", n)
	}
	started, given := 0, 0
	for _, f := range r.Faults() {
		for _, p := range f.Problems {
			switch text := p.Error(); {
			case strings.Contains(text, "it does not start: deadline"):
				started++
			case strings.Contains(text, errNotStarted.Error()):
				given++
			default:
				t.Error(text)
			}
		}
	}
	// In the last round each start takes 300 ms of the second, and some run at the same time.
	if most := 4 + runtime.GOMAXPROCS(0); started == 0 || started > most || started+given != 52 {
		t.Errorf("%d modules did not start in time, want 1 to %d, and %d were not started, of 52", started, most, given)
	}
	h.Swap(r)
	for _, tenant := range []string{"a", "z"} {
		if v := h.Decide(context.Background(), saidIn(tenant)); v.Outcome != hook.Allowed {
			t.Errorf("tenant %s: %+v", tenant, v)
		}
	}
}

// TestCompilingTheModulesOfAnOwnerIsBounded checks that an included file with many modules that take long to compile does not
// hold up a load: those that are left fail with their tenant. The operator's modules have no such limit.
func TestCompilingTheModulesOfAnOwnerIsBounded(t *testing.T) {
	h, _ := start(t, Config{})
	h.ownerCompileTime = 1
	rules := manyTenants("a", "b", "c")
	for i := range 12 {
		m := blank()
		m.Data(8, fmt.Append(nil, "dear", i))
		m.Func(abi.OnSayReceive.Export(), "i32 -> i32", asm.I32(abi.Allow))
		speak(m)
		name := fmt.Sprint("dear", i)
		module := Module{Name: name, Wasm: m.Wasm(), Where: name, Owner: "b"}
		tenant := &rules.Tenants[1]
		if i >= 6 {
			module.Owner, tenant = "", &rules.Tenants[2]
		}
		rules.Modules = append(rules.Modules, module)
		tenant.Chain = append(tenant.Chain, Entry{Module: name, Where: name, Timeout: patience})
	}
	r, err := h.Load(context.Background(), rules)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.Faults()
	if len(f) != 1 || f[0].Tenant != "b" || len(f[0].Problems) < 6-runtime.GOMAXPROCS(0) || !strings.Contains(f[0].Problems[0].Error(), errNotCompiled.Error()) {
		t.Errorf("faults %v", f)
	}
}
