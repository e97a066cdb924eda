package host

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

// generation returns the generation with the entry's binding, or a new one that must be started.
func (l *loader) generation(p *placing, s *source, config Entry, given grants) (*generation, []error) {
	t := p.tenant
	sorted := slices.Clone(config.Grants)
	slices.Sort(sorted)
	b := binding{module: s.Name, digest: s.digest, tenant: t.name, memory: config.Memory,
		config: string(config.Config), grants: strings.Join(slices.Compact(sorted), " "), shadow: config.Mode == Shadow,
		fresh: config.Isolation == PerCall || l.host.cfg.Fresh}
	if g := p.bound[b]; g != nil {
		return g, nil
	}
	if g := p.kept[b]; g != nil {
		p.bound[b] = g.retain()
		t.generations = append(t.generations, g)
		return g, nil
	}
	m, errs := l.checked(s)
	if len(errs) > 0 {
		return nil, errs
	}
	if m == nil {
		return nil, nil
	}
	if err := fits(m, config.Memory); err != nil {
		return nil, []error{err}
	}
	if errs := s.checkImports(s.needs(given)); len(errs) > 0 {
		return nil, errs
	}
	g := &generation{host: l.host, binding: b, name: s.Name + "@" + hex.EncodeToString(s.digest[:4]), given: given, capabilities: given.bits(),
		config: config.Config, code: s.code.retain(), program: s.program, gate: t.gate, memory: t.memory, store: l.host.cfg.Store,
		counters: l.host.counted.of(countersKey{t.name, s.Name, b.shadow})}
	if b.shadow {
		g.store = newShadowStore(g.store)
	}
	p.bound[b] = g
	l.starting = append(l.starting, g)
	return g, nil
}

// rewrite returns the source's rewritten module, which all entries and all sources with the same binary share. The
// loader holds the code until the end of the load.
func (l *loader) rewrite(s *source) (*meter.Module, error) {
	if s.code == nil {
		s.code = l.host.codes.acquire(s.binary())
		l.codes = append(l.codes, s.code)
	}
	defer l.host.charge(now())
	return s.code.rewrite(s.wasm)
}

// checked returns the source's rewritten module, or what is wrong with it for every entry. If the module is shared, the
// errors are problems of the load, once, and both results are nil. A module without errors is checked once.
func (l *loader) checked(s *source) (*meter.Module, []error) {
	if s.module != nil {
		return s.module, nil
	}
	m, err := l.rewrite(s)
	errs := []error{err}
	if err == nil {
		errs = checkExports(m)
	}
	if len(errs) == 0 {
		s.module = m
		return m, nil
	}
	if !s.Shared || !l.rules.Partial {
		return nil, errs
	}
	for _, err := range errs {
		l.fault(s.Module, err)
	}
	return nil, nil
}

// releaseCodes releases the codes that rewrite has acquired.
func (l *loader) releaseCodes() {
	for _, c := range l.codes {
		c.release()
	}
}

// fits checks that the entry's memory is at least the module's initial memory.
func fits(m *meter.Module, memory int64) error {
	if m.Memory != nil && int64(m.Memory.Min)<<16 > memory {
		return fmt.Errorf("%d pages of memory, the limit is %d: give the entry more memory", m.Memory.Min, memory>>16)
	}
	return nil
}

// needs returns the grants with which the source's imports are compared. The runner of a script imports all host
// functions; checkUses compares the uses of the script with the grants.
func (s *source) needs(given grants) grants {
	if s.program == nil {
		return given
	}
	return everything
}

// checkImports compares the imports of the checked module with the grants, once for all entries with the same
// capabilities.
func (s *source) checkImports(given grants) []error {
	bits := given.bits()
	errs, known := s.imports[bits]
	if !known {
		errs = checkImports(s.module.Imports, given)
		if s.imports == nil {
			s.imports = make(map[uint16][]error)
		}
		s.imports[bits] = errs
	}
	return errs
}

// startAll starts the new generations.
func (l *loader) startAll() {
	l.host.progress.expect(len(l.starting))
	l.host.accepted.begin(len(l.starting), l.old.bindings())
	errs := l.startRounds()
	if l.ctx.Err() == nil {
		l.host.failed.forget()
	}
	for _, g := range l.starting {
		if len(errs[g]) > 0 || l.ctx.Err() != nil {
			l.failed[g] = errs[g]
			g.close()
			continue
		}
		g.users.Store(1)
		t := l.next.tenants[g.binding.tenant]
		t.generations = append(t.generations, g)
	}
}

// start starts an instance of a generation, whose code is compiled, to check that it accepts the config, reads its manifest, and
// checks the config against the manifest's schema.
// It closes the instance, unless Config.Awake is set or the tenant's module has instances now.
func (l *loader) start(g *generation) []error {
	_ = json.Unmarshal(g.config, &g.settings) // a config that is not an object has no settings
	remembered := l.host.accepted
	key := acceptedKey{}
	if remembered != nil {
		key = g.startKey()
	}
	if manifest, ok := remembered.find(key); ok && !l.host.cfg.Awake && !l.awake(g) && l.recall(g, manifest) {
		g.prepare()
		return nil
	}
	defer l.host.progress.begin(stepStart, g.binding.module, g.binding.tenant)()
	in, manifest, errs := g.selfTest(&l.declarations)
	errs = l.checkConfig(g, in != nil, errs)
	if len(errs) == 0 {
		if err := g.charge(); err != nil {
			errs = append(errs, err)
		}
	}
	if in != nil && len(errs) == 0 && !in.asks {
		remembered.add(key, manifest)
	}
	switch {
	case in == nil:
	case len(errs) == 0 && (l.host.cfg.Awake || l.awake(g)):
		g.pool.adopt(in)
	default:
		in.park()
	}
	return errs
}

// compile compiles a generation's code.
func (l *loader) compile(g *generation) error {
	defer l.host.progress.begin(stepCompile, g.binding.module, "")()
	return g.compile(l.ctx)
}

// recall gives a generation that was accepted before what its manifest declares; false if it must start anyway.
func (l *loader) recall(g *generation, manifest []byte) bool {
	d, err := l.declarations.of(g, manifest)
	if err != nil || len(checkCapabilities(d.requires, g.given)) > 0 {
		return false
	}
	g.declared, g.declared.config = d, nil // it was checked before, and the generation lives long
	return g.charge() == nil
}

// prepare starts an instance of a module that other entries have too, if the module has no image yet, and keeps it as a
// spare one. So the first message does not wait for the image. A failure is that of the entry at its first call.
func (g *generation) prepare() {
	if !g.code.images.missing() || !g.code.shared() {
		return
	}
	if in, f := g.newInstance(true); f == nil {
		in.park()
	}
}

// awake reports whether the tenant's module has instances now.
func (l *loader) awake(g *generation) bool {
	return slices.ContainsFunc(l.old.all()[g.binding.tenant].holds(), func(was *generation) bool {
		return was.counters == g.counters && was.pool.alive.Load() > 0
	})
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
func (g *generation) selfTest(known *declarations) (in *instance, manifest []byte, errs []error) {
	exports := g.exports()
	for h := abi.Connect; h <= abi.Hooks; h++ {
		g.hooks[h] = exports(h.Export())
	}
	in, f := g.newInstance(true)
	if f != nil {
		return nil, nil, []error{fmt.Errorf("it does not start: %w", f)}
	}
	manifest = g.code.module.Manifest
	if fn := in.module.ExportedFunction(abi.ExportManifest); fn != nil && manifest == nil {
		in.mark = now()
		in.begin(in.mark+int64(g.startTimeout()), g.name, 0, nil)
		defer in.end()
		if manifest, f = in.text(fn, abi.MaxManifest); f != nil {
			return in, nil, []error{fmt.Errorf("its manifest cannot be read: %w", f)}
		}
	}
	if len(manifest) > abi.MaxManifest { // from a custom section
		return in, nil, []error{fmt.Errorf("its manifest has more than %d bytes", abi.MaxManifest)}
	}
	var err error
	g.declared, err = known.of(g, manifest)
	if err != nil {
		return in, nil, []error{err}
	}
	return in, manifest, append(checkCapabilities(g.requires, g.given), checkUses(g.program, g.requires, g.given)...)
}
