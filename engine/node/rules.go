package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/mootchat/moot/engine/ask/web"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
)

// modulesOf returns the modules of a configuration in the order of the files. Modules that are not files are fetched
// when they are opened, unless ctx has ended.
func modulesOf(ctx context.Context, cfg *config.Config, from *sources) (all []host.Module) {
	names := slices.SortedFunc(maps.Keys(cfg.Modules), func(a, b string) int {
		return cmp.Or(cmp.Compare(cfg.Modules[a].Pos.File, cfg.Modules[b].Pos.File), cmp.Compare(cfg.Modules[a].Pos.Line, cfg.Modules[b].Pos.Line))
	})
	users := usersOf(cfg)
	networks := cfg.Limits.Networks()
	for _, name := range names {
		c := cfg.Modules[name]
		m := moduleOf(ctx, name, c, from, networks)
		if c.Included {
			m.Owner = c.Pos.File
		} else {
			m.Shared = users[name] != 1
		}
		all = append(all, m)
	}
	return all
}

// usersOf returns the number of tenants whose chains name a module, by module.
func usersOf(cfg *config.Config) map[string]int {
	users, last := make(map[string]int, len(cfg.Modules)), make(map[string]string, len(cfg.Modules))
	for name := range cfg.Tenants {
		chain := cfg.Tenants[name].Chain
		for i := range chain {
			if module := chain[i].Module; last[module] != name {
				last[module] = name
				users[module]++
			}
		}
	}
	return users
}

// rulesOf returns the rules of all parts, tenants by name.
func (l *loading) rulesOf(modules []host.Module) host.Rules {
	cfg := l.cfg
	d := cfg.Decisions
	rules := host.Rules{Modules: modules, Partial: true, Beside: l.digest, ChainTimeout: cfg.Limits.ChainTimeout, Memory: int64(cfg.Limits.ModuleMemory),
		Recording: host.Recording{Ring: d.Ring, Allows: d.SampleAllows, Log: d.Log, Text: d.Text}}
	for _, name := range slices.Sorted(maps.Keys(l.parts)) {
		t := l.parts[name].rules
		if _, failed := l.failed[name]; failed {
			t = host.Tenant{Name: name, Keep: true}
		}
		rules.Tenants = append(rules.Tenants, t)
	}
	return rules
}

// digest returns the digest of the configuration as it is in use: without what belongs only to tenants that failed.
func (l *loading) digest(failed []host.Fault) []byte {
	if len(failed)+len(l.failed) == 0 {
		digest := config.Digest(l.cfg)
		return digest[:]
	}
	c := *l.cfg
	c.Tenants, c.Modules = maps.Clone(c.Tenants), maps.Clone(c.Modules)
	theirs, fails := maps.Clone(l.wanted), map[string]bool{}
	for name := range l.failed {
		fails[name] = true
	}
	for _, f := range failed {
		fails[f.Tenant] = true
		theirs = l.addModules(theirs, c.Tenants[f.Tenant])
		delete(c.Tenants, f.Tenant)
		if was := l.inUse(f.Tenant); was != nil {
			c.Tenants[f.Tenant] = l.before.cfg.Tenants[f.Tenant]
		}
	}
	for name := range theirs {
		delete(c.Modules, name)
		if l.before == nil {
			continue
		}
		if was, ok := l.before.cfg.Modules[name]; ok {
			c.Modules[name] = was
		}
	}
	for name, t := range l.cfg.Tenants {
		if fails[name] || len(theirs) == 0 {
			continue
		}
		for _, e := range t.Chain {
			if theirs[e.Module] {
				c.Modules[e.Module] = l.cfg.Modules[e.Module]
			}
		}
	}
	digest := config.Digest(&c)
	return digest[:]
}

// addModules adds the modules that a tenant's chain names.
func (l *loading) addModules(all map[string]bool, t config.Tenant) map[string]bool {
	if all == nil {
		all = map[string]bool{}
	}
	for _, e := range t.Chain {
		all[e.Module] = true
	}
	return all
}

// tenantRules returns the chain of a tenant.
func tenantRules(name string, t config.Tenant, cpu config.Share, client *web.Client) (host.Tenant, error) {
	rules := host.Tenant{Name: name, CPU: cpu.Fraction(), Sum: t.Sum}
	for i, e := range t.Chain {
		at := fmt.Sprintf("tenants.%s.chain[%d]", name, i)
		entry := entryOf(e, fmt.Sprintf("%s: %s", e.Pos, at))
		var err error
		if entry.Asks, err = asksOf(client, name, at, e); err != nil {
			return rules, err
		}
		rules.Chain = append(rules.Chain, entry)
	}
	return rules, nil
}

func entryOf(e config.Entry, where string) host.Entry {
	entry := host.Entry{
		Module: e.Module, Where: where, Rooms: e.Rooms, Priority: e.Priority, Timeout: e.Timeout,
		Memory: int64(e.Memory), Grants: e.Grants, Config: e.Config, Shown: e.Shown, NoAsks: e.NoAsks,
	}
	b := e.Breaker
	entry.Breaker = host.Breaker{Ratio: b.Ratio.Fraction(), Minimum: b.Minimum, Window: b.Window, Cooldown: b.Cooldown, Probes: b.Probes}
	if e.OnError == "allow" {
		entry.OnError = host.AllowOnError
	}
	if e.OnExpire == "release" {
		entry.OnExpire = host.ReleaseOnExpire
	}
	if e.Isolation == "call" {
		entry.Isolation = host.PerCall
	}
	if e.Mode == "shadow" {
		entry.Mode = host.Shadow
	}
	for _, name := range e.Hooks {
		entry.Hooks = append(entry.Hooks, hook.Named(name))
	}
	return entry
}
