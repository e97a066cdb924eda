package report

import (
	"cmp"
	"slices"
)

// AskUsage is what happened to the asks of one name in a tenant on a node, since the ask was configured there.
type AskUsage struct {
	Tenant       string            `json:"tenant"`
	Name         string            `json:"name"`
	Waiting      int64             `json:"waiting" doc:"Events that wait for an answer now."`
	Requests     uint64            `json:"requests" doc:"Requests to the service that have ended."`
	Cached       uint64            `json:"cached" doc:"Answers without a request of their own: from the cache, or shared with another event."`
	Refused      uint64            `json:"refused" doc:"Asks over a limit: their events were refused, to be tried again."`
	Failed       map[string]uint64 `json:"failed" doc:"Asks without an answer by kind: timeout, unreachable, open, status, badAnswer."`
	OpenBreakers int               `json:"openBreakers" doc:"Services that are not asked now because they fail."`
}

// AskTotals are the numbers of the asks of all tenants on a node.
type AskTotals struct {
	CacheBytes int64     // of all caches
	Took       Histogram // of requests
}

// SortAsks sorts asks: those with open breakers and failures first, then those with most requests.
func SortAsks(all []AskUsage) {
	failed := func(a *AskUsage) (n uint64) {
		for _, m := range a.Failed {
			n += m
		}
		return n
	}
	slices.SortFunc(all, func(a, b AskUsage) int {
		return cmp.Or(cmp.Compare(b.OpenBreakers, a.OpenBreakers), cmp.Compare(failed(&b), failed(&a)), cmp.Compare(b.Requests, a.Requests),
			cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
}
