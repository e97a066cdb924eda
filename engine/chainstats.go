package engine

import (
	"context"
	"time"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/hook"
)

// chainStats is how long the middleware took, by hook and outcome.
type chainStats [hook.Hooks][hook.Outcomes]histogram.Histogram

// ChainStats are the chains that ran at one hook and ended in one way.
type ChainStats struct {
	Hook string
	// Outcome is that of a [hook.Verdict]: allowed, denied, dropped or failed. A chain at say
	// is always "allowed": it has a verdict for each receiver.
	Outcome   string
	Durations histogram.Snapshot
}

// snapshot has the hooks that were asked.
func (s *chainStats) snapshot() (all []ChainStats) {
	for at := range s {
		for outcome := range s[at] {
			if durations := s[at][outcome].Snapshot(); durations.Total() > 0 {
				all = append(all, ChainStats{hook.Hook(at).String(), hook.Outcome(outcome).String(), durations})
			}
		}
	}
	return all
}

// decide calls the middleware, if it has a chain. If ctx ends meanwhile, the
// outcome is Failed whatever the answer was, so that nothing begins without a client.
// Leaves and disconnects continue.
func (e *Engine) decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	if !e.middleware.Asks(ev.Hook, ev.Tenant, ev.Room) {
		return hook.Verdict{}
	}
	at, begun := ev.Hook, time.Now()
	v := e.middleware.Decide(ctx, ev)
	if ctx.Err() != nil && at != hook.Leave && at != hook.Disconnect {
		v = hook.Verdict{Outcome: hook.Failed}
	}
	e.stats.chains[at][v.Outcome].Observe(time.Since(begun))
	return v
}

// askMembers asks the say chain about one message and its receivers.
func (e *Engine) askMembers(ctx context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	begun := time.Now()
	d := e.middleware.Deliver(ctx, ev, members)
	e.stats.chains[hook.Say][hook.Allowed].Observe(time.Since(begun))
	return d
}
