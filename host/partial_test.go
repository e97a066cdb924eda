package host

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// manyTenants returns rules with a tenant for each name, each with one entry of the module "allow".
func manyTenants(names ...string) Rules {
	r := Rules{Partial: true, Modules: []Module{{Name: "allow", Wasm: handMade("allow"), Shared: true, Where: "main:1"}}}
	for i, name := range names {
		r.Tenants = append(r.Tenants, Tenant{Name: name, Sum: [32]byte{byte(i + 1)}, Chain: []Entry{{Module: "allow", Where: name + ":1", Timeout: patience}}})
	}
	return r
}

// spoil changes the rules of tenant "b", so that the tenant cannot be loaded; the result is the expected problem.
var spoil = map[string]func(r *Rules) string{
	"entry": func(r *Rules) string {
		r.Tenants[1].Chain[0].Grants = []string{"telepathy"}
		return `b:1: module allow: grants: unknown capability "telepathy"`
	},
	"unknown module": func(r *Rules) string {
		r.Tenants[1].Chain[0].Module = "nobody"
		return "b:1: module nobody: there is no module of this name"
	},
	"module": func(r *Rules) string { return own(r, Module{Wasm: []byte("#!/bin/sh")}, "own:1: module own: ") },
	"broken module": func(r *Rules) string {
		return own(r, Module{Wasm: handMade("allow")[:60]}, "b:1: module own: not a valid WebAssembly module")
	},
	"module server": func(r *Rules) string {
		return own(r, Module{Open: func() (io.ReadCloser, error) { return nil, errors.New("it does not answer") }}, "own:1: module own: it does not answer")
	},
	"script": func(r *Rules) string {
		return own(r, Module{Script: "rule.lua", Wasm: []byte("\xff")}, "own:1: module own: rule.lua")
	},
	"config": func(r *Rules) string {
		return own(r, Module{Wasm: broken("refuses")}, "b:1: module own: it does not start: protocol: moot_init refused its config: bad")
	},
	"trap at the start": func(r *Rules) string {
		m := blank()
		speak(m)
		m.Func(abi.ExportInitialize, "->", asm.Unreachable)
		return own(r, Module{Wasm: m.Wasm()}, "b:1: module own: it does not start: trap")
	},
	"grant": func(r *Rules) string {
		return own(r, Module{Wasm: asksForKV()}, "b:1: module own: it imports moot_1.kv_get, which needs the capability")
	},
	"digest": func(r *Rules) string {
		return own(r, Module{Wasm: handMade("allow"), File: "own.wasm", SHA256: strings.Repeat("0", 64)}, "own:1: module own: own.wasm has the sha256")
	},
	"memory": func(r *Rules) string {
		r.Tenants[1].Chain[0].Memory = 1 << 20
		return "b:1: module allow: 24 pages of memory, the limit is 16"
	},
	"hooks": func(r *Rules) string {
		r.Tenants[1].Chain[0].Hooks = []hook.Hook{hook.Join}
		return "b:1: module allow: the entry asks for the hook join"
	},
}

// own gives tenant "b" a module of its own.
func own(r *Rules, m Module, want string) string {
	m.Name, m.Where, m.Owner = "own", "own:1", "b"
	r.Modules = append(r.Modules, m)
	r.Tenants[1].Chain[0].Module = "own"
	return want
}

func TestATenantThatCannotBeLoadedFailsAlone(t *testing.T) {
	for name, change := range spoil {
		t.Run(name, func(t *testing.T) {
			h, _ := start(t, Config{Cache: cache})
			broken := manyTenants("a", "b", "c")
			want := change(&broken)
			broken.Tenants[1].Sum[1]++
			checkFault(t, h, broken, want)
			for tenant, outcome := range map[string]hook.Outcome{"a": hook.Allowed, "b": hook.Denied, "c": hook.Allowed} {
				if got := h.Decide(context.Background(), saidIn(tenant)).Outcome; got != outcome {
					t.Errorf("at the first load tenant %s: %v, want %v", tenant, got, outcome)
				}
			}

			swap(t, h, manyTenants("a", "b", "c"))
			first := h.current.Load()
			checkFault(t, h, broken, want)
			now := h.current.Load()
			if now.id != first.id {
				t.Error("the reload changed the revision, though every tenant is as before")
			}
			for _, tenant := range []string{"a", "b", "c"} {
				if now.tenants[tenant] != first.tenants[tenant] {
					t.Errorf("tenant %s was built anew", tenant)
				}
				if v := h.Decide(context.Background(), saidIn(tenant)); v.Outcome != hook.Allowed {
					t.Errorf("after the reload tenant %s: %+v", tenant, v)
				}
			}

			mended := manyTenants("a", "b", "c")
			mended.Tenants[1].Chain[0].OnError, mended.Tenants[1].Sum[1] = AllowOnError, 9
			swap(t, h, mended)
			if now := h.current.Load(); now.tenants["b"] == first.tenants["b"] || now.tenants["a"] != first.tenants["a"] || len(now.Faults()) > 0 {
				t.Error("the mended rules of b are not in use, or those of another tenant were touched")
			}
		})
	}
}

// checkFault loads rules of which tenant "b" cannot be loaded, and puts them into use.
func checkFault(t *testing.T, h *Host, rules Rules, want string) {
	t.Helper()
	r, err := h.Load(context.Background(), rules)
	if err != nil {
		t.Fatal(err)
	}
	f := r.Faults()
	if len(f) != 1 || f[0].Tenant != "b" || len(f[0].Problems) != 1 || !strings.HasPrefix(f[0].Problems[0].Error(), want) {
		t.Errorf("faults %v, want %s", f, want)
	}
	h.Swap(r)
	rules.Partial = false
	if r, err = h.Load(context.Background(), rules); err == nil {
		r.Close()
	}
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("without Partial: %v, want %s", err, want)
	}
}

func saidIn(tenant string) *hook.Event {
	ev := said("hello")
	ev.Tenant = tenant
	return ev
}

func TestASharedModuleFailsTheLoadOnce(t *testing.T) {
	for name, wasm := range map[string][]byte{"text": []byte("#!/bin/sh"), "cut": handMade("allow")[:60], "no ABI": broken("no marker")} {
		h, _ := start(t, Config{})
		rules := manyTenants("a", "b", "c")
		rules.Modules[0].Wasm = wasm
		r, err := h.Load(context.Background(), rules)
		if err == nil {
			r.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "main:1: module allow: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one problem of the module", name, err)
		}
	}
}

func TestAKeptTenantHasItsChainInUse(t *testing.T) {
	h, _ := start(t, Config{})
	swap(t, h, manyTenants("a", "b"))
	was := h.current.Load().tenants["b"]
	rules := manyTenants("a", "b", "new")
	rules.Tenants[1] = Tenant{Name: "b", Keep: true}
	rules.Tenants[2] = Tenant{Name: "new", Keep: true}
	swap(t, h, rules)
	now := h.current.Load()
	if now.tenants["b"] != was || now.Has("new") || !slices.Equal(now.names, []string{"a", "b"}) {
		t.Errorf("tenants %v", now.names)
	}
}

func TestATenantWithTheSameSumIsTakenUnlessItsModuleChanged(t *testing.T) {
	h, _ := start(t, Config{})
	swap(t, h, manyTenants("a", "b"))
	was := h.current.Load()
	rules := manyTenants("a", "b")
	rules.Tenants[0].Chain[0].Module = "never read"
	swap(t, h, rules)
	if now := h.current.Load(); now.tenants["a"] != was.tenants["a"] || now.tenants["b"] != was.tenants["b"] {
		t.Error("an unchanged tenant was built anew")
	}
	rules = manyTenants("a", "b")
	rules.Modules[0].Wasm = handMade("allow-2")
	rules.Modules[0].Wasm = append(rules.Modules[0].Wasm, 0, 2, 1, 'x') // a custom section
	swap(t, h, rules)
	if now := h.current.Load(); now.tenants["a"] == was.tenants["a"] || now.id == was.id {
		t.Error("a tenant kept the earlier binary of its module")
	}
}
