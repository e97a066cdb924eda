package host

import (
	"log/slog"

	"github.com/mootchat/moot/engine"
)

// failed counts and logs a failure of the entry, and has its breaker know.
func (e *entry) failed(f *failure, ev *engine.Event) {
	c := e.generation.counters
	c.errors[f.kind].Add(1)
	if f.kind == Open {
		return // its failures were told when they opened it
	}
	h := e.generation.host
	h.line(slog.LevelWarn, c, "module failed", "module", e.label, "hook", ev.Hook.String(),
		"tenant", ev.Tenant, "room", ev.Room, "kind", f.kind.String(), "error", brief(f.err))
	if !f.excused() && e.breaker.failed(now()) {
		h.line(slog.LevelError, c, "breaker opened", "module", e.label, "tenant", ev.Tenant,
			"cooldown", e.Breaker.Cooldown.String(), "entry", e.Where)
	}
}

// stats is one Stats for each module of each tenant.
func (r *Revision) stats() []Stats {
	var list []Stats
	at := make(map[*counters]int)
	t0 := now()
	seen := make(map[*generation]bool)
	for _, name := range r.names {
		for _, e := range r.tenants[name].entries {
			g := e.generation
			i, known := at[g.counters]
			if !known {
				i = len(list)
				at[g.counters] = i
				list = append(list, g.counters.snapshot())
				list[i].Version = e.label
			}
			if e.breaker.open(t0) {
				list[i].Breaker++
			}
			if !seen[g] {
				seen[g] = true
				list[i].Instances += int(g.pool.alive.Load())
			}
		}
	}
	return list
}
