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

// Reading the state of the watched files works on every file system and through replaced links, and takes
// microseconds for a file.
const (
	watchEvery  = 250 * time.Millisecond // the shortest interval of two looks at the files
	watchAtMost = 5 * time.Second        // the longest one
	watchShare  = 50                     // between these, the interval is this many times the duration of a look
)

// untilLook returns the time until the next look at the files after one that took some time. Looks at many
// files are rarer, so that 10,000 files use at most 2% of a processor.
func untilLook(took time.Duration) time.Duration {
	return min(max(watchEvery, watchShare*took), watchAtMost)
}

// run reloads at every signal. If the configuration in use has "watch", it also reloads when a file
// of the configuration has changed and is no longer changing. It ends with ctx.
func (r *reloader) run(ctx context.Context, signals <-chan os.Signal) error {
	tick := time.NewTimer(watchEvery)
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
				tick.Reset(watchEvery)
				continue
			}
			var err error
			begun := time.Now()
			before, err = r.look(ctx)
			tick.Reset(untilLook(time.Since(begun)))
			if err != nil || !w.changed(before) {
				continue
			}
		}
		begun := time.Now()
		r.Reload(ctx)
		if now, err := r.look(ctx); err == nil {
			w.taken = readStates(before, now, begun)
		}
	}
}

// watcher detects that files have changed and are quiet again, so that a file is not read while it
// is being written.
type watcher struct {
	taken []fileState // states at the last reload
	seen  []fileState // states at the last look
}

func (w *watcher) changed(now []fileState) bool {
	quiet := slices.EqualFunc(now, w.seen, sameState)
	w.seen = now
	return quiet && !slices.EqualFunc(now, w.taken, sameState)
}

// timePrecision is the time by which a file's change time may lie behind the clock.
const timePrecision = 20 * time.Millisecond

// readStates returns the states that a load that started at begun may have read. For known files this is
// the state before the load, for files that the load was the first to name the present state. A file
// that changed during the load therefore differs at the next look. A file that the load was the first to
// name and that changed after begun counts as not read.
func readStates(before, now []fileState, begun time.Time) []fileState {
	for i := range now {
		at, known := slices.BinarySearchFunc(before, now[i].path, func(f fileState, path string) int { return strings.Compare(f.path, path) })
		switch {
		case known:
			now[i] = before[at]
		case now[i].info != nil && now[i].info.ModTime().After(begun.Add(-timePrecision)):
			now[i].info = nil
		}
	}
	return now
}

// watch sets the watched files: those that the loader has read and the modules of cfg. If cfg is nil,
// because the configuration could not be read, the earlier files stay watched too.
func (r *reloader) watch(loader *config.Loader, cfg *config.Config) {
	if cfg != nil {
		for _, m := range cfg.Modules {
			for _, path := range []string{m.File.Absolute, m.Script.Absolute} {
				if path != "" {
					loader.Files = append(loader.Files, path)
				}
			}
		}
	}
	if old := r.watched.Load(); old != nil && cfg == nil {
		loader.Files = append(loader.Files, old.Files...)
		loader.Patterns = append(loader.Patterns, old.Patterns...)
	}
	slices.Sort(loader.Files)
	loader.Files = slices.Compact(loader.Files)
	r.watched.Store(loader)
}

// lookTime bounds one look at all watched files.
const lookTime = 5 * time.Second

// look returns the states of the watched files. If the file system does not answer, look gives up and
// logs that, once until the file system answers again. At most one look hangs.
func (r *reloader) look(ctx context.Context) ([]fileState, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("the file system did not answer within %v", lookTime))
	defer cancel()
	loader := r.watched.Load()
	states, err := files.Wait(ctx, &r.from.disk, "watched files", func() ([]fileState, error) { return statesOf(loader), nil }, nil)
	hangs := errors.Is(err, files.ErrHangs) && ctx.Err() != context.Canceled
	if hangs != r.unseen.Swap(hangs) && hangs {
		r.log.Warn("the files of the configuration cannot be watched", "error", err)
	}
	return states, err
}

// fileState is the state of a file. info is nil if there is no file.
type fileState struct {
	path string
	info os.FileInfo
}

// statesOf returns the states of all files of a loader, sorted by path.
func statesOf(loader *config.Loader) []fileState {
	paths := slices.Clone(loader.Files)
	for _, pattern := range loader.Patterns {
		found, _ := filepath.Glob(pattern) // a load reports an invalid pattern
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
