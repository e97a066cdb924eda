package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mootchat/moot/engine/api"
)

// Revision implements api.Rules.
func (r *reloader) Revision() string { return r.rules.Revision() }

// Last implements api.Rules.
func (r *reloader) Last() *api.Reload { return r.last.Load() }

// Counts implements api.Rules.
func (r *reloader) Counts() (taken, refused uint64) { return r.taken.Load(), r.refused.Load() }

// NeedsRestart implements api.Rules.
func (r *reloader) NeedsRestart() []string {
	if paths := r.restart.Load(); paths != nil {
		return *paths
	}
	return nil
}

func restartNotes(settings []string) (notes []string) {
	for _, path := range settings {
		notes = append(notes, fmt.Sprintf("%s has changed: it needs a restart", path))
	}
	return notes
}

// restarted is the readiness check that fails while settings of the files need a restart.
func (r *reloader) restarted(context.Context) error {
	if paths := r.NeedsRestart(); len(paths) > 0 {
		return errors.New("needs a restart: " + strings.Join(paths, ", "))
	}
	return nil
}

// maxShown is the number of problems of a reload that the readiness check shows. It is small because
// probes arrive every few seconds.
const maxShown = 10

// healthy is the readiness check that fails if the last reload was refused. The node then continues to
// serve with its earlier rules.
func (r *reloader) healthy(context.Context) error {
	last := r.last.Load()
	if last == nil || last.OK {
		return nil
	}
	shown := last.Problems[:min(len(last.Problems), maxShown)]
	more := ""
	if n := len(last.Problems) - len(shown); n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return errors.New("the last reload was refused: " + strings.Join(shown, "; ") + more)
}
