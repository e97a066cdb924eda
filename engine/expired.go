package engine

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/review"
)

// Each node looks after a share of the tenants that have held messages or reports: it ends items that have expired, and carries
// out the decisions of nodes that have died. The shares change every minute, because the node of a share may run an earlier
// version, without a review queue. A tenant without items costs nothing.

const (
	dueInterval  = 5 * time.Second
	shareTime    = time.Minute
	dueTenants   = 500             // tenants of one turn; the next turn goes on with those that follow by name
	dueItems     = 100             // items of one tenant in one turn
	dueTime      = 2 * time.Second // of one tenant in one turn: after it, no further item is begun, because rules may be slow
	maxDueAtOnce = 8               // tenants at the same time
)

// runReview carries out what is due in the review queues of this node's share of tenants, until ctx ends.
func (e *Engine) runReview(ctx context.Context) {
	tick := time.NewTicker(dueInterval)
	defer tick.Stop()
	last := "" // the last tenant of the previous turn
	var seen, before map[*tenant]bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if last == "" { // a round begins: tenants of the round before that the last one did not reach are in the shares of other nodes
			for t := range before {
				if !seen[t] {
					t.queued.Store(nil)
				}
			}
			seen, before = map[*tenant]bool{}, seen
		}
		tenants, next, err := e.dueTenants(ctx, last)
		if err == nil {
			err = e.concludeDue(ctx, tenants)
		}
		if err != nil && ctx.Err() == nil {
			e.log.Warn("held messages that are due were not read", "error", err)
		}
		for _, t := range tenants {
			seen[t] = true
		}
		last = next
	}
}

// concludeDue carries out what is due in the tenants.
func (e *Engine) concludeDue(ctx context.Context, tenants []*tenant) error {
	var working errgroup.Group
	working.SetLimit(maxDueAtOnce)
	for _, t := range tenants {
		working.Go(func() error { return e.concludeTenant(ctx, t) })
	}
	return working.Wait()
}

// dueTenants returns the next tenants of this node's share after the tenant last, by name. next is the name of the last one;
// "": no tenants follow.
func (e *Engine) dueTenants(ctx context.Context, last string) (tenants []*tenant, next string, err error) {
	names, err := e.review.Tenants(ctx)
	if err != nil {
		return nil, "", err
	}
	nodes, err := e.Nodes(ctx)
	if err != nil {
		return nil, "", err
	}
	slices.Sort(names)
	minute := uint64(time.Now().UnixNano() / int64(shareTime))
	for _, name := range names {
		if name <= last || nodes[(share(name)+minute)%uint64(len(nodes))] != e.Self() {
			continue
		}
		if t := e.settings.Load().tenants[name]; t != nil { // else it was removed, or this node does not have it yet
			tenants = append(tenants, t)
		}
		if len(tenants) == dueTenants {
			return tenants, name, nil
		}
	}
	return tenants, "", nil
}

// share returns a number that is the same for a tenant on all nodes.
func share(tenant string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(tenant)) // never fails
	return h.Sum64()
}

// concludeTenant carries out what is due in a tenant.
func (e *Engine) concludeTenant(ctx context.Context, t *tenant) error {
	due, err := e.review.Due(ctx, t.name, time.Now().UnixMilli(), dueItems)
	if err != nil {
		return err
	}
	for began, i := time.Now(), 0; i < len(due) && time.Since(began) < dueTime; i++ {
		one, err := review.Claim(ctx, e.review, due[i], e.Self(), t.heldLimits())
		switch {
		case errors.Is(err, review.ErrConflict), errors.Is(err, review.ErrNone): // another node has it
			continue
		case err != nil:
			return err
		}
		action := string(one.Decision.Action)
		conclude := e.conclude
		if one.Kind == review.Report {
			conclude = e.concludeReport
		}
		if _, err := conclude(ctx, t, one); err != nil {
			e.log.Info("a decision of the review queue was not carried out", "tenant", t.name, "kind", string(one.Kind), "item", one.ID, "action", action, "error", err)
		}
	}
	all, err := e.review.Summary(ctx, t.name)
	if err == nil {
		t.queued.Store(&all)
	}
	return err
}
