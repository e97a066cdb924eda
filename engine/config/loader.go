package config

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/files"
)

// maxFile limits one file, in bytes.
const maxFile = 1 << 20

// fileTime bounds the reading of one file, so that one file that does not answer leaves time
// for the others.
const fileTime = 5 * time.Second

var errFileTime = fmt.Errorf("it was not read within %v", fileTime)

// Loader loads configurations and records the files that they depend on. When one of
// these files changes, the next load may have another result. The zero Loader is ready
// to use. It must not be used concurrently.
type Loader struct {
	Files    []string      // absolute paths of files, existing or not
	Patterns []string      // patterns of include, for filepath.Glob
	Waiter   *files.Waiter // calls the file system; nil = a new one
	Cache    *Cache        // of the included files; nil = none
	InUse    *Config       // that a running server uses now; nil = none
}

// Load is like the function [Load], and records the files that it reads, even if it
// fails. A file that cannot be read before ctx ends is a problem.
//
// A problem of one tenant does not cause an error: Config.Faults has it. Such a tenant is as in
// InUse, or missing if it is not there.
func (ld *Loader) Load(ctx context.Context, path string, env Lookup, overrides ...string) (*Config, error) {
	c, _, err := ld.load(ctx, path, env, overrides...)
	return c, err
}

// load is like Load. The problems are those of Faults.
func (ld *Loader) load(ctx context.Context, path string, env Lookup, overrides ...string) (*Config, Problems, error) {
	l := newLoad(env, ld.disk(ctx))
	l.cache, l.inUse = ld.Cache, ld.InUse
	c, err := l.open(path, overrides)
	return c, l.reported(), err
}

// open reads the file at path.
func (l *load) open(path string, overrides []string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	text, err := l.disk.read(Path{Absolute: absolute})
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", path, unwrapped(err))
	}
	return l.run(Path{Written: path, Absolute: absolute}, text, overrides)
}

// disk is the part of the file system that a load uses.
type disk struct {
	read func(path Path) ([]byte, error)
	glob func(pattern string) ([]string, error)
	stat func(paths []string) []files.Stamp // adds the files to those that were read
}

// disk returns the file system, usable until ctx ends. It records the files that are read.
func (ld *Loader) disk(ctx context.Context) disk {
	if ld.Waiter == nil {
		ld.Waiter = new(files.Waiter)
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	for _, path := range ld.Files {
		seen[path] = true
	}
	return disk{
		read: func(path Path) ([]byte, error) {
			full := path.Absolute
			if path.Within != "" {
				full = filepath.Join(path.Within, path.Absolute)
			}
			mu.Lock()
			if !seen[full] {
				seen[full] = true
				ld.Files = append(ld.Files, full)
			}
			mu.Unlock()
			ctx, cancel := context.WithTimeoutCause(ctx, fileTime, errFileTime)
			defer cancel()
			if path.Within != "" {
				return ld.Waiter.ReadIn(ctx, path.Within, path.Absolute, maxFile)
			}
			return ld.Waiter.Read(ctx, full, maxFile)
		},
		stat: func(paths []string) []files.Stamp {
			for _, path := range paths {
				if !seen[path] {
					seen[path] = true
					ld.Files = append(ld.Files, path)
				}
			}
			ctx, cancel := context.WithTimeoutCause(ctx, fileTime, errFileTime)
			defer cancel()
			return ld.Waiter.Stamps(ctx, paths)
		},
		glob: func(pattern string) ([]string, error) {
			if !slices.Contains(ld.Patterns, pattern) {
				ld.Patterns = append(ld.Patterns, pattern)
			}
			return ld.Waiter.Glob(ctx, pattern)
		},
	}
}
