// Package trial asks one module about single events, as a server would, with no
// server around it: what moot module run, test and bench, the console and moot
// replay have in common.
//
//	m, err := trial.Load(ctx, trial.Config{Wasm: wasm})
//	...
//	defer m.Close()
//	hello := "hello"
//	answer, cost, err := m.Ask(ctx, &trial.Event{Hook: "onSayReceive", Room: "lobby", Message: &hello})
package trial

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/store"
	memstore "github.com/mootchat/moot/host/store/memory"
)

// Config says how a module is tried. Only Wasm must be there.
type Config struct {
	Name     string           // in messages; "": module
	File     string           // in messages
	Script   string           // the name of a script's file; "": it is a WebAssembly module
	Wasm     []byte           // the binary, or the script's text
	Tenant   string           // "": default
	Settings json.RawMessage  // the entry's config
	Grants   []string         // nil: all that the module asks for
	Timeout  time.Duration    // 0: as in config.yaml
	Memory   int64            // 0: as in config.yaml
	Scripts  *script.Compiler // nil: Lua alone
	Cache    host.Cache       // of compiled modules; nil: none
	Account  *host.Account    // that pays for it, and has compiled it; nil: nobody
	Abort    <-chan struct{}  // closed: calls end as if their time was up; nil: never

	Rooms map[string]int    // that there are, and their members
	KV    map[string]string // what the module finds in its store
	Now   time.Time         // what the clock says, which stands still; zero: the time that it is
	Fresh bool              // each event finds a new instance
}

// Module is a loaded module, with a store of its own. It is for one goroutine at a
// time.
type Module struct {
	Inspection *host.Inspection
	cfg        Config
	host       *host.Host
	store      *memstore.Store

	mu      sync.Mutex
	offset  time.Duration
	asking  *hook.Event
	replay  *replay
	traces  []*host.Trace
	problem string // the last line of the log
}

// Load reads, checks and starts a module. The error says all that is wrong with it.
func Load(ctx context.Context, cfg Config) (*Module, error) {
	cfg.Name, cfg.Tenant = cmp.Or(cfg.Name, "module"), cmp.Or(cfg.Tenant, "default")
	m := &Module{cfg: cfg}
	m.store = memstore.NewAt(m.now)
	var err error
	m.host, err = host.New(host.Config{Cache: cfg.Cache, Scripts: cfg.Scripts, Account: cfg.Account, Abort: cfg.Abort, Log: slog.New(problems{m}), Store: m.store, Rooms: rooms(cfg.Rooms), Awake: true, Fresh: cfg.Fresh, Alone: true})
	if err != nil {
		return nil, err
	}
	if err := m.load(ctx); err != nil {
		return nil, errors.Join(err, m.host.Close())
	}
	return m, nil
}

func (m *Module) load(ctx context.Context) (err error) {
	if m.Inspection, err = m.host.Inspect(ctx, m.module(), m.cfg.Settings, m.cfg.Memory); err != nil {
		return err
	}
	if len(m.Inspection.Problems) > 0 {
		return errors.Join(m.Inspection.Problems...)
	}
	grants := m.cfg.Grants
	if grants == nil {
		grants = m.Inspection.Grants
	}
	for key, value := range m.cfg.KV {
		if _, err := m.store.Set(ctx, store.Key{Tenant: m.cfg.Tenant, Module: m.cfg.Name, Name: key}, []byte(value), 0); err != nil {
			return fmt.Errorf("kv: %s: %w", key, err)
		}
	}
	m.host.Trace(m)
	r, err := m.host.Load(ctx, host.Rules{
		Modules: []host.Module{m.module()},
		Tenants: []host.Tenant{{Name: m.cfg.Tenant, CPU: 1, Chain: []host.Entry{{
			Module: m.cfg.Name, Grants: grants, Config: m.cfg.Settings, Timeout: m.cfg.Timeout, Memory: m.cfg.Memory,
			Breaker: host.Breaker{Minimum: math.MaxInt}, // it never opens
		}}}},
	})
	var all host.Problems
	if errors.As(err, &all) {
		errs := make([]error, len(all))
		for i := range all {
			errs[i] = all[i].Err
		}
		return errors.Join(errs...)
	}
	if err != nil {
		return err
	}
	m.host.Swap(r)
	return nil
}

func (m *Module) module() host.Module {
	return host.Module{Name: m.cfg.Name, File: cmp.Or(m.cfg.File, "it"), Script: m.cfg.Script, Wasm: m.cfg.Wasm}
}

// Close ends the module's instances.
func (m *Module) Close() error { return m.host.Close() }

// Host is what runs the module: for measuring, where nothing
// may be traced. [host.Host.Trace] with nil ends tracing, and then nothing can be asked.
func (m *Module) Host() *host.Host { return m.host }

// Advance lets time go by, for the module's clock, its store and its buckets.
func (m *Module) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset += d
}

func (m *Module) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Now.IsZero() {
		return time.Now().Add(m.offset)
	}
	return m.cfg.Now.Add(m.offset)
}

// Stored is the value of a key in the module's store.
func (m *Module) Stored(key string) (value string, ok bool) {
	b := m.store.Cached(store.Key{Tenant: m.cfg.Tenant, Module: m.cfg.Name, Name: key})
	return string(b), b != nil
}

// Ask asks the module about an event. The error says what is wrong with the event;
// what goes wrong with the module is in the answer.
func (m *Module) Ask(ctx context.Context, e *Event) (Answer, Cost, error) {
	return m.ask(ctx, e, nil)
}

func (m *Module) ask(ctx context.Context, e *Event, r *replay) (Answer, Cost, error) {
	ev, err := e.event(m.cfg.Tenant)
	if err != nil {
		return Answer{}, Cost{}, err
	}
	if r == nil && !m.cfg.Now.IsZero() {
		r = &replay{live: true, clock: m.now().UnixMilli()}
	}
	if !m.host.Asks(ev.Hook, ev.Tenant, ev.Room) {
		return Answer{}, Cost{}, fmt.Errorf("the module has no hook %s: it is not asked", e.Hook)
	}
	if ev.Hook == hook.Action && !m.knows(ev.Action) {
		return Answer{}, Cost{}, fmt.Errorf("the module has no action %q", ev.Action)
	}
	m.expect(ev, r)
	defer m.expect(nil, nil)
	if ev.Hook == hook.Say {
		answer, cost := m.deliver(ctx, ev, e.members())
		return answer, cost, nil
	}
	began := time.Now()
	v := m.host.Decide(ctx, ev)
	if len(m.traces) == 0 {
		return m.unasked(v.Outcome), Cost{Time: time.Since(began)}, nil
	}
	return AnswerOf(m.traces[0]), costOf(m.traces), nil
}

func (m *Module) knows(action string) bool {
	_, ok := m.host.Actions(m.cfg.Tenant)[action]
	return ok
}

func (m *Module) deliver(ctx context.Context, ev *hook.Event, members []hook.Member) (Answer, Cost) {
	asked := *ev
	d := m.host.Deliver(ctx, ev, members)
	receivers := delivered(&asked, &d, len(members))
	if d.Release != nil {
		d.Release()
	}
	if len(m.traces) == 0 {
		return m.unasked(hook.Allowed), Cost{}
	}
	a := AnswerOf(m.traces[0])
	for _, t := range m.traces[1:] {
		if b := AnswerOf(t); b.Verdict == "failed" {
			a = b
		} else if a.Verdict != b.Verdict {
			a.Verdict = "perReceiver"
		}
	}
	a.Receivers = receivers
	return a, costOf(m.traces)
}

// unasked is the answer when the module was not reached.
func (m *Module) unasked(o hook.Outcome) Answer {
	if o == hook.Failed {
		return Answer{Verdict: "failed", Kind: "pool", Failure: m.problem}
	}
	return Answer{Verdict: "allow"}
}

func costOf(traces []*host.Trace) (c Cost) {
	for _, t := range traces {
		c.Time += t.Time
		c.Fuel += t.Fuel
		c.Memory = t.Memory
		c.Calls++
	}
	return c
}

// expect prepares for the calls about ev.
func (m *Module) expect(ev *hook.Event, r *replay) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asking, m.replay = ev, r
	if ev != nil {
		m.traces = nil
	}
}

// Begin implements [host.Tracer].
func (m *Module) Begin(_ string, ev *hook.Event) *host.Trace {
	if ev == nil {
		if !m.cfg.Fresh && m.cfg.Now.IsZero() {
			return nil
		}
		start := newReplay(nil, m.start())
		return &host.Trace{Replay: start.answer}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := new(host.Trace)
	if m.replay != nil {
		t.Replay = m.replay.answer
	}
	return t
}

// start is the time at which instances start.
func (m *Module) start() int64 {
	if m.cfg.Now.IsZero() {
		return 1_700_000_000_000
	}
	return m.cfg.Now.UnixMilli()
}

// End implements [host.Tracer].
func (m *Module) End(t *host.Trace) {
	if t.Event == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.traces = append(m.traces, t)
}

// rooms answers what modules ask about rooms.
type rooms map[string]int

func (r rooms) Members(_ context.Context, id cluster.RoomID) (int, error) {
	n, ok := r[id.Room]
	if !ok {
		return 0, cluster.ErrNoRoom
	}
	return n, nil
}

// problems is a log of which the last line is kept.
type problems struct{ m *Module }

func (p problems) Enabled(context.Context, slog.Level) bool { return true }
func (p problems) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p problems) WithGroup(string) slog.Handler            { return p }

func (p problems) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			text = a.Value.String()
		}
		return true
	})
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.problem = text
	return nil
}
