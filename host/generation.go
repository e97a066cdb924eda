package host

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/store"
)

// binding has the properties that entries must share to use the same generation.
type binding struct {
	module string // its name: the key-value namespace and the counters belong to it
	digest [32]byte
	tenant string
	memory int64
	config string
	grants string
	shadow bool
	fresh  bool // each call has an instance that was not called before
}

// generation is a module of one tenant: the code, which all tenants share, the config, grants and limits of the
// tenant's entries, and a pool of instances. Only the pool and the size of batches change.
type generation struct {
	declared
	host         *Host
	binding      binding
	name         string // module@sha256, for log lines without an entry
	given        grants
	capabilities uint16 // the grants as bits: host functions check them at each call
	config       []byte
	settings     map[string]json.RawMessage // the config's top level
	program      *script.Program            // the script, if the module is a runner; nil: it is not
	code         *code
	images       *images // of the code, or its own if the starts of its instances are traced
	pool         *pool
	gate         *gate
	slice        atomic.Int64 // fuel of the next slice of any instance; 0: no instance has run
	memory       *budget
	store        store.Store
	counters     *counters
	batches      batches
	users        atomic.Int64 // number of revisions that use it
	charged      int64        // bytes of memory that declared uses
	diff         *keptDiff    // guarded by codes.diffs; nil: none

	startLimit atomic.Int64 // ns, while a load starts it: the limit of the round; 0: Config.StartTimeout
}

// compile compiles the code, unless another generation has done so, and creates the pool.
func (g *generation) compile(ctx context.Context) error {
	defer g.host.charge(now())
	if err := g.code.compile(ctx); err != nil {
		return err
	}
	g.images = &g.code.images
	if g.host.trace(g.name, nil) != nil { // a replay answers what an instance asks when it starts
		g.images = &images{code: g.code, private: true}
	}
	if m := g.code.module; m.Unsaved != nil {
		g.images.refuse(strings.Join(m.Unsaved, ", "))
	}
	g.pool = newPool(g.host.cfg.Instances, g.startInTurn, g.noInstance, g.memory)
	g.pool.wakes, g.pool.awakePools = &g.host.usage.wakes, &g.code.awakePools
	return nil
}

// noInstance counts and logs that no new instance could be made.
func (g *generation) noInstance(f *failure) {
	g.counters.errors[f.kind].Add(1)
	g.host.line(slog.LevelError, g.counters, "no new instance", "module", g.name, "tenant", g.binding.tenant,
		"kind", f.kind.String(), "error", brief(f.err))
}

// retain adds a revision as a user. The caller must be a user already.
func (g *generation) retain() *generation {
	g.users.Add(1)
	return g
}

// release removes a revision as a user. The last one closes the generation; no call is in flight then, because calls
// retain their revision.
func (g *generation) release() {
	if g.users.Add(-1) == 0 {
		g.close()
	}
}

// close closes the instances and releases the code.
func (g *generation) close() {
	if g.pool != nil {
		g.pool.close()
		g.host.codes.diffs.forget(g)
		if g.images.private {
			g.images.drop()
		}
	}
	if g.charged > 0 {
		g.memory.give(g.charged)
	}
	g.code.release()
}

// freeManifest is the size of a decoded manifest that is not charged: ordinary ones are smaller.
const freeManifest = 4 << 10

// charge takes the memory of the manifest from the tenant's budget, until close.
func (g *generation) charge() error {
	n := g.size - freeManifest
	if n <= 0 {
		return nil
	}
	if err := g.memory.claim(n, true, nil); err != nil {
		return fmt.Errorf("its manifest is large: %w", err)
	}
	g.charged = n
	return nil
}
