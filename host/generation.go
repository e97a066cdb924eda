package host

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"github.com/mootchat/moot/host/meter"
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

// generation is a module as one tenant runs it: compiled, linked to what it was
// granted, with its config. Only the pool and the size of batches
// change.
type generation struct {
	declared
	host     *Host
	binding  binding
	name     string // module@sha256, for what no entry asked for
	given    grants
	config   []byte
	settings map[string]json.RawMessage // the config's top level
	module   *meter.Module              // without the binary
	program  *script.Program            // what the module, a runner, runs; nil: the module is itself
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	pool     *pool
	gate     *gate
	slice    atomic.Int64 // fuel of the next slice, whichever instance gets it; 0: none has had one
	memory   *budget
	store    store.Store
	counters *counters
	batches  batches
	users    atomic.Int64 // revisions
}

// compile makes the runtime and has the module compiled in it. wasm is what meter
// made of the module.
func (g *generation) compile(ctx context.Context, wasm []byte) (err error) {
	defer g.host.charge(now())
	defer func() {
		if r := recover(); r != nil { // a bug in the compiler must not end the process
			err = fmt.Errorf("compile: %v", r)
		}
		if err != nil && g.runtime != nil {
			_ = g.runtime.Close(ctx)
		}
	}()
	g.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(g.host.cache).
		WithMemoryLimitPages(g.module.Memory.Max).
		WithDebugInfoEnabled(false))
	if err := link(ctx, g.runtime, g.module.Imports, g.given); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	if g.compiled, err = g.runtime.CompileModule(ctx, wasm); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	g.pool = newPool(g.host.cfg.Instances, g.newInstance, g.lost, g.memory.crowded)
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

func (g *generation) close() {
	ctx := context.Background()
	g.pool.close()
	_ = g.compiled.Close(ctx) // neither can fail: they give memory back
	_ = g.runtime.Close(ctx)
}
