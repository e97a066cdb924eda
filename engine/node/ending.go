package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// EndTime is how long, beyond the time to let clients go, a server may take to end. What
// ends within a time of its own (drain, the admin port, traces) has less.
const EndTime = 5 * time.Second

// ending bounds how long a server takes to end, whatever hangs in it: a file system, Redis,
// a module, a collector of traces. It knows what the server does by name.
type ending struct {
	begun chan struct{} // closed when the server begins to end by itself

	mu    sync.Mutex
	once  bool
	doing []string
	drain func() time.Duration // nil: nobody is let in yet
}

func newEnding() *ending { return &ending{begun: make(chan struct{})} }

// do calls f under a name.
func (e *ending) do(name string, f func() error) error {
	defer e.doingNow(name)()
	return f()
}

// doingNow adds a name until the function that it returns is called.
func (e *ending) doingNow(name string) (done func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doing = append(e.doing, name)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		i := slices.Index(e.doing, name)
		e.doing = slices.Delete(e.doing, i, i+1)
	}
}

// serving has clients be let go over a time.
func (e *ending) serving(drain func() time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drain = drain
}

// served tells whether clients were ever let in.
func (e *ending) served() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.drain != nil
}

// begin says that the server ends; the time runs.
func (e *ending) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.once {
		e.once = true
		close(e.begun)
	}
}

// limit is how long the server may take to end from now on.
func (e *ending) limit() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.drain == nil {
		return EndTime
	}
	return e.drain() + EndTime
}

// left is what still runs.
func (e *ending) left() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.doing, ", ")
}

// run calls serve and waits until it returns; once ctx has ended or the server begins to
// end, no longer than limit. What does not return goes on: the caller is to end the process.
func (e *ending) run(ctx context.Context, serve func() error) error {
	done := make(chan error, 1)
	go func() { done <- serve() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-e.begun:
	}
	limit := e.limit()
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case err := <-done:
		return err
	case <-over.C:
		return fmt.Errorf("the shutdown did not finish within %v, the process ends without it; still running: %s", limit, e.left())
	}
}
