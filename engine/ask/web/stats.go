package web

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/histogram"
)

// counters count the asks of one name in a tenant.
type counters struct {
	name     string
	waiting  atomic.Int64
	requests atomic.Uint64
	cached   atomic.Uint64
	refused  atomic.Uint64
	failed   [failureKinds]atomic.Uint64 // in the order of ask.Kinds
}

const failureKinds = 5

// Stats are the numbers of the asks of one name in a tenant, since the ask was first configured.
type Stats struct {
	Tenant, Name string

	Waiting  int64  // askers that wait now
	Requests uint64 // requests that were sent and have ended
	Cached   uint64 // answers for which no request was sent
	Refused  uint64 // questions over a limit
	Failed   map[ask.Kind]uint64
	Open     int // services whose breaker is not closed
}

// NodeStats are the numbers of all tenants.
type NodeStats struct {
	Requests   int64 // under way
	CacheBytes int64
	Took       histogram.Snapshot // from sending a request to the end of its answer
}

// Node returns the numbers of all tenants.
func (c *Client) Node() NodeStats {
	return NodeStats{c.requests.Load(), c.cached.Load(), c.took.Snapshot()}
}

// Stats returns the numbers of all asks in the order of their tenants and names.
func (c *Client) Stats() (all []Stats) {
	for _, t := range c.all() {
		all = append(all, t.stats()...)
	}
	slices.SortFunc(all, func(a, b Stats) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name)) })
	return all
}

func (t *tenant) stats() (all []Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	open := map[*counters]int{}
	for _, s := range t.services {
		if s.open() {
			open[s.counters]++
		}
	}
	for _, c := range t.counters {
		s := Stats{Tenant: t.name, Name: c.name, Waiting: c.waiting.Load(), Requests: c.requests.Load(), Cached: c.cached.Load(), Refused: c.refused.Load(), Open: open[c], Failed: map[ask.Kind]uint64{}}
		for i, kind := range ask.Kinds() {
			if n := c.failed[i].Load(); n > 0 {
				s.Failed[kind] = n
			}
		}
		all = append(all, s)
	}
	return all
}
