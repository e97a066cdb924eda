package host

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/report"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/store"
	memstore "github.com/mootchat/moot/host/store/memory"
)

// Config says how a host works. The zero Config is a host in good order.
type Config struct {
	Cache        Cache            // of compiled modules, beside the one in memory; nil: none
	Memory       int64            // bytes that all instances may use together, where rules say nothing; 0: 1 GiB
	Instances    int              // of one generation at most; 0: one for each processor, at least 2
	StartTimeout time.Duration    // for a module's own start, its _initialize and moot_init; 0: 5 s
	ChainTimeout time.Duration    // for all entries of a chain together, about one event, where rules say nothing; 0: 250 ms
	Log          *slog.Logger     // nil: nothing is logged
	Scripts      *script.Compiler // of modules that are scripts; nil: one that has no translator, for Lua alone
	Rooms        Rooms            // nil: modules find the size of rooms unavailable
	Store        store.Store      // of modules; nil: an empty one in memory
	Awake        bool             // modules that were loaded keep an instance, for a host that is asked soon; false: it is made when it is needed
	Fresh        bool             // each event finds a new instance, as a replay needs it
	Alone        bool             // the chain of a room that a message is moved to is not asked
	Account      *Account         // that all its modules are charged to, whatever Memory and Cache say; nil: their own
	Abort        <-chan struct{}  // closed: calls under way and to come end as if their time was up; nil: never

	// Refueled is called in the midst of a call, on its goroutine, each time a guest has used up a slice of its fuel: for
	// measurements. nil: nobody is interested.
	Refueled func()
}

// Rooms is what modules may ask about rooms.
type Rooms interface {
	// Members is how many members the room has on all nodes. Errors:
	// cluster.ErrNoRoom; every other one is told to the module as unavailable. It
	// returns when ctx ends.
	Members(ctx context.Context, room cluster.RoomID) (int, error)
}

// Host runs modules. Its methods may be called concurrently.
type Host struct {
	cfg       Config
	memory    *memory
	codes     *codes
	scratches chan *scratch // of deliveries
	current   atomic.Pointer[Revision]
	tracer    atomic.Pointer[Tracer] // nil: nobody looks
	revisions sync.WaitGroup         // loaded and not yet closed
	counted   registry
	stamped   atomic.Int64 // the last stamp

	loads   sync.Mutex // held by Load: compiling takes a processor
	loading sync.Mutex // held by Swap and Close, and never for long
	closed  bool       // under loading
}

// New makes a host without rules: it allows everything until the first Swap.
func New(cfg Config) (*Host, error) {
	cfg.Memory = cmp.Or(cfg.Memory, 1<<30)
	cfg.Instances = max(2, cmp.Or(cfg.Instances, runtime.GOMAXPROCS(0)))
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, 5*time.Second)
	cfg.ChainTimeout = cmp.Or(cfg.ChainTimeout, 250*time.Millisecond)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Store == nil {
		cfg.Store = memstore.New()
	}
	h := &Host{cfg: cfg, memory: newMemory(cfg.Memory), scratches: make(chan *scratch, 4*runtime.GOMAXPROCS(0))}
	if h.cfg.Scripts == nil {
		h.cfg.Scripts = script.New(script.Config{})
	}
	if a := cfg.Account; a != nil {
		h.codes, h.memory = a.host.codes, a.host.memory
		return h, nil
	}
	h.codes = newCodes(compilations(cfg.Cache, cfg.Log), h.memory)
	return h, nil
}

// Swap puts r into use in place of the rules before. Calls in flight finish
// on those; the last one closes them. r is the host's from then on. A host that is
// closed closes r.
func (h *Host) Swap(r *Revision) {
	h.loading.Lock()
	defer h.loading.Unlock()
	if h.closed {
		r.release()
		return
	}
	if h.cfg.Account == nil { // else both are another's
		for _, t := range r.tenants {
			t.gate.set(t.share)
		}
		h.memory.reserve(r.memory, r.tenants, h.current.Load().all())
	}
	old := h.current.Swap(r)
	old.rest(r)
	h.counted.prune(r)
	if old != nil {
		old.release()
	}
}

// Close lets go of the rules and waits for calls in flight and for every revision
// to be closed. Those that were loaded and neither swapped in nor closed make it
// wait for ever.
func (h *Host) Close() error {
	h.loading.Lock()
	h.closed = true
	if r := h.current.Swap(nil); r != nil {
		r.release()
	}
	h.loading.Unlock()
	h.revisions.Wait()
	if h.cfg.Account != nil {
		return nil // the codes are another's
	}
	h.memory.awake.close()
	h.codes.close()
	return h.codes.cache.Close(context.Background())
}

// Revision is the ID of the rules in use, "" before the first Swap.
func (h *Host) Revision() string {
	if r := h.current.Load(); r != nil {
		return r.id
	}
	return ""
}

// running is the revision in use, to be released; nil: there is none.
func (h *Host) running() *Revision {
	for {
		// A revision that cannot be retained was swapped out just now.
		if r := h.current.Load(); r == nil || r.retain() {
			return r
		}
	}
}

// Store is what modules keep their values in.
func (h *Host) Store() store.Store { return h.cfg.Store }

// Stats is one Stats for each module of each tenant, in the order of the chains.
func (h *Host) Stats(tenants ...string) []report.Module {
	r := h.running()
	if r == nil {
		return nil
	}
	defer r.release()
	return r.stats(tenants)
}

// line writes a log line about a module, unless it has had too many.
func (h *Host) line(level slog.Level, c *counters, message string, args ...any) {
	if h.cfg.Log.Enabled(context.Background(), level) && c.lines.take(now()) {
		h.cfg.Log.Log(context.Background(), level, message, args...)
	}
}

var _ hook.Middleware = (*Host)(nil)
