package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/files"
)

// watchEvery is how often files are looked at. Asking for their state works on every
// file system, through links that are swapped, and costs microseconds a file.
const watchEvery = 250 * time.Millisecond

// run reloads at every signal and, where the configuration in use says watch, when a
// file that it was made of has changed and stays as it is. It ends with ctx.
func (r *reloader) run(ctx context.Context, signals <-chan os.Signal) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := watcher{taken: r.first}
	for {
		var before []fileState
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			before, _ = r.look(ctx)
		case <-tick.C:
			if !r.current.Load().Watch {
				continue
			}
			var err error
			if before, err = r.look(ctx); err != nil || !w.changed(before) {
				continue
			}
		}
		begun := time.Now()
		r.Reload(ctx)
		if now, err := r.look(ctx); err == nil {
			w.taken = since(before, now, begun)
		}
	}
}

// lookTime is how long all files that are watched may take to be looked at.
const lookTime = 5 * time.Second

// look is state, given up when the file system does not answer: one look hangs at most.
// That is logged once, until the file system answers again.
func (r *reloader) look(ctx context.Context) ([]fileState, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("they were not looked at within %v", lookTime))
	defer cancel()
	trace := r.watched.Load()
	states, err := files.Wait(ctx, &r.from.disk, "watched files", func() ([]fileState, error) { return stateOf(trace), nil }, nil)
	hangs := errors.Is(err, files.ErrHangs) && ctx.Err() != context.Canceled
	if hangs != r.unseen.Swap(hangs) && hangs {
		r.log.Warn("the files of the configuration cannot be watched", "error", err)
	}
	return states, err
}

// coarse is how far the time of a change to a file may lie behind the clock.
const coarse = 20 * time.Millisecond

// since gives the states that a load which began at begun may have read: those before it,
// and of files that it was the first to name those now. A change during the load differs
// from them, and is seen at the next look: a file that the load was the first to name and
// that changed after begun counts as unseen.
func since(before, now []fileState, begun time.Time) []fileState {
	for i := range now {
		at, known := slices.BinarySearchFunc(before, now[i].path, func(f fileState, path string) int { return strings.Compare(f.path, path) })
		switch {
		case known:
			now[i] = before[at]
		case now[i].info != nil && now[i].info.ModTime().After(begun.Add(-coarse)):
			now[i].info = nil
		}
	}
	return now
}

// watch has the files watched that a load looked at, besides those of the configuration
// in use. cfg is nil if it was not understood.
func (r *reloader) watch(trace *config.Loader, cfg *config.Config) {
	if cfg != nil {
		for _, m := range cfg.Modules {
			for _, path := range []string{m.File.Absolute, m.Script.Absolute} {
				if path != "" {
					trace.Files = append(trace.Files, path)
				}
			}
		}
	}
	if old := r.watched.Load(); old != nil && cfg == nil {
		trace.Files = append(trace.Files, old.Files...)
		trace.Patterns = append(trace.Patterns, old.Patterns...)
	}
	slices.Sort(trace.Files)
	trace.Files = slices.Compact(trace.Files)
	r.watched.Store(trace)
}

// fileState is a file as it is now; info is nil if it is not there.
type fileState struct {
	path string
	info os.FileInfo
}

// stateOf is the state of all files of a trace, in the order of their paths.
func stateOf(trace *config.Loader) []fileState {
	paths := slices.Clone(trace.Files)
	for _, pattern := range trace.Patterns {
		found, _ := filepath.Glob(pattern) // a bad pattern is told by the load
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	states := make([]fileState, len(paths))
	for i, path := range paths {
		states[i].path = path
		if info, err := os.Stat(path); err == nil {
			states[i].info = info
		}
	}
	return states
}

func sameState(a, b fileState) bool {
	if a.path != b.path || a.info == nil || b.info == nil {
		return a.path == b.path && a.info == nil && b.info == nil
	}
	return os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() && a.info.ModTime().Equal(b.info.ModTime())
}

// watcher tells when files have changed and are quiet again: who writes one is not
// met halfway.
type watcher struct {
	taken []fileState // at the last reload
	seen  []fileState // at the last look
}

func (w *watcher) changed(now []fileState) bool {
	quiet := slices.EqualFunc(now, w.seen, sameState)
	w.seen = now
	return quiet && !slices.EqualFunc(now, w.taken, sameState)
}
