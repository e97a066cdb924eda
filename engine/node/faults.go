package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/host"
)

// part is what a tenant's part of a configuration becomes. It is immutable.
type part struct {
	cpu      config.Share
	settings engine.TenantConfig
	rules    host.Tenant
}

// fault is a tenant that is not configured correctly.
type fault struct {
	tenant string // "": no tenant is known that depends on what is wrong
	kept   bool   // it stays as before; false: its clients are refused
	match  config.Match
	lines  []string // the problems
	file   string   // that must be decoded again for the positions of the problems; "": none
}

// makePart makes the part of a tenant, or takes that in use if it is the same.
func (l *loading) makePart(ctx context.Context, name string) {
	t := l.cfg.Tenants[name]
	cpu := cmp.Or(t.Limits.ModuleCPU, l.cfg.Limits.ModuleCPU)
	if was := l.inUse(name); was != nil && was.rules.Sum == t.Sum && was.cpu == cpu {
		l.parts[name] = was
		return
	}
	tokens, err := newTokens(ctx, t.Auth.JWT, l.keys)
	if err != nil {
		problem := problemAt(t.Auth.JWT.Pos, "tenants."+name+".auth.jwt", err)
		l.fail(fault{tenant: name, match: t.Match, lines: []string{problem.Error()}})
		return
	}
	settings, err := tenantSettings(name, t, tokens)
	if err != nil {
		l.fail(fault{tenant: name, match: t.Match, lines: []string{err.Error()}})
		return
	}
	rules, err := tenantRules(name, t, cpu, l.from.asks)
	if err != nil {
		l.fail(fault{tenant: name, match: t.Match, lines: []string{err.Error()}})
		return
	}
	l.parts[name] = &part{cpu: cpu, settings: settings, rules: rules}
}

// hide adds values that logs must not show.
func (l *loaded) hide(all []config.Substitution) {
	known := map[config.Substitution]bool{}
	for _, s := range l.cfg.Substitutions {
		known[s] = true
	}
	for _, s := range all {
		if !known[s] {
			l.cfg.Substitutions = append(l.cfg.Substitutions, s)
		}
	}
}

// modulesOf returns the modules that a tenant's chain names.
func (l *loaded) modulesOf(tenant string) map[string]config.Module {
	if kept, ok := l.kept[tenant]; ok {
		return kept
	}
	named := map[string]config.Module{}
	for _, e := range l.cfg.Tenants[tenant].Chain {
		named[e.Module] = l.cfg.Modules[e.Module]
	}
	return named
}

// inUse returns the part of a tenant in use; nil if there is none.
func (l *loading) inUse(name string) *part {
	if l.before == nil {
		return nil
	}
	return l.before.parts[name]
}

// fail adds a fault. The tenant stays as before, or is refused.
func (l *loading) fail(f fault) {
	if at, again := l.failed[f.tenant]; again && f.tenant != "" {
		l.faults[at].lines = append(l.faults[at].lines, f.lines...)
		return
	}
	l.wanted = l.addModules(l.wanted, l.cfg.Tenants[f.tenant])
	delete(l.parts, f.tenant)
	if was := l.inUse(f.tenant); was != nil {
		if f.kept = true; !slices.ContainsFunc(l.faults, func(f fault) bool { return f.kept }) {
			l.hide(l.before.cfg.Substitutions)
		}
		l.parts[f.tenant] = was
		l.cfg.Tenants[f.tenant] = l.before.cfg.Tenants[f.tenant]
		l.kept[f.tenant] = l.before.modulesOf(f.tenant)
	} else if f.tenant != "" {
		delete(l.cfg.Tenants, f.tenant)
	}
	l.failed[f.tenant] = len(l.faults)
	l.faults = append(l.faults, f)
}

// displace fails the tenants that have a host or a path which a tenant that stays as before still has. It returns true if
// there are any: then the rules must be loaded again.
func (l *loading) displace() (any bool) {
	kept := map[string]string{}
	for _, f := range l.faults {
		if f.kept {
			for _, text := range claimsOf(l.parts[f.tenant].settings.Hosts, l.parts[f.tenant].settings.Paths) {
				kept[text] = f.tenant
			}
		}
	}
	if len(kept) == 0 {
		return false
	}
	for name, p := range l.parts {
		if _, failed := l.failed[name]; failed {
			continue
		}
		for _, text := range claimsOf(p.settings.Hosts, p.settings.Paths) {
			owner, taken := kept[text]
			if !taken {
				continue
			}
			pos := l.cfg.Tenants[name].Pos
			problem := problemAt(pos, "tenants."+name+".match", fmt.Errorf("%q belongs to tenant %s, which stays as before: correct that tenant first", text[1:], owner))
			l.fail(fault{tenant: name, match: l.cfg.Tenants[name].Match, lines: []string{problem.Error()}})
			any = true
			break
		}
	}
	return any
}

// claimsOf returns hosts and paths, each after the letter of its kind.
func claimsOf(hosts, paths []string) (all []string) {
	for _, host := range hosts {
		all = append(all, "h"+host)
	}
	for _, path := range paths {
		all = append(all, "p"+path)
	}
	return all
}

// linesOf returns the lines of problems.
func linesOf(problems error) []string { return strings.Split(problems.Error(), "\n") }

// redact replaces the values of ${...} in the problems.
func (l *loaded) redact() {
	for i := range l.faults {
		l.faults[i].lines = strings.Split(l.cfg.Redact(strings.Join(l.faults[i].lines, "\n")), "\n")
	}
}

// lines returns the problems of all faults, each once.
func (l *loaded) lines() (all []string) {
	seen := map[string]bool{}
	for _, f := range l.faults {
		for _, line := range f.lines {
			if !seen[line] {
				seen[line] = true
				all = append(all, line)
			}
		}
	}
	return all
}

// err returns the problems of all faults as a ConfigError; nil if there are none.
func (l *loaded) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	return ConfigError{errorLines(l.lines())}
}

// errorLines is an error with a line for each problem.
type errorLines []string

func (e errorLines) Error() string { return strings.Join(e, "\n") }

// forOperators returns the faults for operators.
func (l *loaded) forOperators() []api.TenantFault {
	all := make([]api.TenantFault, len(l.faults))
	for i, f := range l.faults {
		all[i] = api.TenantFault{Tenant: f.tenant, Kept: f.kept, Problems: f.lines}
	}
	return all
}

// logFaults logs the tenants that are not configured correctly.
func (l *loaded) logFaults(log *slog.Logger) {
	logged := map[string]bool{}
	for _, f := range l.faults {
		state := "its clients are refused"
		if f.kept {
			state = "it stays as before"
		}
		for _, line := range f.lines {
			if !logged[line] {
				logged[line] = true
				log.Error("tenant is not configured correctly", "tenant", f.tenant, "state", state, "problem", line)
			}
		}
	}
}
