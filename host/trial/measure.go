package trial

import (
	"context"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

// Measured is the result of Measure.
type Measured struct {
	Calls    int
	Failed   int // of Calls
	Total    time.Duration
	P50, P99 time.Duration
}

// maxMeasured is the maximum number of calls of one Measure.
const maxMeasured = 1 << 20

// Measure calls the module with the event repeatedly, for about d, without traces, as a server does. It counts calls that
// fail and goes on; reason is the last failure. The error is that of the event.
func (m *Module) Measure(ctx context.Context, e *Event, d time.Duration) (r Measured, reason string, err error) {
	if _, _, err := m.Ask(ctx, e); err != nil { // it warms up too
		return r, "", err
	}
	event, err := e.event(m.cfg.Tenant)
	if err != nil {
		return r, "", err
	}
	members := e.members()
	m.host.Trace(nil)
	defer m.host.Trace(m)
	before := m.failures()
	var took []time.Duration
	for r.Total < d && len(took) < maxMeasured && ctx.Err() == nil {
		ev, t := *event, time.Now()
		m.once(ctx, &ev, members)
		elapsed := time.Since(t)
		r.Total += elapsed
		took = append(took, elapsed)
	}
	slices.Sort(took)
	if r.Calls = len(took); r.Calls > 0 {
		r.P50, r.P99 = took[r.Calls/2], took[r.Calls*99/100]
	}
	if r.Failed = m.failures() - before; r.Failed > 0 {
		reason = m.problem
	}
	return r, reason, ctx.Err()
}

// failures returns the number of failed calls since the module was loaded.
func (m *Module) failures() (n int) {
	for _, s := range m.host.Stats() {
		for _, count := range s.Errors {
			n += int(count)
		}
	}
	return n
}

func (m *Module) once(ctx context.Context, ev *hook.Event, members []hook.Member) {
	if ev.Hook != hook.Say {
		m.host.Decide(ctx, ev)
		return
	}
	d := m.host.Deliver(ctx, ev, members)
	if d.Release != nil {
		d.Release()
	}
}
