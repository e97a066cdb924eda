package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// Limits of the abandoned calls of one Waiter. Each such call holds a thread.
const (
	maxHanging        = 32
	maxHangingPerName = 4 // more than one, because the name may now refer to another file
)

// Waiter calls the file system. Such a call may never return: calls on a network mount
// hang if its server is gone. When the context of a call ends first, the Waiter
// abandons the call, which continues in its goroutine. While 4 calls with one name
// hang, calls with that name are refused; while 32 calls hang, all calls are refused.
// The zero Waiter is ready to use and safe for concurrent use. A call costs a
// goroutine.
type Waiter struct {
	mu      sync.Mutex
	hanging map[string]hang
	total   int
}

type hang struct {
	calls int
	since time.Time
}

// ErrHangs means that a call was abandoned, or refused because of abandoned calls.
var ErrHangs = errors.New("the file system does not answer")

// Wait calls do in a goroutine and returns its result, or an [ErrHangs] if ctx ends
// first. what names the call; it may be a path. If an abandoned call succeeds later,
// clean is called with its value; clean may be nil.
func Wait[T any](ctx context.Context, w *Waiter, what string, do func() (T, error), clean func(T)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	if err := w.check(what, maxHangingPerName); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	var done = make(chan result)
	abandoned := make(chan struct{})
	go func() {
		value, err := do()
		select {
		case done <- result{value, err}:
		case <-abandoned:
			w.returned(what)
			if clean != nil && err == nil {
				clean(value)
			}
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		w.abandon(what)
		close(abandoned)
		return none, fmt.Errorf("%w: %w", ErrHangs, context.Cause(ctx))
	}
}

// Hanging returns an error while a call with that name hangs.
func (w *Waiter) Hanging(what string) error { return w.check(what, 1) }

// check returns an error if limit calls with that name hang, or if too many calls hang
// in total.
func (w *Waiter) check(what string, limit int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.hanging[what]; h.calls >= limit {
		return fmt.Errorf("%w: a call of %s still hangs", ErrHangs, h.since.Format(time.TimeOnly))
	}
	if w.total >= maxHanging {
		return fmt.Errorf("%w: %d calls hang", ErrHangs, w.total)
	}
	return nil
}

func (w *Waiter) abandon(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hanging == nil {
		w.hanging = make(map[string]hang)
	}
	h, ok := w.hanging[what]
	if !ok {
		h.since = time.Now()
	}
	h.calls++
	w.total++
	w.hanging[what] = h
}

func (w *Waiter) returned(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total--
	h := w.hanging[what]
	if h.calls--; h.calls == 0 {
		delete(w.hanging, what)
		return
	}
	w.hanging[what] = h
}

// Read is like the function [Read], but fails with an [ErrHangs] if ctx ends first.
func (w *Waiter) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	return w.bytes(ctx, path, func() ([]byte, error) { return Read(path, limit) })
}

// ReadIn is like the function [ReadIn], but fails with an [ErrHangs] if ctx ends first.
func (w *Waiter) ReadIn(ctx context.Context, dir, name string, limit int64) ([]byte, error) {
	return w.bytes(ctx, filepath.Join(dir, name), func() ([]byte, error) { return ReadIn(dir, name, limit) })
}

func (w *Waiter) bytes(ctx context.Context, path string, read func() ([]byte, error)) ([]byte, error) {
	text, err := Wait(ctx, w, path, read, nil)
	if errors.Is(err, ErrHangs) {
		err = &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return text, err
}

// Glob is like [filepath.Glob], but fails with an [ErrHangs] if ctx ends first.
func (w *Waiter) Glob(ctx context.Context, pattern string) ([]string, error) {
	return Wait(ctx, w, "glob "+pattern, func() ([]string, error) { return filepath.Glob(pattern) }, nil)
}
