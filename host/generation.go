package host

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"

	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/store"
)

// binding is what entries must agree in to share a generation.
type binding struct {
	module string // by name: its key-value namespace and counters are its own
	digest [32]byte
	tenant string
	memory int64
	config string
	grants string
	shadow bool
}

// generation is a module as one tenant runs it: the code, which all tenants share, with this one's config, grants and
// limits, and a pool of instances. Only the pool and the size of batches change.
type generation struct {
	declared
	host         *Host
	binding      binding
	name         string // module@sha256, for what no entry asked for
	given        grants
	capabilities uint8 // the same, as bits: host functions look at each call
	config       []byte
	settings     map[string]json.RawMessage // the config's top level
	program      *script.Program            // what the module, a runner, runs; nil: the module is itself
	code         *code
	pool         *pool
	gate         *gate
	slice        atomic.Int64 // fuel of the next slice, whichever instance gets it; 0: none has had one
	memory       *budget
	store        store.Store
	counters     *counters
	batches      batches
	users        atomic.Int64 // revisions
}

// compile has the code compiled, if no other generation has, and makes the pool.
func (g *generation) compile(ctx context.Context) error {
	defer g.host.charge(now())
	if err := g.code.compile(ctx); err != nil {
		return err
	}
	g.pool = newPool(g.host.cfg.Instances, g.newInstance, g.lost, g.memory)
	return nil
}

// lost reports that no new instance could be made.
func (g *generation) lost(f *failure) {
	g.counters.errors[f.kind].Add(1)
	g.host.line(slog.LevelError, g.counters, "no new instance", "module", g.name, "tenant", g.binding.tenant,
		"kind", f.kind.String(), "error", brief(f.err))
}

// retain counts one more revision. It is called while one holds the generation.
func (g *generation) retain() *generation {
	g.users.Add(1)
	return g
}

// release closes the generation when the last revision lets go of it. No call is
// in flight then: calls hold their revision.
func (g *generation) release() {
	if g.users.Add(-1) == 0 {
		g.close()
	}
}

// close closes the instances and gives up the code.
func (g *generation) close() {
	if g.pool != nil {
		g.pool.close()
	}
	g.code.release()
}
