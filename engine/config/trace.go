package config

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Trace is what a load looked at, also one that failed: when any of it changes, the
// next load may come out differently. Ready to use when zero.
type Trace struct {
	Files    []string // absolute paths, also of files that are not there
	Patterns []string // of files that are included, as filepath.Glob takes them
}

// Load is [Load]. What it looks at is added to the trace.
func (t *Trace) Load(path string, env Lookup, overrides ...string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	t.add(absolute)
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return newLoad(env, t).run(Path{path, absolute}, text, overrides)
}

func (t *Trace) add(path string) {
	if !slices.Contains(t.Files, path) {
		t.Files = append(t.Files, path)
	}
}

// Read implements files.
func (t *Trace) Read(path string) ([]byte, error) {
	t.add(path)
	return readFile(path)
}

// Glob implements files.
func (t *Trace) Glob(pattern string) ([]string, error) {
	if !slices.Contains(t.Patterns, pattern) {
		t.Patterns = append(t.Patterns, pattern)
	}
	return filepath.Glob(pattern)
}
