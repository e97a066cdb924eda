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
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/script"
)

// loader builds one revision. Loads run one at a time: a compilation may take a processor for a
// second.
type loader struct {
	host      *Host
	ctx       context.Context
	old       *Revision // in use; may be nil
	next      *Revision
	problems  Problems
	modules   map[string]*source      // by name; nil: its error is in problems already
	scripts   []*source               // read and not compiled yet
	kept      map[binding]*generation // of old
	bound     map[binding]*generation // of next
	awake     map[countersKey]bool    // modules of tenants that have instances now
	starting  []*generation           // new generations of next
	failed    map[*generation][]error // of starting
	codes     []*code                 // of the sources, to be released
	configs   configChecks
	recording Recording
	tenants   int // of the rules
}

// source is a module whose file was read.
type source struct {
	Module
	digest  [sha256.Size]byte // of the file
	wasm    []byte            // the binary; for a script, that of its runner
	program *script.Program   // nil: it is not a script
	code    *code             // nil: no entry needs it yet
}

// binary returns the digest of the binary. It is the same for all scripts of one language.
func (s *source) binary() [sha256.Size]byte {
	if s.program == nil {
		return s.digest
	}
	return s.program.Runner.Digest
}

// Load reads, checks, compiles and starts all modules of the rules beside those in use, which it
// does not change. Generations that are the same in the revision in use are kept. The error is
// [Problems] and has all errors of the rules. The caller passes the revision to Swap or closes it.
func (h *Host) Load(ctx context.Context, rules Rules) (*Revision, error) {
	h.loads.Lock()
	defer h.loads.Unlock()
	if err := h.begin(); err != nil {
		return nil, err
	}
	next := &Revision{host: h, tenants: make(map[string]*tenant)}
	next.users.Store(1)
	l := &loader{host: h, ctx: ctx, next: next, modules: make(map[string]*source), kept: make(map[binding]*generation), bound: make(map[binding]*generation), awake: make(map[countersKey]bool), failed: make(map[*generation][]error), recording: rules.Recording, tenants: len(rules.Tenants)}
	defer l.releaseCodes()
	if l.old = h.running(); l.old != nil {
		defer l.old.release()
		for _, g := range l.old.generations {
			l.kept[g.binding] = g
			if g.pool.alive.Load() > 0 {
				l.awake[g.counters.countersKey] = true
			}
		}
	}
	for _, m := range rules.Modules {
		l.read(m)
	}
	l.compileScripts()
	next.id = l.digest(rules)
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
	if ctx.Err() == nil {
		for _, p := range placings {
			l.chains(p)
		}
	}
	if err := ctx.Err(); err != nil {
		l.problems.add("", "", "loading was given up: %w", err)
	}
	if len(l.problems) > 0 {
		next.Close()
		return nil, l.problems
	}
	return next, nil
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
	l.modules[m.Name] = nil
	defer l.host.charge(now())
	wasm, err := m.Binary()
	if err != nil {
		l.problems.add(m.Where, m.Name, "%w", err)
		return
	}
	s := &source{Module: m, wasm: wasm, digest: sha256.Sum256(wasm)}
	switch have := hex.EncodeToString(s.digest[:]); {
	case m.SHA256 != "" && !strings.EqualFold(m.SHA256, have):
		l.problems.add(m.Where, m.Name, "%s has the sha256 %s, not %s: if the change is meant, put the new one here", m.File, have, m.SHA256)
	case m.Script != "":
		l.scripts = append(l.scripts, s)
	case !bytes.HasPrefix(wasm, []byte("\x00asm")):
		// The content is not shown: it may be a secret that was named by mistake.
		l.problems.add(m.Where, m.Name, "%s is not a WebAssembly module: it does not begin with %q", m.File, "\x00asm")
	default:
		l.modules[m.Name] = s
	}
}

// maxDear is the number of scripts that are too expensive to translate after which a load stops
// translating.
const maxDear = 4

var errDear = errors.New("not translated, as others of this load take too much: correct those first")

// compileScripts compiles the scripts that were read, concurrently. After maxDear scripts that are
// too expensive to translate it stops, so that a load of many hostile scripts costs no more than a
// load of a few.
func (l *loader) compileScripts() {
	errs := make([]error, len(l.scripts))
	ctx, stop := context.WithCancelCause(l.ctx)
	defer stop(nil)
	var dear atomic.Int32
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range l.scripts {
		all.Go(func() error {
			if errs[i] = context.Cause(ctx); errs[i] != nil {
				return nil
			}
			s.program, errs[i] = l.host.cfg.Scripts.Compile(ctx, s.Script, s.wasm)
			if errors.Is(errs[i], script.ErrTooExpensive) && dear.Add(1) == maxDear {
				stop(errDear)
			}
			return nil
		})
	}
	_ = all.Wait() // the errors are in errs
	left := 0
	for i, s := range l.scripts {
		if errors.Is(errs[i], errDear) {
			left++
			continue
		}
		if errs[i] != nil {
			l.problems.add(s.Where, s.Name, "%w", errs[i])
			continue
		}
		s.wasm = s.program.Runner.Wasm
		l.modules[s.Name] = s
	}
	if left > 0 {
		l.problems.add("", "", "%d scripts: %w", left, errDear)
	}
	l.scripts = nil
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

// digest returns the digest of all data that affects decisions of the chains.
func (l *loader) digest(rules Rules) string {
	h := sha256.New()
	digests := make(map[string]string)
	for name, s := range l.modules {
		if s != nil {
			digests[name] = hex.EncodeToString(s.digest[:])
		}
	}
	tenants := slices.Clone(rules.Tenants)
	slices.SortStableFunc(tenants, func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) })
	for i := range tenants {
		tenants[i].Chain = slices.Clone(tenants[i].Chain)
		for k := range tenants[i].Chain {
			e := tenants[i].Chain[k].withDefaults()
			e.Where = "" // an entry that moves to another line is unchanged
			if !json.Valid(e.Config) {
				e.Config = nil // the error is reported later
			}
			if e.Shown != nil { // with a digest of all of Config, a short secret could be guessed from the ID and the rest of the rules
				e.Config = nil
			}
			tenants[i].Chain[k] = e
		}
	}
	// Encoding cannot fail: these are plain values.
	_ = json.NewEncoder(h).Encode([]any{abi.Minor, digests, tenants, rules.Recording, rules.ChainTimeout, rules.Memory, rules.Beside})
	return hex.EncodeToString(h.Sum(nil))
}
