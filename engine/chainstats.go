package engine

import (
	"context"
	"time"

	"github.com/mootchat/moot/engine/histogram"
)

// outcomeNames are in the order of Outcome.
var outcomeNames = [...]string{"allowed", "denied", "dropped", "failed"}

// chainStats is how long the middleware took, by hook and outcome.
type chainStats [len(hookNames)][len(outcomeNames)]histogram.Histogram

// ChainStats are the chains that ran at one hook and ended in one way.
type ChainStats struct {
	Hook string
	// Outcome is that of a [Verdict]: allowed, denied, dropped or failed. A chain at say
	// is always "allowed": it has a verdict for each receiver.
	Outcome   string
	Durations histogram.Snapshot
}

// snapshot has the hooks that were asked.
func (s *chainStats) snapshot() (all []ChainStats) {
	for hook := range s {
		for outcome := range s[hook] {
			if durations := s[hook][outcome].Snapshot(); durations.Total() > 0 {
				all = append(all, ChainStats{hookNames[hook], outcomeNames[outcome], durations})
			}
		}
	}
	return all
}

// decide asks the middleware, unless nobody listens. If ctx ends meanwhile, the
// outcome is Failed whatever the answer was, so that nothing begins without a client.
// Leaves and disconnects continue.
func (e *Engine) decide(ctx context.Context, ev *Event) Verdict {
	if !e.middleware.Asks(ev.Hook, ev.Tenant, ev.Room) {
		return Verdict{}
	}
	at, begun := ev.Hook, time.Now()
	v := e.middleware.Decide(ctx, ev)
	if ctx.Err() != nil && at != HookLeave && at != HookDisconnect {
		v = Verdict{Outcome: Failed}
	}
	e.stats.chains[at][v.Outcome].Observe(time.Since(begun))
	return v
}

// askMembers asks the say chain about one message and its receivers.
func (e *Engine) askMembers(ctx context.Context, ev *Event, members []Member) Delivery {
	begun := time.Now()
	d := e.middleware.Deliver(ctx, ev, members)
	e.stats.chains[HookSay][Allowed].Observe(time.Since(begun))
	return d
}
