package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// placing is a tenant of the rules while they are loaded.
type placing struct {
	tenant   *tenant // nil: another tenant has the same name, or it is taken from the revision in use
	name     string
	places   []*place // in the order of the rules
	problems Problems
	kept     map[binding]*generation // of the tenant in use
	bound    map[binding]*generation // of tenant
}

// place is an entry while its rules are loaded.
type place struct {
	Entry
	rooms      []*glob.Glob
	generation *generation // nil: there are errors
	errs       []error
}

// tenant adds a tenant to the revision, with the generations of its entries, which are not started.
func (l *loader) tenant(config Tenant) *placing {
	p := &placing{name: config.Name}
	if _, twice := l.next.tenants[config.Name]; twice {
		l.problems.add("", "", "there are two tenants of the name %q", p.name)
		return p
	}
	share := config.CPU * float64(runtime.GOMAXPROCS(0))
	if config.CPU <= 0 || config.CPU > 1 {
		share = 0.5 * float64(runtime.GOMAXPROCS(0))
	}
	was := l.old.all()[config.Name]
	if was != nil && (config.Keep || l.same(was, config, share)) {
		l.reuse(was)
		return p
	}
	if config.Keep {
		return p
	}
	t := &tenant{name: config.Name, recording: l.rules.Recording, share: share, sum: config.Sum, digest: l.digest(config)}
	p.tenant, p.bound, p.kept = t, make(map[binding]*generation), make(map[binding]*generation)
	for _, g := range was.holds() {
		p.kept[g.binding] = g
	}
	if a := l.host.cfg.Account; a != nil {
		t.gate, t.memory = a.gate, a.memory
	} else if was != nil {
		t.gate, t.memory = was.gate, was.memory
	} else {
		t.gate, t.memory = new(gate), &budget{memory: l.host.memory, tenant: config.Name, reserved: l.host.memory.part(l.next.memory, len(l.rules.Tenants))}
		t.gate.set(t.share)
	}
	l.next.tenants[config.Name] = t
	for _, e := range config.Chain {
		if l.ctx.Err() != nil {
			return p
		}
		p.places = append(p.places, l.place(p, e.withDefaults()))
	}
	return p
}

// same reports whether a tenant in use has the rules and the modules of config.
func (l *loader) same(was *tenant, config Tenant, share float64) bool {
	return config.Sum != [32]byte{} && was.sum == config.Sum && was.share == share && was.recording == l.rules.Recording &&
		!slices.ContainsFunc(was.generations, func(g *generation) bool {
			s := l.modules[g.binding.module]
			return s == nil || s.digest != g.binding.digest
		})
}

// reuse adds a tenant in use to the revision as it is.
func (l *loader) reuse(t *tenant) {
	for _, g := range t.generations {
		g.retain()
	}
	l.next.tenants[t.name] = t
}

// place checks an entry and finds its generation.
func (l *loader) place(in *placing, config Entry) *place {
	p := &place{Entry: config}
	given, err := parseGrants(config.Grants)
	if err != nil {
		p.errs = append(p.errs, err)
	}
	if p.rooms, err = compileRooms(config.Rooms); err != nil {
		p.errs = append(p.errs, err)
	}
	if config.Memory < minMemory || config.Memory > maxMemory {
		p.errs = append(p.errs, fmt.Errorf("memory is %d bytes, it must be from %d to %d", config.Memory, minMemory, maxMemory))
	}
	if !json.Valid(config.Config) {
		p.errs = append(p.errs, fmt.Errorf("its config is not JSON"))
	}
	s, known := l.modules[config.Module]
	if !known {
		p.errs = append(p.errs, fmt.Errorf("there is no module of this name: name it under modules, with its file"))
	}
	in.problems = append(in.problems, l.faults[config.Module]...)
	if s != nil && len(p.errs) == 0 {
		p.generation, p.errs = l.generation(in, s, config, given)
	}
	return p
}

// chains builds the tenant's chains from the entries whose generations have started, and adds the errors of the
// others to its problems.
func (l *loader) chains(p *placing) {
	t := p.tenant
	if t == nil {
		return
	}
	breakers := l.breakers(t.name)
	for i, place := range p.places {
		g := place.generation
		if g != nil {
			place.errs = l.failed[g]
		}
		if g != nil && len(place.errs) == 0 {
			e := &entry{Entry: place.Entry, tenant: t, rooms: place.rooms, generation: g, breaker: breakers.take(place.Entry, g)}
			if err := errors.Join(e.setHooks(place.Hooks), e.checkAsks()); err != nil {
				place.errs = append(place.errs, err)
			}
			t.entries = append(t.entries, e)
		}
		for _, err := range place.errs {
			p.problems.add(place.Where, place.Module, "%w", err)
			if wrong, ok := errors.AsType[configError](err); ok {
				last := &p.problems[len(p.problems)-1]
				last.Tenant, last.Entry, last.Path = p.name, i, wrong.Path
			}
		}
	}
	slices.SortStableFunc(t.entries, func(a, b *entry) int { return a.Priority - b.Priority })
	t.index()
	for _, c := range t.clashes {
		p.problems.add(c.entry.Where, c.entry.Module, "it declares the action %q, as module %s does: leave the hook action out of one of their entries",
			c.action, t.actions[c.action].Module)
	}
}

// label gives the entries the label that decisions and logs have.
func (t *tenant) label(revision string) {
	for _, e := range t.entries {
		e.label = e.generation.name + "#" + revision[:8]
	}
}

// breakers are entries in use whose breakers no entry has taken yet, by generation.
type breakers map[*generation][]*entry

func (l *loader) breakers(tenant string) breakers {
	b := make(breakers)
	for _, e := range l.old.all()[tenant].all() {
		b[e.generation] = append(b[e.generation], e)
	}
	return b
}

// take returns the breaker of the same entry in the rules in use, or a new one if there is none. So a reload that
// changes other entries neither closes a breaker nor empties its window.
func (b breakers) take(config Entry, g *generation) *breaker {
	for i, e := range b[g] {
		was := e.Entry
		was.Where, was.Priority = config.Where, config.Priority
		if sameAsks(was.Asks, config.Asks) {
			was.Asks = config.Asks // their services change while they are in use, and cannot be compared
		}
		if reflect.DeepEqual(was, config) {
			b[g] = slices.Delete(b[g], i, i+1)
			return e.breaker
		}
	}
	return newBreaker(config.Breaker, int64(config.Timeout), now())
}

func compileRooms(patterns []string) (globs []*glob.Glob, err error) {
	for _, p := range patterns {
		if p == "*" {
			return nil, nil
		}
		g, err := glob.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("room pattern %q: %w", p, err)
		}
		globs = append(globs, g)
	}
	return globs, nil
}

// hookOf returns the number of an engine's hook in the contract. The numbers are equal.
func hookOf(h hook.Hook) abi.Hook { return abi.Hook(h) }
