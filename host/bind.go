package host

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

// tenant adds a tenant's chains to the revision.
func (l *loader) tenant(config Tenant) {
	if _, twice := l.next.tenants[config.Name]; twice {
		l.problems.add("", "", "there are two tenants of the name %q", config.Name)
		return
	}
	t := &tenant{name: config.Name, recording: l.recording, share: config.CPU * float64(runtime.GOMAXPROCS(0))}
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
			return
		}
		if e := l.entry(t, e.withDefaults()); e != nil {
			t.entries = append(t.entries, e)
		}
	}
	slices.SortStableFunc(t.entries, func(a, b *entry) int { return a.Priority - b.Priority })
	t.index()
	for _, c := range t.clashes {
		l.problems.add(c.entry.Where, c.entry.Module, "it declares the action %q, as module %s does: leave the hook action out of one of their entries",
			c.action, t.actions[c.action].Module)
	}
}

// entry makes an entry; nil: something is wrong with it, and was told.
func (l *loader) entry(t *tenant, config Entry) *entry {
	before := len(l.problems)
	told := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				l.problems.add(config.Where, config.Module, "%w", err)
			}
		}
	}
	given, err := parseGrants(config.Grants)
	told(err)
	rooms, err := compileRooms(config.Rooms)
	told(err)
	if config.Memory < minMemory || config.Memory > maxMemory {
		told(fmt.Errorf("memory is %d bytes, it must be from %d to %d", config.Memory, minMemory, maxMemory))
	}
	if !json.Valid(config.Config) {
		told(fmt.Errorf("its config is not JSON"))
	}
	s, known := l.modules[config.Module]
	if !known {
		told(fmt.Errorf("there is no module of this name: name it under modules, with its file"))
	}
	if s == nil || len(l.problems) > before {
		return nil
	}
	g, errs := l.generation(t, s, config, given)
	told(errs...)
	if g == nil {
		return nil
	}
	e := &entry{Entry: config, tenant: t, rooms: rooms, generation: g, breaker: l.breaker(t, config, g),
		label: g.name + "#" + l.next.id[:8]}
	told(e.setHooks(config.Hooks))
	return e
}

// breaker is the one of the same entry in the rules in use, if there is one: a reload that
// changes something else neither closes a breaker nor empties its window. Else it is new.
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

// generation is the one that the entry's binding has, or a new one.
func (l *loader) generation(t *tenant, s *source, config Entry, given grants) (*generation, []error) {
	sorted := slices.Clone(config.Grants)
	slices.Sort(sorted)
	b := binding{module: s.Name, digest: s.digest, tenant: t.name, memory: config.Memory,
		config: string(config.Config), grants: strings.Join(slices.Compact(sorted), " "), shadow: config.Mode == Shadow}
	if g := l.bound[b]; g != nil {
		return g, nil
	}
	if g := l.kept[b]; g != nil {
		l.add(g.retain())
		return g, nil
	}
	m, err := l.rewrite(s)
	if err != nil {
		return nil, []error{err}
	}
	if err := fits(m, config.Memory); err != nil {
		return nil, []error{err}
	}
	if errs := append(checkExports(m), checkImports(m.Imports, s.needs(given))...); len(errs) > 0 {
		return nil, errs
	}
	g := &generation{host: l.host, binding: b, name: s.Name + "@" + hex.EncodeToString(s.digest[:4]), given: given, capabilities: given.bits(),
		config: config.Config, code: s.code.retain(), program: s.program, gate: t.gate, memory: t.memory, store: l.host.cfg.Store,
		counters: l.host.counted.of(countersKey{t.name, s.Name, b.shadow})}
	if b.shadow {
		g.store = newShadowStore(g.store)
	}
	if errs := l.start(g); len(errs) > 0 {
		g.close()
		return nil, errs
	}
	g.users.Store(1)
	l.add(g)
	return g, nil
}

// add has the next revision use a generation.
func (l *loader) add(g *generation) {
	l.next.generations = append(l.next.generations, g)
	l.bound[g.binding] = g
}

// rewrite is what package meter made of the source: once for all of its entries, and for all sources with the same binary.
// The loader keeps the code until it is done.
func (l *loader) rewrite(s *source) (*meter.Module, error) {
	if s.code == nil {
		s.code = l.host.codes.acquire(s.binary())
		l.codes = append(l.codes, s.code)
	}
	defer l.host.charge(now())
	return s.code.rewrite(s.wasm)
}

// releaseCodes gives up what rewrite has kept.
func (l *loader) releaseCodes() {
	for _, c := range l.codes {
		c.release()
	}
}

// fits checks that an entry with that much memory has what the module begins with.
func fits(m *meter.Module, memory int64) error {
	if m.Memory != nil && int64(m.Memory.Min)<<16 > memory {
		return fmt.Errorf("%d pages of memory, the limit is %d: give the entry more memory", m.Memory.Min, memory>>16)
	}
	return nil
}

// needs is what the source's imports are compared with. The runner of a script
// imports all that there is; what the script was not granted fails when it is called.
func (s *source) needs(given grants) grants {
	if s.program == nil {
		return given
	}
	return everything
}

// start has a generation's code compiled, starts an instance of it to ask whether it accepts the config, and reads its
// manifest. The instance is closed, unless the host is to be awake, or the generation takes the
// place of one that is.
func (l *loader) start(g *generation) []error {
	_ = json.Unmarshal(g.config, &g.settings) // what is no object has no keys
	if err := g.compile(l.ctx); err != nil {
		return []error{err}
	}
	in, errs := g.selfTest()
	switch {
	case in == nil:
	case len(errs) == 0 && (l.host.cfg.Awake || l.awake[g.counters.countersKey]):
		g.pool.adopt(in)
	default:
		in.close()
	}
	return errs
}

// exports reports whether the module exports a name.
func (g *generation) exports() func(name string) bool {
	exported := make(map[string]bool)
	for _, e := range g.code.module.Exports {
		exported[e.Name] = true
	}
	return func(name string) bool { return exported[name] }
}

// selfTest makes an instance, which the caller closes, and asks it for its manifest.
func (g *generation) selfTest() (*instance, []error) {
	exports := g.exports()
	for h := abi.Connect; h <= abi.Hooks; h++ {
		g.hooks[h] = exports(h.Export())
	}
	in, f := g.newInstance(true)
	if f != nil {
		return nil, []error{fmt.Errorf("it does not start: %w", f)}
	}
	manifest := g.code.module.Manifest
	if fn := in.module.ExportedFunction(abi.ExportManifest); fn != nil && manifest == nil {
		in.mark = now()
		in.begin(in.mark+int64(g.host.cfg.StartTimeout), g.name, 0, nil)
		defer in.end()
		if manifest, f = in.text(fn, abi.MaxManifest); f != nil {
			return in, []error{fmt.Errorf("its manifest cannot be read: %w", f)}
		}
	}
	if len(manifest) > abi.MaxManifest { // that of a section
		return in, []error{fmt.Errorf("its manifest has more than %d bytes", abi.MaxManifest)}
	}
	var err error
	g.declared, err = declare(manifest, g.binding.module, exports)
	if err != nil {
		return in, []error{err}
	}
	return in, checkCapabilities(g.requires, g.given)
}

// hookOf is the contract's number for an engine's hook. They are the same.
func hookOf(h hook.Hook) abi.Hook { return abi.Hook(h) }
