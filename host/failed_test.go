package host

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// attempts is a host with tenants whose module never starts, and the number of slices of fuel that the module has used up.
type attempts struct {
	*testing.T
	*Host
	fuel atomic.Int64
}

func newAttempts(t *testing.T) *attempts {
	a := &attempts{T: t}
	a.Host, _ = start(t, Config{Refueled: func() { a.fuel.Add(1) }})
	a.cfg.StartTimeout = 20 * time.Millisecond
	return a
}

// load loads the rules and returns the problems of each tenant, and whether a module has run for long.
func (a *attempts) load(rules Rules) (problems map[string][]string, ran bool) {
	a.Helper()
	before := a.fuel.Load()
	r, err := a.Load(context.Background(), rules)
	if err != nil {
		a.Fatal(err)
	}
	problems = make(map[string][]string)
	for _, f := range r.Faults() {
		for _, p := range f.Problems {
			problems[f.Tenant] = append(problems[f.Tenant], p.Error())
		}
	}
	a.Swap(r)
	return problems, a.fuel.Load() > before
}

// endlessTenant returns a tenant with modules that never start, each with the config.
func endlessTenant(name, config string, modules int) (t Tenant) {
	t.Name = name
	for i := range modules {
		t.Chain = append(t.Chain, Entry{Module: fmt.Sprint("endless", i), Where: fmt.Sprint(name, ":", i), Timeout: patience, Config: []byte(config)})
	}
	return t
}

// endlessRules returns rules with modules that never start, and a tenant that is served.
func endlessRules(modules int, tenants ...Tenant) Rules {
	r := manyTenants("a")
	for i := range modules {
		r.Modules = append(r.Modules, Module{Name: fmt.Sprint("endless", i), Wasm: endless(1000 + i)})
	}
	r.Tenants = append(r.Tenants, tenants...)
	return r
}

// TestAFailedStartIsNotRepeatedForAWhile checks that loads do not repeat a start that has exceeded the limit, and say when
// it is repeated: after some time, or when the config, the memory or the module changes. Other tenants are not affected. The
// start is forgotten when no tenant has it.
func TestAFailedStartIsNotRepeatedForAWhile(t *testing.T) {
	a := newAttempts(t)
	b := endlessTenant("b", `{}`, 1)
	first, ran := a.load(endlessRules(1, b))
	if text := fmt.Sprint(first["b"]); !ran || len(first) != 1 || !strings.Contains(text, "deadline exceeded after") || !strings.Contains(text, "it is started again after 2") {
		t.Fatalf("the first load: %v, %v", ran, first)
	}
	for range 2 {
		if again, ran := a.load(endlessRules(1, b)); ran || fmt.Sprint(again) != fmt.Sprint(first) {
			t.Errorf("the same again: %v, %v, want %v", ran, again, first)
		}
	}
	for what, rules := range map[string]Rules{
		"another tenant": endlessRules(1, b, endlessTenant("c", `{}`, 1)),
		"another config": endlessRules(1, endlessTenant("b", `{"n":1}`, 1)),
		"another module": func() Rules {
			r := endlessRules(1, b)
			r.Modules[1].Wasm = endless(2000)
			return r
		}(),
		"more memory": func() Rules {
			r := endlessRules(1, endlessTenant("b", `{}`, 1))
			r.Tenants[1].Chain[0].Memory = 32 << 20
			return r
		}(),
	} {
		if problems, ran := a.load(rules); !ran || len(problems["b"]) != 1 || problems["a"] != nil {
			t.Errorf("%s: %v, %v", what, ran, problems)
		}
	}
	a.load(endlessRules(1, b))
	for _, s := range a.failed.known {
		s.until -= int64(retryStart)
	}
	if again, ran := a.load(endlessRules(1, b)); !ran || len(again["b"]) != 1 {
		t.Errorf("later: %v, %v", ran, again)
	}
	if a.load(endlessRules(1)); len(a.failed.known) != 0 {
		t.Errorf("%d failed starts of modules that no tenant has are remembered", len(a.failed.known))
	}
}

// TestATenantWithFailedStartsTriesFewOthers checks that modules of a tenant that has several failed starts are not started
// if they take long, so that a tenant with many such modules does not make each load long.
func TestATenantWithFailedStartsTriesFewOthers(t *testing.T) {
	a := newAttempts(t)
	if problems, ran := a.load(endlessRules(maxLate, endlessTenant("b", `{}`, maxLate))); !ran || len(problems["b"]) != maxLate {
		t.Fatalf("%v, %v", ran, problems)
	}
	rules := endlessRules(maxLate+3, endlessTenant("b", `{}`, maxLate+3))
	problems, ran := a.load(rules)
	if ran || len(problems["b"]) != maxLate+3 || strings.Count(fmt.Sprint(problems), errNotStarted.Error()) != 3 {
		t.Errorf("%v, %v", ran, problems)
	}
}

// TestFailedStartsAreBounded checks that a bounded number of failed starts is remembered.
func TestFailedStartsAreBounded(t *testing.T) {
	a := newAttempts(t)
	rules := endlessRules(1, endlessTenant("b", `{}`, 1))
	a.failed.known = make(map[failedKey]*failedStart)
	for i := range maxFailed {
		a.failed.known[failedKey{tenant: fmt.Sprint(i)}] = new(failedStart)
	}
	for range 2 {
		problems, ran := a.load(rules)
		if !ran || len(problems["b"]) != 1 || strings.Contains(problems["b"][0], "it is started again") != (len(a.failed.known) == 1) {
			t.Errorf("%v, %v", ran, problems)
		}
	}
}
