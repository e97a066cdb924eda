package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// errTime is the cause of a context whose verb has used up its time, and the answer to
// that verb.
var errTime = &VerbError{"time limit exceeded"}

// clientCheckInterval is the time between two looks whether the client of a verb is still there.
// A client that has closed its side gets the answers that are ready by then.
const clientCheckInterval = time.Second

// HangUpSink is a Sink that can tell whether its client has closed its side of the
// connection, or is gone. HungUp does not wait. It is called for verbs that take over a
// second.
type HangUpSink interface {
	Sink
	HungUp() bool
}

// verbContext is the context of a verb or an action that a connection carries out, or of
// what an operator asks for. It ends with its time (limits.verbTimeout), with its
// parent, with the connection, and when the client has gone.
//
// It costs one allocation while nobody waits for its end, and it has run for less than
// goneCheck. After that it has a context of the standard library and a timer.
//
// Lock order: mu, then the connection's.
type verbContext struct {
	parent    context.Context
	conn      *Connection // nil: an operator asks
	begun, by time.Time

	mu    sync.Mutex
	over  bool                    // stop was called
	inner context.Context         // nil: nobody waits for the end
	end   context.CancelCauseFunc // of inner
	timer *time.Timer             // for look; nil: inner knows its deadline
}

// startVerb gives a verb its time; stop must follow.
func (c *Connection) startVerb(ctx context.Context) *verbContext {
	r := c.tenant.withVerbTime(ctx)
	r.conn = c
	return r
}

// withVerbTime gives what the server does at an operator's word the time of a verb; stop
// must follow.
func (t *tenant) withVerbTime(ctx context.Context) *verbContext {
	now := time.Now()
	return &verbContext{parent: ctx, begun: now, by: now.Add(t.cfg().Limits.VerbTimeout)}
}

// Deadline is context.Context's.
func (r *verbContext) Deadline() (time.Time, bool) {
	if by, ok := r.parent.Deadline(); ok && by.Before(r.by) {
		return by, true
	}
	return r.by, true
}

// Done is context.Context's.
func (r *verbContext) Done() <-chan struct{} { return r.context().Done() }

// Value is context.Context's. It gives the standard library's functions inner, so that
// Cause is right and a context made of r costs no goroutine.
func (r *verbContext) Value(key any) any {
	r.mu.Lock()
	ctx := r.inner
	r.mu.Unlock()
	if ctx == nil {
		ctx = r.parent
	}
	return ctx.Value(key)
}

// Err is context.Context's.
func (r *verbContext) Err() error {
	if r.endsWithParent() {
		return r.parent.Err()
	}
	return r.context().Err()
}

// endsWithParent reports whether r can have ended with its parent alone.
func (r *verbContext) endsWithParent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	return r.inner == nil && !r.over && now.Before(r.by) && now.Sub(r.begun) < clientCheckInterval && (r.conn == nil || !r.conn.closing())
}

// context makes inner if there is none.
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

// addRunning has r end with the connection. It returns false if that has ended.
func (c *Connection) addRunning(r *verbContext) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running = append(c.running, r)
	}
	return !c.closed
}

// stop ends r, whose work is done.
func (r *verbContext) stop() {
	if !r.markDone() && r.conn != nil && time.Since(r.begun) >= clientCheckInterval {
		r.conn.closeGone()
	}
}

// markDone reports whether look has looked for r.
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

// check ends a verb whose time is over, and a connection whose client has gone.
func (r *verbContext) check() {
	left := time.Until(r.by)
	if left <= 0 {
		r.end(errTime)
		return
	}
	if r.conn.closeGone() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.timer.Reset(min(left, clientCheckInterval))
	}
}

// closeGone closes a connection whose client has gone.
func (c *Connection) closeGone() bool {
	s, ok := c.sink.(HangUpSink)
	gone := ok && s.HungUp()
	if gone {
		c.Close(Close{})
	}
	return gone
}

// cancelVerbs ends the verbs of a connection that is closed.
func (c *Connection) cancelVerbs() {
	c.mu.Lock()
	all := slices.Clone(c.running)
	c.mu.Unlock()
	for _, r := range all {
		r.end(errGone)
	}
}

// inTime is the error that a verb is answered with: its time, where that is over and
// the error came of it. An outcome that may be a success stays unknown.
func (r *verbContext) inTime(err error) error {
	if overdue(r, err) {
		return errTime
	}
	return err
}

func overdue(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, cluster.ErrUnknown) && ctx.Err() != nil && context.Cause(ctx) == errTime
}

// inTime is the error of what was bounded: context.DeadlineExceeded where the time is
// over and the error came of it.
func inTime(ctx context.Context, err error) error {
	if overdue(ctx, err) {
		return context.DeadlineExceeded
	}
	return err
}

// completing is a ctx for what must come to its end once it has begun, though nobody
// may wait for it any more: it ends when the engine has, or after the time of a verb.
func (e *Engine) completing(ctx context.Context, t *tenant) (context.Context, context.CancelFunc) {
	ctx, cancel := e.untilShutdown(ctx)
	r := t.withVerbTime(ctx)
	return r, func() { r.stop(); cancel() }
}
