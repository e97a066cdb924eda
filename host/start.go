package host

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

// generation is the one that the entry's binding has, or a new one that is to be started.
func (l *loader) generation(t *tenant, s *source, config Entry, given grants) (*generation, []error) {
	sorted := slices.Clone(config.Grants)
	slices.Sort(sorted)
	b := binding{module: s.Name, digest: s.digest, tenant: t.name, memory: config.Memory,
		config: string(config.Config), grants: strings.Join(slices.Compact(sorted), " "), shadow: config.Mode == Shadow}
	if g := l.bound[b]; g != nil {
		return g, nil
	}
	if g := l.kept[b]; g != nil {
		l.bound[b] = g.retain()
		l.next.generations = append(l.next.generations, g)
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
	l.bound[b] = g
	l.starting = append(l.starting, g)
	return g, nil
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

// startAll starts the new generations, several at a time: where rules are in use, half of the processors are left to them.
func (l *loader) startAll() {
	errs := make([][]error, len(l.starting))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	if l.old != nil {
		all.SetLimit(max(1, runtime.GOMAXPROCS(0)/2))
	}
	for i, g := range l.starting {
		all.Go(func() error {
			if l.ctx.Err() == nil {
				errs[i] = l.start(g)
			}
			return nil
		})
	}
	_ = all.Wait() // the errors are those of errs
	for i, g := range l.starting {
		if len(errs[i]) > 0 || l.ctx.Err() != nil {
			l.failed[g] = errs[i]
			g.close()
			continue
		}
		g.users.Store(1)
		l.next.generations = append(l.next.generations, g)
	}
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
