package config

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/mootchat/moot/engine/files"
)

// maxFile is how many bytes one file may have.
const maxFile = 1 << 20

// Trace is what a load looked at, also one that failed: when any of it changes, the
// next load may come out differently. Ready to use when zero.
type Trace struct {
	Files    []string      // absolute paths, also of files that are not there
	Patterns []string      // of files that are included, as filepath.Glob takes them
	Waiter   *files.Waiter // waits for the file system; nil: one of the load's own
}

// Load is [Load], and adds the files that it reads to the trace. When ctx ends, the
// remaining files are problems.
func (t *Trace) Load(ctx context.Context, path string, env Lookup, overrides ...string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	l := newLoad(env, t.disk(ctx))
	text, err := l.disk.read(Path{Absolute: absolute})
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", path, unwrapped(err))
	}
	return l.run(Path{Written: path, Absolute: absolute}, text, overrides)
}

// disk is what a load needs of the file system.
type disk struct {
	read func(path Path) ([]byte, error)
	glob func(pattern string) ([]string, error)
}

// disk returns the file system, usable until ctx ends. It adds accesses to the trace.
func (t *Trace) disk(ctx context.Context) disk {
	if t.Waiter == nil {
		t.Waiter = new(files.Waiter)
	}
	seen := map[string]bool{}
	for _, path := range t.Files {
		seen[path] = true
	}
	return disk{
		read: func(path Path) ([]byte, error) {
			full := path.Absolute
			if path.Within != "" {
				full = filepath.Join(path.Within, path.Absolute)
			}
			if !seen[full] {
				seen[full] = true
				t.Files = append(t.Files, full)
			}
			if path.Within != "" {
				return t.Waiter.ReadIn(ctx, path.Within, path.Absolute, maxFile)
			}
			return t.Waiter.Read(ctx, full, maxFile)
		},
		glob: func(pattern string) ([]string, error) {
			if !slices.Contains(t.Patterns, pattern) {
				t.Patterns = append(t.Patterns, pattern)
			}
			return t.Waiter.Glob(ctx, pattern)
		},
	}
}
