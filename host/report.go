package host

import (
	"log/slog"
	"strings"

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
	if f.err != errLate && e.breaker.failed(now()) {
		h.line(slog.LevelError, c, "breaker opened", "module", e.label, "tenant", ev.Tenant,
			"cooldown", e.Breaker.Cooldown.String(), "entry", e.Where)
	}
}

// says writes a guest's own words to the log.
func (in *instance) says(level slog.Level, text string) {
	g := in.generation
	room := ""
	if in.event != nil {
		room = in.event.Room
	}
	g.host.line(level, g.counters, text, "module", in.label, "hook", in.hook.String(), "tenant", g.binding.tenant, "room", room)
}

// wrote takes what the guest wrote to its standard output or error. It is told at
// the end of the call, in one piece: a runtime that panics writes its last words
// in twenty.
func (in *instance) wrote(b []byte) {
	in.output = append(in.output, b...)
	if over := len(in.output) - maxOutput; over > 0 {
		in.output = append(in.output[:0], in.output[over:]...)
	}
}

// said is what the guest wrote since it was last told, and a line end; "" if that is
// nothing.
func (in *instance) said() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(in.output), "?"))
	in.output = in.output[:0]
	if text == "" {
		return ""
	}
	return text + "\n"
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
