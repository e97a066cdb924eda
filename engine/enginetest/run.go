// Package enginetest runs engines in tests, on a memory backend and without transports.
package enginetest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster/memory"
)

// Engine is a running engine.
type Engine struct {
	*engine.Engine
	Stop func() // ends Run and waits for it; later calls do nothing
}

// Start creates an engine with New and runs it until the test ends.
func Start(t testing.TB, change ...func(*engine.Config)) *Engine {
	t.Helper()
	e := New(t, change...)
	return &Engine{e, Run(t, e)}
}

// New creates an engine that does not run. By default it is the only node, "n", of a memory
// backend. It has one tenant, "default", with the room "r", and does not log.
func New(t testing.TB, change ...func(*engine.Config)) *engine.Engine {
	t.Helper()
	cfg := engine.Config{
		Tenants: []engine.TenantConfig{{Name: engine.DefaultTenant, StartingRooms: []string{"r"}}},
		Log:     slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Cluster.Nodes == nil {
		cfg.Cluster = memory.New().Node("n")
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Run runs e and the functions in beside until stop is called or the test ends. It then
// ends their context and waits for them. An error of one of them ends the context of the
// others and fails the test, unless the test has killed the node. Run returns when clients
// can connect to e.
func Run(t testing.TB, e *engine.Engine, beside ...func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	running, ctx := errgroup.WithContext(ctx)
	for _, run := range append(beside, e.Run) {
		running.Go(func() error { return run(ctx) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := running.Wait(); err != nil && !errors.Is(err, memory.ErrKilled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-e.Ready():
	case <-ctx.Done():
		t.FailNow() // stop reports the error
	}
	return stop
}
