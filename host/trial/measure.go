package trial

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

// Measured is the result of Measure.
type Measured struct {
	Calls    int
	Total    time.Duration
	P50, P99 time.Duration
}

// maxMeasured is the maximum number of calls of one Measure.
const maxMeasured = 1 << 20

// Measure calls the module with the event repeatedly, for about d, without traces, as a server does. The error is that
// of the event, or of the module if it fails.
func (m *Module) Measure(ctx context.Context, e *Event, d time.Duration) (Measured, error) {
	answer, _, err := m.Ask(ctx, e) // warms up, and shows that it works
	if err != nil {
		return Measured{}, err
	}
	if answer.Verdict == "failed" {
		return Measured{}, fmt.Errorf("%s: %s: %s", e.Hook, answer.Kind, answer.Failure)
	}
	event, err := e.event(m.cfg.Tenant)
	if err != nil {
		return Measured{}, err
	}
	members := e.members()
	m.host.Trace(nil)
	defer m.host.Trace(m)
	var r Measured
	var took []time.Duration
	for r.Total < d && len(took) < maxMeasured && ctx.Err() == nil {
		ev, t := *event, time.Now()
		failed := m.once(ctx, &ev, members)
		elapsed := time.Since(t)
		if failed {
			return r, fmt.Errorf("%s: it failed: %s", e.Hook, m.problem)
		}
		r.Total += elapsed
		took = append(took, elapsed)
	}
	slices.Sort(took)
	r.Calls = len(took)
	if r.Calls > 0 {
		r.P50, r.P99 = took[r.Calls/2], took[r.Calls*99/100]
	}
	return r, ctx.Err()
}

func (m *Module) once(ctx context.Context, ev *hook.Event, members []hook.Member) (failed bool) {
	if ev.Hook != hook.Say {
		return m.host.Decide(ctx, ev).Outcome == hook.Failed
	}
	d := m.host.Deliver(ctx, ev, members)
	if d.Release != nil {
		d.Release()
	}
	return false
}
