package api

import (
	"maps"
	"slices"

	outside "github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/host/report"
)

// Asks reports the asks of rules on this node.
type Asks interface {
	Usage() []report.AskUsage // in the order of tenants and names
	Totals() report.AskTotals
}

// usage returns what the modules of this node use, with their asks.
func (s *Server) usage(q report.UsageQuery) report.Usage {
	u := s.cfg.Modules.Usage(q)
	if s.cfg.Asks != nil {
		u.Asks = s.cfg.Asks.Usage()
		report.SortAsks(u.Asks)
		u.Asks = u.Asks[:min(q.Top, len(u.Asks))]
	}
	return u
}

// asks emits the metrics of asks. Each element has the sums of one tenant.
func (m sample) asks(t report.AskTotals, tenants []report.AskUsage) {
	m.gauge("moot_ask_cache_bytes", "Memory of the answers that asks keep.", float64(t.CacheBytes))
	m.histogram("moot_ask_duration_seconds", "Time of requests to the services of asks.", t.Took, fine)
	for _, a := range tenants {
		m.gauge("moot_ask_waiting", "Events that wait for the answer of a service.", float64(a.Waiting), "tenant", a.Tenant)
		m.counter("moot_ask_requests_total", "Requests to the services of asks.", float64(a.Requests), "tenant", a.Tenant)
		m.counter("moot_ask_cached_total", "Answers to asks without a request of their own.", float64(a.Cached), "tenant", a.Tenant)
		m.counter("moot_ask_refused_total", "Asks over a limit: their events were refused.", float64(a.Refused), "tenant", a.Tenant)
		m.gauge("moot_ask_open_breakers", "Services that are not asked because they fail.", float64(a.OpenBreakers), "tenant", a.Tenant)
		for _, kind := range outside.Kinds() {
			m.counter("moot_ask_failures_total", "Asks without an answer, by kind: timeout, unreachable, open (the breaker), status, badAnswer.", float64(a.Failed[string(kind)]), "tenant", a.Tenant, "kind", string(kind))
		}
	}
}

// asks returns the sums of the asks of each tenant with series of its own, and of all other tenants.
func (s *tenantSeries) asks(all []report.AskUsage) (sums []report.AskUsage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, left := report.AskUsage{Tenant: otherTenants, Failed: map[string]uint64{}}, false
	for i := range all {
		switch last := len(sums) - 1; {
		case !s.has(all[i].Tenant):
			addAsk(&rest, &all[i])
			left = true
		case last >= 0 && sums[last].Tenant == all[i].Tenant:
			addAsk(&sums[last], &all[i])
		default:
			sums = append(sums, all[i])
			sums[last+1].Failed = maps.Clone(all[i].Failed)
		}
	}
	if !left {
		return sums
	}
	for name, n := range map[string]*uint64{"requests": &rest.Requests, "cached": &rest.Cached, "refused": &rest.Refused} {
		*n = s.other.of("ask "+name, *n)
	}
	for kind, n := range rest.Failed {
		rest.Failed[kind] = s.other.of("ask failed "+kind, n)
	}
	return slices.Concat(sums, []report.AskUsage{rest})
}

func addAsk(sum, a *report.AskUsage) {
	sum.Waiting += a.Waiting
	sum.Requests += a.Requests
	sum.Cached += a.Cached
	sum.Refused += a.Refused
	sum.OpenBreakers += a.OpenBreakers
	for kind, n := range a.Failed {
		sum.Failed[kind] += n
	}
}
