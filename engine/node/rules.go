package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
)

// rulesOf returns the modules and chains of a configuration: modules in the order of the files, tenants
// by name. Modules that are not files are fetched when they are opened, unless ctx has ended.
func rulesOf(ctx context.Context, cfg *config.Config, from *sources) host.Rules {
	digest := config.Digest(cfg)
	d := cfg.Decisions
	rules := host.Rules{Beside: digest[:], ChainTimeout: cfg.Limits.ChainTimeout, Memory: int64(cfg.Limits.ModuleMemory), Recording: host.Recording{Ring: d.Ring, Allows: d.SampleAllows, Log: d.Log, Text: d.Text}}
	names := slices.SortedFunc(maps.Keys(cfg.Modules), func(a, b string) int {
		return cmp.Or(cmp.Compare(cfg.Modules[a].Pos.File, cfg.Modules[b].Pos.File), cmp.Compare(cfg.Modules[a].Pos.Line, cfg.Modules[b].Pos.Line))
	})
	for _, name := range names {
		rules.Modules = append(rules.Modules, moduleOf(ctx, name, cfg.Modules[name], from, cfg.Limits.Networks()))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		t := host.Tenant{Name: name, CPU: cmp.Or(cfg.Tenants[name].Limits.ModuleCPU, cfg.Limits.ModuleCPU).Fraction()}
		for i, e := range cfg.Tenants[name].Chain {
			t.Chain = append(t.Chain, entryOf(e, fmt.Sprintf("%s: tenants.%s.chain[%d]", e.Pos, name, i)))
		}
		rules.Tenants = append(rules.Tenants, t)
	}
	return rules
}

func entryOf(e config.Entry, where string) host.Entry {
	entry := host.Entry{
		Module: e.Module, Where: where, Rooms: e.Rooms, Priority: e.Priority, Timeout: e.Timeout,
		Memory: int64(e.Memory), Grants: e.Grants, Config: e.Config, Shown: e.Shown,
	}
	b := e.Breaker
	entry.Breaker = host.Breaker{Ratio: b.Ratio.Fraction(), Minimum: b.Minimum, Window: b.Window, Cooldown: b.Cooldown, Probes: b.Probes}
	if e.OnError == "allow" {
		entry.OnError = host.AllowOnError
	}
	if e.Mode == "shadow" {
		entry.Mode = host.Shadow
	}
	for _, name := range e.Hooks {
		entry.Hooks = append(entry.Hooks, hook.Named(name))
	}
	return entry
}
