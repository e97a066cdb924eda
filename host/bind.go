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
	tenant *tenant // nil: another tenant has the same name
	name   string
	places []*place // in the order of the rules
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
		return p
	}
	t := &tenant{name: config.Name, recording: l.recording, share: config.CPU * float64(runtime.GOMAXPROCS(0))}
	p.tenant = t
	if config.CPU <= 0 || config.CPU > 1 {
		t.share = 0.5 * float64(runtime.GOMAXPROCS(0))
	}
	if a := l.host.cfg.Account; a != nil {
		t.gate, t.memory = a.gate, a.memory
	} else if l.old != nil && l.old.tenants[config.Name] != nil {
		t.gate, t.memory = l.old.tenants[config.Name].gate, l.old.tenants[config.Name].memory
	} else {
		t.gate, t.memory = new(gate), &budget{memory: l.host.memory, tenant: config.Name, reserved: l.host.memory.part(l.next.memory, l.tenants)}
		t.gate.set(t.share)
	}
	l.next.tenants[config.Name] = t
	l.next.names = append(l.next.names, config.Name)
	for _, e := range config.Chain {
		if l.ctx.Err() != nil {
			return p
		}
		p.places = append(p.places, l.place(t, e.withDefaults()))
	}
	return p
}

// place checks an entry and finds its generation.
func (l *loader) place(t *tenant, config Entry) *place {
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
	if s != nil && len(p.errs) == 0 {
		p.generation, p.errs = l.generation(t, s, config, given)
	}
	return p
}

// chains builds the tenant's chains from the entries whose generations have started, and reports the errors of the
// others.
func (l *loader) chains(p *placing) {
	t := p.tenant
	if t == nil {
		l.problems.add("", "", "there are two tenants of the name %q", p.name)
		return
	}
	for i, place := range p.places {
		g := place.generation
		if g != nil {
			place.errs = l.failed[g]
		}
		if g != nil && len(place.errs) == 0 {
			e := &entry{Entry: place.Entry, tenant: t, rooms: place.rooms, generation: g, breaker: l.breaker(t, place.Entry, g),
				label: g.name + "#" + l.next.id[:8]}
			if err := e.setHooks(place.Hooks); err != nil {
				place.errs = append(place.errs, err)
			}
			t.entries = append(t.entries, e)
		}
		for _, err := range place.errs {
			l.problems.add(place.Where, place.Module, "%w", err)
			if wrong, ok := errors.AsType[configError](err); ok {
				last := &l.problems[len(l.problems)-1]
				last.Tenant, last.Entry, last.Path = p.name, i, wrong.Path
			}
		}
	}
	slices.SortStableFunc(t.entries, func(a, b *entry) int { return a.Priority - b.Priority })
	t.index()
	for _, c := range t.clashes {
		l.problems.add(c.entry.Where, c.entry.Module, "it declares the action %q, as module %s does: leave the hook action out of one of their entries",
			c.action, t.actions[c.action].Module)
	}
}

// breaker returns the breaker of the same entry in the rules in use, or a new one if there is none. So a reload that
// changes other entries neither closes a breaker nor empties its window.
func (l *loader) breaker(t *tenant, config Entry, g *generation) *breaker {
	for _, e := range l.old.all()[t.name].all() {
		was := e.Entry
		was.Where, was.Priority = config.Where, config.Priority
		taken := func(next *entry) bool { return next.breaker == e.breaker }
		if e.generation == g && reflect.DeepEqual(was, config) && !slices.ContainsFunc(t.entries, taken) {
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
