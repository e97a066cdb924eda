package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

type key struct{}

// newRunning returns the context of a verb of a connection.
func newRunning(ctx context.Context, conn *Connection) *verbContext {
	now := time.Now()
	return &verbContext{parent: ctx, conn: conn, begun: now, by: now.Add(15 * time.Second)}
}

// TestTheTimeOfAVerbIsOneAllocation checks that the context of a verb costs one allocation
// if no code waits for its end.
func TestTheTimeOfAVerbIsOneAllocation(t *testing.T) {
	c := &Connection{}
	var kept context.Context
	if n := testing.AllocsPerRun(100, func() {
		r := newRunning(t.Context(), c)
		if kept = r; kept.Err() != nil {
			t.Fatal(kept.Err())
		}
		r.stop()
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// TestTheEndOfAVerbReachesItsContexts checks that the context of a verb and contexts
// derived from it end with the same cause, for each way to end and each time of derivation.
func TestTheEndOfAVerbReachesItsContexts(t *testing.T) {
	for name, end := range map[string]struct {
		by    func(r *verbContext, parent context.CancelFunc)
		cause error
	}{
		"its time is over":     {func(*verbContext, context.CancelFunc) { time.Sleep(15 * time.Second) }, errTime},
		"the parent ends":      {func(_ *verbContext, parent context.CancelFunc) { parent() }, context.Canceled},
		"it is done":           {func(r *verbContext, _ context.CancelFunc) { r.stop() }, context.Canceled},
		"the connection ended": {func(r *verbContext, _ context.CancelFunc) { r.conn.closed = true; r.conn.cancelVerbs() }, errGone},
	} {
		for when, wait := range map[string]func(r *verbContext){
			"nobody waits":     func(*verbContext) {},
			"somebody waits":   func(r *verbContext) { r.Done() },
			"after a second":   func(r *verbContext) { time.Sleep(time.Second); r.Err() },
			"a child was made": func(r *verbContext) { _, cancel := context.WithCancel(r); defer cancel() },
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r := newRunning(ctx, &Connection{})
					defer r.stop()
					wait(r)
					if r.Err() != nil {
						t.Fatalf("it has ended: %v", r.Err())
					}
					var child context.Context
					made := func() {
						var stop context.CancelFunc
						child, stop = context.WithCancel(context.WithValue(r, key{}, 1))
						t.Cleanup(stop)
					}
					if when != "nobody waits" {
						made()
					}
					end.by(r, cancel)
					synctest.Wait()
					if child == nil {
						made()
					}
					for who, ctx := range map[string]context.Context{"the verb": r, "its child": child} {
						<-ctx.Done()
						if ctx.Err() == nil || context.Cause(ctx) != end.cause {
							t.Errorf("%s ended with %v, %v, want %v", who, ctx.Err(), context.Cause(ctx), end.cause)
						}
					}
				})
			})
		}
	}
}
