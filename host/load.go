package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/script"
)

// loader builds one revision. Loads run one at a time: a compilation may take a processor for a
// second.
type loader struct {
	host         *Host
	ctx          context.Context
	rules        Rules
	old          *Revision // in use; may be nil
	next         *Revision
	problems     Problems                // that fail the load
	modules      map[string]*source      // by name; nil: it has problems
	faults       map[string]Problems     // of modules, by name; not in problems
	scripts      []*source               // read and not compiled yet
	starting     []*generation           // new generations of next
	failed       map[*generation][]error // of starting
	codes        []*code                 // of the sources, to be released
	configs      configChecks
	declarations declarations
}

// source is a module whose file was read.
type source struct {
	Module
	digest  [sha256.Size]byte  // of the file
	wasm    []byte             // the binary; for a script, that of its runner; nil: it is Known, and code has it
	program *script.Program    // nil: it is not a script
	code    *code              // nil: no entry needs it yet
	module  *meter.Module      // rewritten, with correct exports; nil: it was not checked yet, or has errors
	imports map[uint16][]error // the errors of its imports, by the capabilities that are granted
}

// binary returns the digest of the binary. It is the same for all scripts of one language.
func (s *source) binary() [sha256.Size]byte {
	if s.program == nil {
		return s.digest
	}
	return s.program.Runner.Digest
}

// Load reads, checks, compiles and starts all modules of the rules beside those in use, which it
// does not change. Tenants and generations that are the same in the revision in use are kept. The error is
// [Problems] and has all errors of the rules. With Rules.Partial, errors of single tenants are the revision's
// Faults instead, unless the load fails anyway. The caller passes the revision to Swap or closes it.
func (h *Host) Load(ctx context.Context, rules Rules) (*Revision, error) {
	h.loads.Lock()
	defer h.loads.Unlock()
	if err := h.begin(); err != nil {
		return nil, err
	}
	next := &Revision{host: h, tenants: make(map[string]*tenant, len(rules.Tenants))}
	next.users.Store(1)
	l := &loader{host: h, ctx: ctx, rules: rules, next: next, modules: make(map[string]*source), faults: make(map[string]Problems), failed: make(map[*generation][]error)}
	defer l.releaseCodes()
	if l.old = h.running(); l.old != nil {
		defer l.old.release()
	}
	for _, m := range rules.Modules {
		l.read(m)
	}
	l.compileScripts()
	next.chain = int64(cmp.Or(rules.ChainTimeout, h.cfg.ChainTimeout))
	next.memory = cmp.Or(rules.Memory, h.cfg.Memory)
	if h.cfg.Account == nil {
		h.memory.expect(next.memory)
		defer h.memory.expect(0)
	}
	placings := make([]*placing, len(rules.Tenants))
	for i, t := range rules.Tenants {
		placings[i] = l.tenant(t)
	}
	l.startAll()
	h.accepted.save()
	if ctx.Err() == nil {
		for _, p := range placings {
			l.chains(p)
		}
	}
	if err := ctx.Err(); err != nil {
		l.problems.add("", "", "loading was given up: %w", err)
	}
	return l.finish(placings)
}

// finish completes the revision, or closes it and returns the problems.
func (l *loader) finish(placings []*placing) (*Revision, error) {
	next := l.next
	all, seen := slices.Clone(l.problems), make(map[string]bool)
	for _, p := range placings {
		all = append(all, p.problems.unseen(seen)...) // a module's problem is one of each tenant that names it
		if len(p.problems) > 0 && l.rules.Partial {
			next.faults = append(next.faults, Fault{p.name, p.problems.unseen(make(map[string]bool))})
			l.replace(p)
		}
	}
	if len(l.problems) > 0 || len(all) > 0 && !l.rules.Partial {
		for _, t := range next.tenants {
			t.release()
		}
		next.Close()
		return nil, all
	}
	for _, p := range placings {
		if t := next.tenants[p.name]; t != nil {
			next.names = append(next.names, p.name)
			next.generations = append(next.generations, t.generations...)
		}
	}
	next.id = l.id()
	for _, p := range placings {
		if p.tenant != nil && len(p.problems) == 0 {
			p.tenant.label(next.id)
		}
	}
	return next, nil
}

// replace puts the tenant in use, if there is one, in the place of a tenant that cannot be loaded.
func (l *loader) replace(p *placing) {
	p.tenant.release()
	delete(l.next.tenants, p.name)
	if was := l.old.all()[p.name]; was != nil {
		l.reuse(was)
	}
}

// begin counts a new revision, unless the host is closed.
func (h *Host) begin() error {
	h.loading.Lock()
	defer h.loading.Unlock()
	if h.closed {
		return errors.New("the host is closed")
	}
	h.revisions.Add(1)
	return nil
}

// read reads a module and checks its digest and its format.
func (l *loader) read(m Module) {
	if _, twice := l.modules[m.Name]; twice {
		l.problems.add(m.Where, m.Name, "there are two modules of this name")
		return
	}
	fault := func(format string, args ...any) { l.fault(m, fmt.Errorf(format, args...)) }
	l.modules[m.Name] = nil
	if l.readBefore(m) {
		return
	}
	defer l.host.charge(now())
	defer l.host.progress.begin(stepRead, m.Name, "")()
	wasm, err := m.Binary()
	if err != nil {
		fault("%w", err)
		return
	}
	s := &source{Module: m, wasm: wasm, digest: sha256.Sum256(wasm)}
	if m.Digested != nil {
		m.Digested(s.digest)
	}
	switch have := hex.EncodeToString(s.digest[:]); {
	case m.SHA256 != "" && !strings.EqualFold(m.SHA256, have):
		fault("%s has the sha256 %s, not %s: if the change is meant, put the new one here", m.File, have, m.SHA256)
	case m.Script != "":
		l.scripts = append(l.scripts, s)
	case !bytes.HasPrefix(wasm, []byte("\x00asm")):
		// The content is not shown: it may be a secret that was named by mistake.
		fault("%s is not a WebAssembly module: it does not begin with %q", m.File, "\x00asm")
	default:
		l.modules[m.Name] = s
	}
}

// readBefore adds a binary that has not changed and whose code is in use, without reading it; false if it must be read.
func (l *loader) readBefore(m Module) bool {
	if m.Known == ([sha256.Size]byte{}) || m.Script != "" || m.SHA256 != "" && !strings.EqualFold(m.SHA256, hex.EncodeToString(m.Known[:])) {
		return false
	}
	c := l.host.codes.find(m.Known)
	if c == nil {
		return false
	}
	l.codes = append(l.codes, c)
	l.modules[m.Name] = &source{Module: m, digest: m.Known, code: c}
	return true
}

// fault records an error of a module: it fails the load, or only the tenants that name the module.
func (l *loader) fault(m Module, err error) {
	l.modules[m.Name] = nil
	if m.Shared || !l.rules.Partial {
		l.problems.add(m.Where, m.Name, "%w", err)
		return
	}
	its := l.faults[m.Name]
	its.add(m.Where, m.Name, "%w", err)
	l.faults[m.Name] = its
}

// maxDear is the number of scripts of an owner that are too expensive to translate after which a load stops
// translating those of the owner.
const maxDear = 4

var errDear = errors.New("not translated, as others of this load take too much: correct those first")

// compileScripts compiles the scripts that were read, concurrently. After maxDear scripts of an owner that are
// too expensive to translate it stops translating those of the owner, so that a load of many hostile scripts costs no
// more than a load of a few.
func (l *loader) compileScripts() {
	errs := make([]error, len(l.scripts))
	dear := make(map[string]*dearScripts)
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range l.scripts {
		if dear[s.Owner] == nil {
			d := new(dearScripts)
			d.ctx, d.stop = context.WithCancelCause(l.ctx)
			defer d.stop(nil)
			dear[s.Owner] = d
		}
	}
	for i, s := range l.scripts {
		d := dear[s.Owner]
		all.Go(func() error {
			if errs[i] = context.Cause(d.ctx); errs[i] != nil {
				return nil
			}
			defer l.host.progress.begin(stepTranslate, s.Name, "")()
			s.program, errs[i] = l.host.cfg.Scripts.Compile(d.ctx, s.Script, s.wasm)
			if errors.Is(errs[i], script.ErrTooExpensive) && d.found.Add(1) == maxDear {
				d.stop(errDear)
			}
			return nil
		})
	}
	_ = all.Wait() // the errors are in errs
	left := 0
	for i, s := range l.scripts {
		switch {
		case errors.Is(errs[i], errDear) && !l.rules.Partial:
			left++
		case errs[i] != nil:
			l.fault(s.Module, errs[i])
		default:
			s.wasm = s.program.Runner.Wasm
			l.modules[s.Name] = s
		}
	}
	if left > 0 {
		l.problems.add("", "", "%d scripts: %w", left, errDear)
	}
	l.scripts = nil
}

// dearScripts counts the scripts of an owner that are too expensive to translate.
type dearScripts struct {
	ctx   context.Context // ends after maxDear of them
	stop  context.CancelCauseFunc
	found atomic.Int32
}

// Binary reads the module, or the script's text: at most [MaxModule] bytes. It does not check
// SHA256. The error includes advice.
func (m *Module) Binary() ([]byte, error) {
	wasm := m.Wasm
	if wasm == nil {
		if m.Open == nil {
			return nil, errors.New("there is nothing to read it from")
		}
		r, err := m.Open()
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("there is no file %s: build it, or correct the path: %w", m.File, err)
		}
		if err != nil {
			return nil, err
		}
		defer r.Close()
		if wasm, err = io.ReadAll(io.LimitReader(r, MaxModule+1)); err != nil {
			return nil, fmt.Errorf("read %s: %w", m.File, err)
		}
	}
	if len(wasm) > MaxModule {
		return nil, fmt.Errorf("%s has more than %d bytes", m.File, MaxModule)
	}
	return wasm, nil
}

// digest returns the digest of all data that affects decisions of the chains of a tenant.
func (l *loader) digest(t Tenant) (sum [sha256.Size]byte) {
	h := sha256.New()
	digests := make(map[string]string)
	chain := slices.Clone(t.Chain)
	for i := range chain {
		e := chain[i].withDefaults()
		e.Where = "" // an entry that moves to another line is unchanged
		if !json.Valid(e.Config) {
			e.Config = nil // the error is reported later
		}
		if e.Shown != nil { // with a digest of all of Config, a short secret could be guessed from the ID and the rest of the rules
			e.Config = nil
		}
		chain[i] = e
		if s := l.modules[e.Module]; s != nil {
			digests[e.Module] = hex.EncodeToString(s.digest[:])
		}
	}
	// Encoding cannot fail: these are plain values.
	_ = json.NewEncoder(h).Encode([]any{t.CPU, chain, digests, l.rules.Recording})
	h.Sum(sum[:0])
	return sum
}

// id returns the digest of all data that affects decisions of the revision's chains.
func (l *loader) id() string {
	h := sha256.New()
	names := slices.Sorted(maps.Keys(l.next.tenants))
	digests := make([][sha256.Size]byte, len(names))
	for i, name := range names {
		digests[i] = l.next.tenants[name].digest
	}
	var beside []byte
	if l.rules.Beside != nil {
		beside = l.rules.Beside(l.next.faults)
	}
	_ = json.NewEncoder(h).Encode([]any{abi.Minor, names, l.rules.Recording, l.rules.ChainTimeout, l.rules.Memory, beside})
	for _, d := range digests {
		h.Write(d[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
