package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/config"
)

// Revision implements api.Rules.
func (r *reloader) Revision() string { return r.rules.Revision() }

// Last implements api.Rules.
func (r *reloader) Last() *api.Reload { return r.last.Load() }

// Counts implements api.Rules.
func (r *reloader) Counts() (taken, partial, refused uint64) {
	return r.taken.Load(), r.partial.Load(), r.refused.Load()
}

// Faults implements api.Rules.
func (r *reloader) Faults() []api.TenantFault { return *r.faults.Load() }

// Kept implements api.Rules.
func (r *reloader) Kept() int { return int(r.older.Load()) }

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

// maxShown is the number of problems that the readiness check shows. It is small because
// probes arrive every few seconds.
const maxShown = 10

// healthy is the readiness check that fails if the last reload was refused, or if tenants are not configured
// correctly. The node then continues to serve the others.
func (r *reloader) healthy(context.Context) error {
	if last := r.last.Load(); last != nil && !last.OK && !last.Partial {
		return errors.New("the last reload was refused: " + firstOf(last.Problems))
	}
	var tenants, lines []string
	for _, f := range r.Faults() {
		tenants = append(tenants, cmp.Or(f.Tenant, "none"))
		lines = append(lines, f.Problems...)
	}
	if len(tenants) == 0 {
		return nil
	}
	return fmt.Errorf("tenants that are not configured correctly: %d: %s", len(tenants), firstOf(lines))
}

// firstOf joins the first maxShown problems.
func firstOf(problems []string) string {
	shown := problems[:min(len(problems), maxShown)]
	more := ""
	if n := len(problems) - len(shown); n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(shown, "; ") + more
}

// modulesOf returns the modules that a tenant's chain may name: those of the configuration in use, or for a tenant that
// stays as before, those of the configuration that it is from.
func (r *reloader) modulesOf(tenant string) map[string]config.Module {
	if kept, ok := (*r.kept.Load())[tenant]; ok {
		return kept
	}
	return r.current.Load().Modules
}
