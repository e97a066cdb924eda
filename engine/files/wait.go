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

// Bounds of the calls of one Waiter that hang: each holds a thread.
const (
	mostHanging = 32
	mostSame    = 4 // of one name: what it names may be another file by now
)

// Waiter waits for the file system, which may never answer: a mount whose server is gone
// hangs every call. A call that its context does not outlive is abandoned, not ended:
// nothing can end it. While 4 calls of one name hang, or 32 in all, others are refused: of that
// name, or all. The zero Waiter is ready; its methods may be called
// concurrently. A call costs a goroutine.
type Waiter struct {
	mu      sync.Mutex
	hanging map[string]hang
	total   int
}

type hang struct {
	calls int
	since time.Time
}

// ErrHangs is in the error of a call that was abandoned, or refused because of such calls.
var ErrHangs = errors.New("no answer")

// Wait calls do, and waits for it until ctx ends. what names the call, such as a path. The
// result of an abandoned call is dropped; clean, which may be nil, is given it then.
func Wait[T any](ctx context.Context, w *Waiter, what string, do func() (T, error), clean func(T)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	if err := w.refuse(what); err != nil {
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

// Hanging is an error while a call of that name hangs.
func (w *Waiter) Hanging(what string) error { return w.refused(what, 1) }

func (w *Waiter) refuse(what string) error { return w.refused(what, mostSame) }

func (w *Waiter) refused(what string, most int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.hanging[what]; h.calls >= most {
		return fmt.Errorf("%w: an earlier call, of %s, still hangs", ErrHangs, h.since.Format(time.TimeOnly))
	}
	if w.total >= mostHanging {
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

// Read is the function of that name, given up when ctx ends.
func (w *Waiter) Read(ctx context.Context, path string, most int64) ([]byte, error) {
	return w.bytes(ctx, path, func() ([]byte, error) { return Read(path, most) })
}

// ReadIn is the function of that name, given up when ctx ends.
func (w *Waiter) ReadIn(ctx context.Context, dir, name string, most int64) ([]byte, error) {
	return w.bytes(ctx, filepath.Join(dir, name), func() ([]byte, error) { return ReadIn(dir, name, most) })
}

func (w *Waiter) bytes(ctx context.Context, path string, read func() ([]byte, error)) ([]byte, error) {
	text, err := Wait(ctx, w, path, read, nil)
	if errors.Is(err, ErrHangs) {
		err = &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return text, err
}

// Glob is [filepath.Glob], given up when ctx ends.
func (w *Waiter) Glob(ctx context.Context, pattern string) ([]string, error) {
	return Wait(ctx, w, "glob "+pattern, func() ([]string, error) { return filepath.Glob(pattern) }, nil)
}
