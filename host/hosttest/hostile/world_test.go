package hostile

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	memstore "github.com/mootchat/moot/host/store/memory"
)

// cache keeps the compiled modules that several tests use.
var cache *diskcache.Cache

func TestMain(m *testing.M) {
	if os.Getenv(asWitness) != "" {
		runWitness()
		return
	}
	dir, err := os.MkdirTemp("", "moot-hostile")
	if err != nil {
		panic(err)
	}
	cache = diskcache.Open(diskcache.Config{Dir: dir})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// world is a host with two tenants: one with a good module, one with hostile ones.
type world struct {
	*host.Host
	t     testing.TB
	log   *logged
	store *memstore.Store
}

// budget is the memory of all instances of a world.
const budget = 64 << 20

// open returns a world without hostile modules.
func open(t testing.TB) *world {
	t.Helper()
	return openWith(t, host.Config{Cache: cache})
}

func openWith(t testing.TB, cfg host.Config) *world {
	t.Helper()
	w := &world{t: t, log: new(logged), store: memstore.New()}
	cfg.Memory, cfg.StartTimeout = cmp.Or(cfg.Memory, budget), cmp.Or(cfg.StartTimeout, 200*time.Millisecond)
	cfg.Rooms, cfg.Store = rooms{}, w.store
	cfg.Log = slog.New(slog.NewTextHandler(w.log, nil))
	var err error
	w.Host, err = host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.must(w.load(nil))
	return w
}

// module is a hostile module and its entry.
type module struct {
	wasm  []byte
	entry host.Entry
}

// load loads the good module and hostile modules beside it, and makes them the current rules.
func (w *world) load(hostile []module) error {
	r, err := w.Load(context.Background(), rules(hostile))
	if err == nil {
		w.Swap(r)
	}
	return err
}

func rules(hostile []module) host.Rules {
	bad := host.Tenant{Name: "hostile"}
	all := host.Rules{Modules: []host.Module{{Name: "good", File: "good.wasm", Wasm: goodGuest()}}}
	for _, m := range hostile {
		m.entry.Breaker.Minimum = 1000 // so that each attack reaches the guest
		if m.entry.Module == "" {
			m.entry.Module = "hostile"
		}
		all.Modules = append(all.Modules, host.Module{Name: m.entry.Module, File: m.entry.Module + ".wasm", Wasm: m.wasm})
		bad.Chain = append(bad.Chain, m.entry)
	}
	all.Tenants = []host.Tenant{{Name: "good", Chain: []host.Entry{{Module: "good", Timeout: time.Second}}}, bad}
	return all
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// patience is a time after which an operation hangs, as opposed to being slow on a busy machine.
const patience = 20 * time.Second

// ask calls a tenant's chain. If a receiver of a say gets nothing, the message was dropped, or the module failed; the
// stats show which.
func (w *world) ask(tenant string, hook hook.Hook) hook.Outcome {
	return w.askAbout(event(tenant, hook))
}

func (w *world) askAbout(ev *hook.Event) hook.Outcome {
	if ev.Hook != hook.Say {
		return w.Decide(context.Background(), ev).Outcome
	}
	d := w.Deliver(context.Background(), ev, members)
	if d.Release != nil {
		defer d.Release()
	}
	for m := range members {
		if d.For != nil && d.For[m] != hook.Nothing || d.For == nil && d.All != hook.Nothing {
			return hook.Allowed
		}
	}
	return hook.Failed
}

// allows calls a tenant's chain until it allows. It has several attempts, because a module may miss a deadline on a
// busy machine.
func (w *world) allows(tenant string, at hook.Hook) {
	w.t.Helper()
	outcome := w.ask(tenant, at)
	for begin := time.Now(); outcome != hook.Allowed && time.Since(begin) < patience; {
		outcome = w.ask(tenant, at)
	}
	if outcome != hook.Allowed {
		w.t.Errorf("%v: the outcome is %d, the failures are %v", at, outcome, w.failures())
	}
}

// goodAnswers checks that the good module answers.
func (w *world) goodAnswers() {
	w.t.Helper()
	var v hook.Verdict
	for begin := time.Now(); time.Since(begin) < patience; {
		ev := event("good", hook.OnSayReceive)
		if v = w.Decide(context.Background(), ev); v.Outcome == hook.Allowed && string(ev.Extra) == `{"good":1}` {
			return
		}
	}
	w.t.Errorf("the good module gave %+v", v)
}

// end unloads all modules, checks that all memory of the guests is free, and closes the host.
func (w *world) end() {
	w.t.Helper()
	r, err := w.Load(context.Background(), host.Rules{})
	w.must(err)
	w.Swap(r)
	begin := time.Now()
	for err = w.takeAll(); err != nil && time.Since(begin) < patience; {
		err = w.takeAll()
	}
	if err != nil {
		w.t.Errorf("the guests' memory is not free again: %v", err)
	}
	w.must(w.Close())
	if closing := time.Since(begin); closing > patience {
		w.t.Errorf("closing took %v", closing)
	}
}

// takeAll loads a module that needs all the memory.
func (w *world) takeAll() error {
	all := guestOf(nil, func(g *guest) asm.Code {
		g.Section(asm.Memories, append([]byte{1, 0}, asm.Uint(budget>>16)...))
		return answers(abi.Allow)
	})
	r, err := w.Load(context.Background(), host.Rules{
		Modules: []host.Module{{Name: "all", Wasm: all}},
		Tenants: []host.Tenant{{Name: "t", Chain: []host.Entry{{Module: "all", Memory: 64 << 20}}}},
	})
	if err == nil {
		r.Close()
	}
	return err
}

func event(tenant string, at hook.Hook) *hook.Event {
	ev := &hook.Event{Hook: at, Tenant: tenant, Room: "r", From: "c1", Context: "user", SentAt: 1000, Sequence: 1,
		Message: wire.Message{Text: "hello"}, Action: "act"}
	if at != hook.Say {
		ev.Conn = member{}.Profile()
	}
	return ev
}

// member is a connection in a room.
type member struct{}

var (
	profile = &hook.Profile{Connection: hook.Connection{ID: "c1", User: "alice", Transport: "websocket", RemoteIP: "10.0.0.1", Locale: "en",
		Properties: []hook.NamedProperty{property("hello"), property("secret")}}}
	members = []hook.Member{member{}, member{}, member{}}
)

func property(name string) hook.NamedProperty {
	return hook.NamedProperty{Property: hook.Property{Name: name, Value: json.RawMessage(`"value"`)}}
}

// rooms is the rooms of the tenant "hostile": only hello, with three members.
type rooms struct{}

func (rooms) Members(_ context.Context, room cluster.RoomID) (int, error) {
	if room != (cluster.RoomID{Tenant: "hostile", Room: hello}) {
		return 0, cluster.ErrNoRoom
	}
	return 3, nil
}

func (member) Profile() *hook.Profile { return profile }
func (member) JoinedAt() int64        { return 1 }

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

// has reports whether a line contains all the words.
func (l *logged) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
line:
	for line := range strings.Lines(l.lines.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue line
			}
		}
		return true
	}
	return false
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}
