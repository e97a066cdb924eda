package host

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// failed counts and logs a failed call of the entry, which its breaker admitted with k.
func (e *entry) failed(k ticket, f *failure, ev *hook.Event) {
	c := e.generation.counters
	c.errors[f.kind].Add(1)
	if f == refused || f.silent() {
		return // the outage counts it, or the service does
	}
	h := e.generation.host
	h.line(slog.LevelWarn, c, "module failed", "module", e.label, "hook", ev.Hook.String(),
		"tenant", ev.Tenant, "room", ev.Room, "kind", f.kind.String(), "error", brief(f.err))
	if f.kind == Outside {
		return // the calls of the module have succeeded
	}
	if f.excused() {
		e.breaker.ignored(k)
	} else if o := e.breaker.failed(k, now()); o != nil {
		e.opened(o, f, ev)
	}
}

// succeeded reports a successful call to the breaker.
func (e *entry) succeeded(k ticket, ev *hook.Event) {
	if o := e.breaker.succeeded(k); o != nil {
		e.closed(o, ev)
	}
}

// opened logs and records that f opened the breaker. It happens once per outage, so the line is not subject to the module's rate of
// lines.
func (e *entry) opened(o *outage, f *failure, ev *hook.Event) {
	e.generation.host.cfg.Log.Error("breaker opened", "module", e.label, "tenant", ev.Tenant, "entry", e.Where,
		"calls", o.calls.calls, "failures", o.calls.failures, "kind", f.kind.String(), "error", brief(f.err), "cooldown", e.Breaker.Cooldown)
	e.recordOutage(ev, report.Decision{Verdict: report.Opened, Reason: f.kind.String(),
		Error: fmt.Sprintf("%d of %d calls failed, the last one: %s", o.calls.failures, o.calls.calls, f.short())}, o)
}

// closed logs and records the end of an outage.
func (e *entry) closed(o *outage, ev *hook.Event) {
	took := time.Duration(now() - o.began)
	e.generation.host.cfg.Log.Info("breaker closed", "module", e.label, "tenant", ev.Tenant, "entry", e.Where,
		"refused", o.refused.Load(), "open", took.Round(time.Millisecond))
	e.recordOutage(ev, report.Decision{Verdict: report.Closed, Took: millis.DurationOf(took)}, o)
}

// stats returns one report for each module of each tenant.
func (r *Revision) stats(tenants []string) []report.Module {
	var list []report.Module
	at := make(map[*counters]int)
	seen := make(map[*generation]bool)
	if len(tenants) == 0 {
		tenants = r.names
	}
	for _, name := range tenants {
		t := r.tenants[name]
		if t == nil {
			continue
		}
		for _, e := range t.entries {
			g := e.generation
			i, known := at[g.counters]
			if !known {
				i = len(list)
				at[g.counters] = i
				list = append(list, g.counters.snapshot())
				list[i].Version = e.label
			}
			if e.breaker.state() != closed {
				list[i].OpenBreakers++
			}
			if !seen[g] {
				seen[g] = true
				list[i].Instances += int(g.pool.alive.Load())
			}
		}
	}
	return list
}
