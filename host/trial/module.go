// Package trial calls one module with single events, as a server does, without a server. moot module run, test and
// bench, the console and moot replay use it.
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

// Config is the configuration of a Module. Only Wasm is required.
type Config struct {
	Name      string          // in messages; "": "module"
	File      string          // in messages
	Script    string          // name of the file of a script; "": a WebAssembly module
	Wasm      []byte          // the binary, or the text of the script
	Tenant    string          // "": "default"
	Settings  json.RawMessage // config of the entry
	Grants    []string        // nil: all that the module requests
	Timeout   time.Duration   // of a call; 0: as in config.yaml
	Memory    int64           // 0: as in config.yaml
	Isolation host.Isolation
	Scripts   *script.Compiler // nil: only Lua
	Cache     host.Cache       // of compiled modules; nil: none
	Account   *host.Account    // to charge, whose host has compiled the module; nil: none
	Abort     <-chan struct{}  // when it is closed, calls end like those past their deadline; nil: never

	Rooms map[string]int    // rooms that exist, and their numbers of members
	KV    map[string]string // content of the module's storage
	Now   time.Time         // time of the clock, which Advance moves; zero: the real time
	Fresh bool              // each event gets a new instance
}

// chainTimeout is the least time of the chain, which has one entry: that of config.yaml.
const chainTimeout = 250 * time.Millisecond

// Module is a loaded module with storage of its own. It must not be used concurrently.
type Module struct {
	Inspection *host.Inspection
	cfg        Config
	host       *host.Host
	store      *memstore.Store

	mu      sync.Mutex
	offset  time.Duration
	asking  *hook.Event
	replay  *replay
	answers map[string]Reply
	traces  []*host.Trace
	problem string // last line of the log
}

// Load reads, checks and starts a module. The error has all errors of the module.
func Load(ctx context.Context, cfg Config) (*Module, error) {
	cfg.Name, cfg.Tenant = cmp.Or(cfg.Name, "module"), cmp.Or(cfg.Tenant, "default")
	m := &Module{cfg: cfg}
	m.store = memstore.NewAt(m.now)
	var err error
	m.host, err = host.New(host.Config{Cache: cfg.Cache, Scripts: cfg.Scripts, Account: cfg.Account, Abort: cfg.Abort, Log: slog.New(problems{m}), Store: m.store, Rooms: rooms(cfg.Rooms), ChainTimeout: max(cfg.Timeout, chainTimeout), Awake: true, Fresh: cfg.Fresh, Alone: true})
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
	asks := make(map[string]host.Ask)
	for _, name := range m.Inspection.Manifest.Asks {
		asks[name] = host.Ask{Service: service{m, name}}
	}
	m.host.Trace(m)
	r, err := m.host.Load(ctx, host.Rules{
		Modules: []host.Module{m.module()},
		Tenants: []host.Tenant{{Name: m.cfg.Tenant, CPU: 1, Chain: []host.Entry{{
			Module: m.cfg.Name, Grants: grants, Config: m.cfg.Settings, Timeout: m.cfg.Timeout, Memory: m.cfg.Memory, Isolation: m.cfg.Isolation, Asks: asks,
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

// Close ends the instances of the module.
func (m *Module) Close() error { return m.host.Close() }

// Host returns the host of the module, for measurements without traces. After [host.Host.Trace] with nil, Ask must not
// be called.
func (m *Module) Host() *host.Host { return m.host }

// Advance advances the time of the module: its clock, its storage and its buckets.
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

// Stored returns the value of a key in the module's storage.
func (m *Module) Stored(key string) (value string, ok bool) {
	b := m.store.Cached(store.Key{Tenant: m.cfg.Tenant, Module: m.cfg.Name, Name: key})
	return string(b), b != nil
}

// Ask calls the module with an event. The error is about the event; a failure of the module is in the answer.
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
		return Answer{}, Cost{}, fmt.Errorf("the module has no hook %s: it is not called", e.Hook)
	}
	if ev.Hook == hook.Action && !m.hasAction(ev.Action) {
		return Answer{}, Cost{}, fmt.Errorf("the module has no action %q", ev.Action)
	}
	m.expect(ev, r, e.Answers)
	defer m.expect(nil, nil, nil)
	if ev.Hook == hook.Say {
		answer, cost := m.deliver(ctx, ev, e.members())
		return answer, cost, nil
	}
	began := time.Now()
	v := m.host.Decide(ctx, ev)
	if len(m.traces) == 0 {
		return m.notCalled(v.Outcome), Cost{Time: time.Since(began)}, nil
	}
	return AnswerOf(m.traces[0]), costOf(m.traces), nil
}

func (m *Module) hasAction(action string) bool {
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
		return m.notCalled(hook.Allowed), Cost{}
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

// notCalled returns the answer for an event that did not reach the module.
func (m *Module) notCalled(o hook.Outcome) Answer {
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
		c.Calls += 1 + t.Answered()
	}
	return c
}

// expect sets the event, the replay and the answers of services for the traces that follow. A nil event ends this.
func (m *Module) expect(ev *hook.Event, r *replay, answers map[string]Reply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asking, m.replay, m.answers = ev, r, answers
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

// start returns the time of the clock when an instance starts, in ms since 1970.
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

// rooms answers questions of modules about rooms.
type rooms map[string]int

func (r rooms) Members(_ context.Context, id cluster.RoomID) (int, error) {
	n, ok := r[id.Room]
	if !ok {
		return 0, cluster.ErrNoRoom
	}
	return n, nil
}

// problems is a log that keeps its last line.
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
