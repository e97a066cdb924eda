package engine

import (
	"context"
	"errors"
	"slices"
	"time"
)

// errTime is the cause of a context whose verb has used up its time, and the answer to
// that verb.
var errTime = &VerbError{"time limit exceeded"}

// goneCheck is the time between two looks whether the client of a verb is still there.
// A client that has closed its side gets the answers that are ready by then.
const goneCheck = time.Second

// HangUpSink is a Sink that can tell whether its client has closed its side of the
// connection, or is gone. HungUp does not wait. It is called for verbs that take over a
// second.
type HangUpSink interface {
	Sink
	HungUp() bool
}

// running is a verb or an action that a connection carries out. Its context ends with
// its time (limits.verbTimeout), with the connection, or when the client has gone. It
// costs four allocations and one timer.
type running struct {
	context.Context
	by    time.Time
	end   context.CancelCauseFunc
	timer *time.Timer
}

// Deadline is context.Context's.
func (r *running) Deadline() (time.Time, bool) { return r.by, true }

// run gives a verb its time; stop must follow.
func (c *Connection) run(ctx context.Context) *running {
	limit := c.tenant.cfg().Limits.VerbTimeout
	r := &running{by: time.Now().Add(limit)}
	r.Context, r.end = context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		r.end(errGone)
	}
	c.running = append(c.running, r)
	r.timer = time.AfterFunc(min(limit, goneCheck), func() { c.look(r) })
	return r
}

func (c *Connection) stop(r *running) {
	r.end(context.Canceled)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.timer.Stop()
	c.running = slices.DeleteFunc(c.running, func(o *running) bool { return o == r })
}

// look ends a verb whose time is over, and a connection whose client has gone.
func (c *Connection) look(r *running) {
	left := time.Until(r.by)
	if left <= 0 {
		r.end(errTime)
		return
	}
	if s, ok := c.out.sink.(HangUpSink); ok && s.HungUp() {
		c.Close(Close{})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Err() == nil {
		r.timer.Reset(min(left, goneCheck))
	}
}

// endRunning ends the verbs of a connection that is closed.
func (c *Connection) endRunning() {
	c.mu.Lock()
	all := slices.Clone(c.running)
	c.mu.Unlock()
	for _, r := range all {
		r.end(errGone)
	}
}

// inTime is the error that a verb is answered with: its time, where that is over and
// the error came of it. What may have been done is said to be unknown all the same.
func (r *running) inTime(err error) error {
	if overdue(r, err) {
		return errTime
	}
	return err
}

func overdue(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, ErrUnknown) && context.Cause(ctx) == errTime
}

// bounded gives what the server does at an operator's word the time of a verb.
func (t *tenant) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, t.cfg().Limits.VerbTimeout, errTime)
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
	ctx, cancel := e.patient(ctx)
	ctx, late := t.bounded(ctx)
	return ctx, func() { late(); cancel() }
}
