package engine

import (
	"cmp"
	"context"
	"time"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/hook"
)

// chainStats measures the durations of chains, by hook and outcome.
type chainStats [hook.Hooks][hook.Outcomes]histogram.Histogram

// ChainStats describes the chains that ran at one hook and ended with one outcome.
type ChainStats struct {
	Hook string
	// Outcome is the name of a [hook.Verdict]'s outcome: allowed, denied, dropped,
	// failed or held. It is always "allowed" for chains at say, which have an answer for
	// each receiver.
	Outcome   string
	Durations histogram.Snapshot
}

// snapshot returns the hooks and outcomes that were counted.
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

// decide runs the chain for an event, if there is one. If ctx ends while the chain runs,
// the outcome is Failed for every answer, so that nothing begins for a client that has
// gone. Leaves and disconnects keep their answer.
func (e *Engine) decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	if !e.middleware.Asks(ev.Hook, ev.Tenant, ev.Room) && (ev.After == nil || !e.middleware.Asks(ev.Hook, ev.Tenant, cmp.Or(ev.After.Room, ev.Room))) {
		return hook.Verdict{}
	}
	at, begun := ev.Hook, time.Now()
	v := e.middleware.Decide(ctx, ev)
	if ctx.Err() != nil && at != hook.Leave && at != hook.Disconnect {
		v = hook.Verdict{Outcome: hook.Failed, Waited: v.Waited}
	}
	e.stats.chains[at][v.Outcome].Observe(time.Since(begun) - v.Waited)
	if len(v.Effects) > 0 && ev.Caused {
		v.Effects = e.withoutAmendments(v.Effects)
	}
	if len(v.Effects) > 0 && v.Outcome != hook.Allowed {
		if v.Outcome != hook.Failed {
			e.moderateDenied(ev, v.Effects)
		}
		v.Effects = nil
	}
	return v
}

// askMembers runs the say chain for one message and its receivers.
func (e *Engine) askMembers(ctx context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	begun := time.Now()
	d := e.middleware.Deliver(ctx, ev, members)
	e.stats.chains[hook.Say][hook.Allowed].Observe(time.Since(begun))
	return d
}
