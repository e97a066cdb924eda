package host

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/report"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/store"
	memstore "github.com/mootchat/moot/host/store/memory"
)

// Config configures a host. The zero value is ready to use.
type Config struct {
	Cache        Cache            // for compiled modules, besides the one in memory; nil: none
	Memory       int64            // limit for compiled modules and instances together, in bytes, unless the rules set it; 0: [DefaultMemory]
	Instances    int              // limit for one generation; 0: one per processor, at least 2
	StartTimeout time.Duration    // for a module's start function, _initialize and moot_init, without the time in which others use the processor; 0: 5 s
	ChainTimeout time.Duration    // for all entries of a chain together, for one event, unless the rules set it; 0: 250 ms
	Log          *slog.Logger     // nil: nothing is logged
	Scripts      *script.Compiler // for modules that are scripts; nil: one without a translator, for Lua only
	Rooms        Rooms            // nil: the size of rooms is unavailable to modules
	Store        store.Store      // of modules; nil: an empty one in memory
	Awake        bool             // loaded modules keep an instance, for a host that is used at once; false: instances are made on demand
	Fresh        bool             // each event has a new instance, for replays
	Alone        bool             // a message that is moved to another room does not run the chain of that room
	VerifyResets bool             // each instance is marked before a reset and compared with its image afterwards; a difference is logged as an error; for tests
	Account      *Account         // account that pays for all modules, in place of Memory and Cache; nil: one of its own
	Abort        <-chan struct{}  // when closed, calls end as if their time were up; nil: never

	// Asking is called with the name of an ask before the external service is asked. It returns the context of the question, and a
	// function that is called with the result; for traces. nil: no call.
	Asking func(ctx context.Context, tenant, name string) (asking context.Context, end func(ask.Answer, error))

	// Refueled is called during a call, on its goroutine, each time a guest has used up a slice of fuel; for measurements.
	// nil: no call.
	Refueled func()
}

// Rooms answers questions of modules about rooms.
type Rooms interface {
	// Members returns the number of members of the room on all nodes. The error is cluster.ErrNoRoom, or another one,
	// which the module receives as "unavailable". Members returns when ctx ends.
	Members(ctx context.Context, room cluster.RoomID) (int, error)
}

// Host runs modules. Its methods are safe for concurrent use.
type Host struct {
	cfg       Config
	memory    *memory
	codes     *codes
	scratches chan *scratch // of deliveries
	current   atomic.Pointer[Revision]
	tracer    atomic.Pointer[Tracer]   // nil: none
	observer  atomic.Pointer[Observer] // nil: none
	revisions sync.WaitGroup           // loaded and not yet closed
	counted   registry
	accepted  *accepted // nil: starts are not remembered
	failed    failedStarts
	build     func() string
	usage     usage
	stamped   atomic.Int64 // the last stamp

	progress progress // of the load under way

	ending context.Context // ends with Close: shadows ask until then
	end    context.CancelFunc

	lateTime, ownerCompileTime time.Duration // see the constants of these names

	loads   sync.Mutex // held by Load: one load compiles at a time
	loading sync.Mutex // held by Swap and Close, and never for long
	closed  bool       // guarded by loading
}

// New returns a host without rules. It allows everything until the first Swap.
func New(cfg Config) (*Host, error) {
	if cfg.Memory == 0 && cfg.Account == nil {
		cfg.Memory = DefaultMemory()
	}
	cfg.Instances = max(2, cmp.Or(cfg.Instances, runtime.GOMAXPROCS(0)))
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, 5*time.Second)
	cfg.ChainTimeout = cmp.Or(cfg.ChainTimeout, 250*time.Millisecond)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Store == nil {
		cfg.Store = memstore.New()
	}
	h := &Host{cfg: cfg, lateTime: lateTime, ownerCompileTime: ownerCompileTime, memory: newMemory(cfg.Memory), scratches: make(chan *scratch, 4*runtime.GOMAXPROCS(0))}
	h.ending, h.end = context.WithCancel(context.Background())
	h.build = sync.OnceValue(thisBuild)
	h.accepted = newAccepted(h)
	if h.cfg.Scripts == nil {
		h.cfg.Scripts = script.New(script.Config{})
	}
	if a := cfg.Account; a != nil {
		h.codes, h.memory = a.host.codes, a.host.memory
		return h, nil
	}
	h.codes = newCodes(Compilations(cfg.Cache, cfg.Log), h.memory)
	return h, nil
}

// Swap puts r into use in place of the current rules. Calls in flight finish with those; the last one closes them. The
// host owns r afterwards. A closed host closes r.
func (h *Host) Swap(r *Revision) {
	h.loading.Lock()
	defer h.loading.Unlock()
	if h.closed {
		r.release()
		return
	}
	if h.cfg.Account == nil { // otherwise they belong to another host
		for _, t := range r.tenants {
			t.gate.set(t.share)
		}
		h.memory.reserve(r.memory, r.tenants, h.current.Load().all())
		for h.memory.over.Load() && h.memory.awake.spares.drop() {
		}
	}
	old := h.current.Swap(r)
	old.retire(r)
	h.counted.prune(r)
	if old != nil {
		old.release()
	}
}

// Close closes the rules in use, and waits for calls in flight and until every revision is closed. It waits forever for
// a revision that was loaded and neither swapped in nor closed.
func (h *Host) Close() error {
	h.end()
	h.loading.Lock()
	h.closed = true
	if r := h.current.Swap(nil); r != nil {
		r.release()
	}
	h.loading.Unlock()
	h.revisions.Wait()
	h.accepted.flush()
	if h.cfg.Account != nil {
		return nil // the codes belong to another host
	}
	h.memory.awake.close()
	h.codes.close()
	return h.codes.cache.Close(context.Background())
}

// Revision returns the ID of the rules in use; "" before the first Swap.
func (h *Host) Revision() string {
	if r := h.current.Load(); r != nil {
		return r.id
	}
	return ""
}

// running returns the revision in use; nil if there is none. The caller releases it.
func (h *Host) running() *Revision {
	for {
		// retain fails if another goroutine has swapped the revision out since: load again.
		if r := h.current.Load(); r == nil || r.retain() {
			return r
		}
	}
}

// Store returns the store of the modules' data.
func (h *Host) Store() store.Store { return h.cfg.Store }

// Stats returns one Stats for each module of each tenant, in the order of the chains.
func (h *Host) Stats(tenants ...string) []report.Module {
	r := h.running()
	if r == nil {
		return nil
	}
	defer r.release()
	return r.stats(tenants)
}

// line writes a log line about a module, within the module's rate of lines.
func (h *Host) line(level slog.Level, c *counters, message string, args ...any) {
	if h.cfg.Log.Enabled(context.Background(), level) && c.lines.take(now()) {
		h.cfg.Log.Log(context.Background(), level, message, args...)
	}
}

var _ hook.Middleware = (*Host)(nil)
