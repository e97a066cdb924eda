package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// errTime is the cause of the context of a verb that has exceeded its time limit. It is
// also the answer to that verb.
var errTime = &VerbError{"time limit exceeded"}

// clientCheckInterval is the time between two checks whether the client of a running verb
// is still connected. A client that has closed its side receives the answers that are ready
// by then.
const clientCheckInterval = time.Second

// HangUpSink is a Sink that can report whether its client has closed its side of the
// connection or has gone. HungUp does not wait. It is called for verbs that run for more
// than a second.
type HangUpSink interface {
	Sink
	HungUp() bool
}

// verbContext is the context of a verb or an action of a connection, or of a request of the
// server API. It ends with its time limit (limits.verbTimeout), with its parent, with the
// connection, and when the client has gone.
//
// It costs one allocation while no code waits for its end and it runs for less than
// clientCheckInterval. After that it has a context of the standard library and a timer.
type verbContext struct {
	parent    context.Context
	conn      *Connection // nil: a request of the server API
	begun, by time.Time
	opening   bool // conn is not registered yet: if the client goes, the verb ends, and conn is not closed

	mu    sync.Mutex
	over  bool                    // stop was called
	inner context.Context         // nil: no code waits for the end
	end   context.CancelCauseFunc // of inner
	timer *time.Timer             // for check; nil: inner has a deadline
}

// startVerb returns the context of a verb. The caller must call stop.
func (c *Connection) startVerb(ctx context.Context) *verbContext {
	r := c.tenant.withVerbTime(ctx)
	r.conn = c
	return r
}

// withVerbTime returns a context with the time limit of a verb, for a request of the
// server API. The caller must call stop.
func (t *tenant) withVerbTime(ctx context.Context) *verbContext {
	now := time.Now()
	return &verbContext{parent: ctx, begun: now, by: now.Add(t.cfg().Limits.VerbTimeout)}
}

// Deadline implements context.Context.
func (r *verbContext) Deadline() (time.Time, bool) {
	if by, ok := r.parent.Deadline(); ok && by.Before(r.by) {
		return by, true
	}
	return r.by, true
}

// Done implements context.Context.
func (r *verbContext) Done() <-chan struct{} { return r.context().Done() }

// Value implements context.Context. It delegates to inner, so that context.Cause works and
// a derived context needs no goroutine.
func (r *verbContext) Value(key any) any {
	r.mu.Lock()
	ctx := r.inner
	r.mu.Unlock()
	if ctx == nil {
		ctx = r.parent
	}
	return ctx.Value(key)
}

// Err implements context.Context.
func (r *verbContext) Err() error {
	if r.endsWithParent() {
		return r.parent.Err()
	}
	return r.context().Err()
}

// endsWithParent reports whether only the parent can have ended r.
func (r *verbContext) endsWithParent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	return r.inner == nil && !r.over && now.Before(r.by) && now.Sub(r.begun) < clientCheckInterval && (r.conn == nil || !r.conn.closing())
}

// context creates inner if there is none, and returns it.
func (r *verbContext) context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inner != nil {
		return r.inner
	}
	if r.conn == nil {
		ctx, cancel := context.WithDeadlineCause(r.parent, r.by, errTime)
		r.inner, r.end = ctx, func(error) { cancel() }
	} else {
		r.inner, r.end = context.WithCancelCause(r.parent)
	}
	left := time.Until(r.by)
	switch {
	case r.over:
		r.end(context.Canceled)
	case r.conn == nil:
	case left <= 0:
		r.end(errTime)
	case !r.conn.addRunning(r):
		r.end(errGone)
	default:
		r.timer = time.AfterFunc(min(left, max(0, clientCheckInterval-time.Since(r.begun))), r.check)
	}
	return r.inner
}

// addRunning makes r end with the connection. It returns false if the connection has ended.
func (c *Connection) addRunning(r *verbContext) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running = append(c.running, r)
	}
	return !c.closed
}

// stop ends r after its work is done.
func (r *verbContext) stop() {
	if !r.markDone() && r.conn != nil && !r.opening && time.Since(r.begun) >= clientCheckInterval {
		r.conn.closeGone()
	}
}

// markDone ends r, and reports whether r had a context of the standard library.
func (r *verbContext) markDone() (looked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.inner == nil {
		return false
	}
	r.end(context.Canceled)
	if r.timer != nil {
		r.timer.Stop()
	}
	if c := r.conn; c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = slices.DeleteFunc(c.running, func(o *verbContext) bool { return o == r })
	}
	return true
}

// check ends a verb that has exceeded its time limit, and closes a connection whose client
// has gone.
func (r *verbContext) check() {
	left := time.Until(r.by)
	if left <= 0 {
		r.end(errTime)
		return
	}
	if r.opening && r.conn.clientGone() {
		r.end(errGone)
		return
	}
	if !r.opening && r.conn.closeGone() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.timer.Reset(min(left, clientCheckInterval))
	}
}

// closeGone closes the connection if its client has gone.
func (c *Connection) closeGone() bool {
	gone := c.clientGone()
	if gone {
		c.Close(Close{})
	}
	return gone
}

// clientGone reports whether the client has closed its side of the connection.
func (c *Connection) clientGone() bool {
	s, ok := c.sink.(HangUpSink)
	return ok && s.HungUp()
}

// cancelVerbs ends the verbs of a connection that is being closed.
func (c *Connection) cancelVerbs() {
	c.mu.Lock()
	all := slices.Clone(c.running)
	c.mu.Unlock()
	for _, r := range all {
		r.end(errGone)
	}
}

// inTime returns the error for the answer to a verb: errTime if err results from the time
// limit. An error with an unknown outcome stays as it is.
func (r *verbContext) inTime(err error) error {
	if overdue(r, err) {
		return errTime
	}
	return err
}

func overdue(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, cluster.ErrUnknown) && ctx.Err() != nil && context.Cause(ctx) == errTime
}

// inTime returns the error of a request of the server API: context.DeadlineExceeded if err
// results from the time limit.
func inTime(ctx context.Context, err error) error {
	if overdue(ctx, err) {
		return context.DeadlineExceeded
	}
	return err
}

// completing returns a ctx for work that must complete once it has begun, even if its
// caller stops waiting. The ctx ends with the engine, or after the time limit of a verb.
func (e *Engine) completing(ctx context.Context, t *tenant) (context.Context, context.CancelFunc) {
	ctx, cancel := e.untilShutdown(ctx)
	r := t.withVerbTime(ctx)
	return r, func() { r.stop(); cancel() }
}
