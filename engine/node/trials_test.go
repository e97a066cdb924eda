package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/trial"
)

// TestTheReceiversOfATrialAreBounded checks the bound of the receivers of a trial, because the
// key of a tenant can try modules and must not take any amount of memory.
func TestTheReceiversOfATrialAreBounded(t *testing.T) {
	for n, want := range map[int]string{0: "", maxReceivers: "", maxReceivers + 1: "at most 1000"} {
		for _, name := range []string{"receivers", "Receivers"} { // JSON names match in any case
			ev, err := eventOf(map[string]any{"hook": "say", name: slices.Repeat([]any{map[string]any{}}, n)})
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%d %s: %v", n, name, err)
			}
			if err == nil && len(ev.Receivers) != n {
				t.Errorf("%d %s: there are %d", n, name, len(ev.Receivers))
			}
		}
	}
}

// TestFindingAModuleCostsTheSameWithManyTenants checks that the cost of finding a module does not grow with the number
// of tenants, because a tenant's key can request any number of trials.
func TestFindingAModuleCostsTheSameWithManyTenants(t *testing.T) {
	cost := func(tenants int) float64 {
		cfg := &config.Config{Modules: map[string]config.Module{"m": {}}, Tenants: make(map[string]config.Tenant)}
		for i := range tenants {
			cfg.Tenants[fmt.Sprint("t", i)] = config.Tenant{Chain: []config.Entry{{Module: "m"}}}
			cfg.Modules[fmt.Sprint("m", i)] = config.Module{}
		}
		from := newSources(config.Path{}, slog.New(slog.DiscardHandler))
		known := func(string) map[string]config.Module { return cfg.Modules }
		return testing.AllocsPerRun(10, func() {
			m, _, e, err := trials{from: from, known: known}.find(t.Context(), cfg, "t0", "m")
			if err != nil || m.Name != "m" || e.Module != "m" {
				t.Fatalf("%+v, %+v: %v", m, e, err)
			}
			for _, of := range [][2]string{{"t0", "m0"}, {"t0", "no"}, {"no", "m"}} {
				if _, _, _, err := (trials{from: from, known: known}).find(t.Context(), cfg, of[0], of[1]); err != api.ErrNoModule {
					t.Fatalf("%s: %v", of, err)
				}
			}
		})
	}
	if one, many := cost(1), cost(1000); many > one+5 {
		t.Errorf("%v allocations with one tenant, %v with 1000", one, many)
	}
}

// TestATrialShowsAConfigAsItIsWritten checks that a value of ${...} reaches the module at its
// place in the config, and that no answer contains it.
func TestATrialShowsAConfigAsItIsWritten(t *testing.T) {
	dir := t.TempDir()
	nodetest.Write(t, filepath.Join(dir, "word"), "hunter2")
	file := filepath.Join(dir, "moot.yaml")
	nodetest.Write(t, file, "modules: { b: { builtin: blocklist } }\ntenants: { default: { chain: [{ module: b, config: { words: ['${file:word}'], action: mask } }] } }")
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	from := newSources(config.Path{}, quiet)
	rules, loaded, err := loadRules(t.Context(), cfg, quiet, nil, nil, auth.NewKeySets(nil, quiet), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loaded.drop(); rules.Close() })
	all := trials{now: func() *config.Config { return cfg }, known: func(string) map[string]config.Module { return cfg.Modules }, from: from, rules: rules, turns: newTurns(1)}
	try := func(changed map[string]any) string {
		t.Helper()
		event := map[string]any{"hook": "onSayReceive", "room": "hall", "message": "what the hunter2"}
		q := api.Trial{Event: event}
		if changed != nil {
			q.Config = changed
		}
		tried, err := all.Try(t.Context(), "default", "b", q)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := json.Marshal(tried.Answer)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(answer), "*******") {
			t.Errorf("the module has another word: %s", answer)
		}
		shown, err := json.Marshal(tried.Config)
		if err != nil {
			t.Fatal(err)
		}
		return string(shown)
	}
	if got, want := try(nil), `{"action":"mask","words":["${file:word}"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := try(map[string]any{"words": []any{"${file:word}", "x"}, "action": "mask"}), `{"action":"mask","words":["${file:word}","x"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wrong := map[string]any{"words": []any{"${file:word}"}, "action": "hide"}
	if _, err := all.Try(t.Context(), "default", "b", api.Trial{Config: wrong}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// TestNoStatePassesBetweenTrials checks that a trial finds the state of a module that has just started, and that its
// entry's instances do not see it.
func TestNoStatePassesBetweenTrials(t *testing.T) {
	dir := t.TempDir()
	nodetest.Write(t, filepath.Join(dir, "counter.lua"), `local n = 0
moot.on("onSayReceive", function(e) n = n + 1; return moot.rewrite(tostring(n)) end)`)
	file := filepath.Join(dir, "moot.yaml")
	nodetest.Write(t, file, "modules: { c: { script: counter.lua } }\ntenants: { default: { chain: [{ module: c }] } }")
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	from := newSources(cfg.Cache, quiet)
	rules, loaded, err := loadRules(t.Context(), cfg, quiet, nil, nil, auth.NewKeySets(nil, quiet), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loaded.drop(); rules.Close() })
	all := trials{now: func() *config.Config { return cfg }, known: func(string) map[string]config.Module { return cfg.Modules }, from: from, rules: rules, turns: newTurns(1)}
	for range 3 {
		tried, err := all.Try(t.Context(), "default", "c", api.Trial{Event: map[string]any{"hook": "onSayReceive", "room": "hall", "message": "hello"}})
		if err != nil {
			t.Fatal(err)
		}
		if a := tried.Answer.(trial.Answer); a.Message == nil || *a.Message != "1" {
			t.Errorf("%+v", a)
		}
	}
}
