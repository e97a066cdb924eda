package api

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// otherTenants is the label of the tenants without series of their own. A tenant with this name is one of them.
const otherTenants = "other"

// tenantSeries chooses the tenants that have series of their own. A tenant keeps its series while it is configured, so
// that series do not end and begin again.
type tenantSeries struct {
	max   int
	named map[string]bool

	mu    sync.Mutex
	own   map[string]bool // besides named
	other monotone
}

func newTenantSeries(cfg *Config) tenantSeries {
	named := map[string]bool{}
	for _, tenant := range cfg.MetricsFor {
		named[tenant] = true
	}
	return tenantSeries{max: cmp.Or(cfg.MetricsTenants, 100), named: named, own: map[string]bool{}, other: monotone{}}
}

// choose returns the tenants with series of their own. left reports whether there are others; then the last one is
// their sum.
func (s *tenantSeries) choose(tenants []engine.TenantStats) (shown []engine.TenantStats, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admit(tenants)
	rest := engine.TenantStats{Name: otherTenants}
	for _, t := range tenants {
		if s.has(t.Name) {
			shown = append(shown, t)
			continue
		}
		left = true
		rest.Connections += t.Connections
		rest.Rooms += t.Rooms
		rest.OutboxBytes += t.OutboxBytes
		rest.Messages += t.Messages
		rest.Held += t.Held
		rest.Reports += t.Reports
		if rest.ReportsSince == 0 || t.ReportsSince > 0 && t.ReportsSince < rest.ReportsSince {
			rest.ReportsSince = t.ReportsSince
		}
		if rest.HeldSince == 0 || t.HeldSince > 0 && t.HeldSince < rest.HeldSince {
			rest.HeldSince = t.HeldSince
		}
	}
	if left {
		rest.Messages = s.other.of("messages", rest.Messages)
		shown = append(shown, rest)
	}
	return shown, left
}

// modules returns the modules of the tenants that choose returned. It asks for a report of each module of these
// tenants, and for one sum of the others.
func (s *tenantSeries) modules(from Modules, shown []engine.TenantStats, left bool) []report.Module {
	if from == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(shown))
	for _, t := range shown {
		if t.Name != otherTenants {
			names = append(names, t.Name)
		}
	}
	var all []report.Module
	if len(names) > 0 { // without names Stats returns all
		all = from.Stats(names...)
	}
	if !left {
		return all
	}
	return append(all, s.toOtherSeries(from.Total(func(tenant string) bool { return !s.has(tenant) })))
}

// usage returns what the modules of the tenants that choose returned use.
func (s *tenantSeries) usage(all []report.TenantUsage, shown []engine.TenantStats) (of map[string]report.TenantUsage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of = make(map[string]report.TenantUsage, len(shown))
	var rest report.TenantUsage
	for _, t := range all {
		if s.has(t.Tenant) {
			of[t.Tenant] = t
			continue
		}
		rest.CPUTime += t.CPUTime
		rest.Memory += t.Memory
	}
	rest.CPUTime = millis.DurationOf(time.Duration(s.other.of("time", uint64(rest.CPUTime.Std()))))
	of[otherTenants] = rest
	return of
}

func (s *tenantSeries) has(tenant string) bool {
	return tenant != otherTenants && (s.own[tenant] || s.named[tenant])
}

// admit removes tenants that are no longer configured. It gives free series to active tenants, the busiest first, or to
// all tenants if there are enough series.
func (s *tenantSeries) admit(tenants []engine.TenantStats) {
	left := slices.DeleteFunc(slices.Clone(tenants), func(t engine.TenantStats) bool { return t.Name == otherTenants || s.has(t.Name) })
	if len(s.own) > 0 && len(left)+len(s.own) > s.max { // some tenants have no series of their own
		there := make(map[string]bool, len(tenants))
		for _, t := range tenants {
			there[t.Name] = true
		}
		maps.DeleteFunc(s.own, func(name string, _ bool) bool { return !there[name] })
	}
	free := s.max - len(s.own)
	if free <= 0 {
		return
	}
	if len(left) > free {
		left = slices.DeleteFunc(left, func(t engine.TenantStats) bool { return t.Messages == 0 && t.Connections == 0 })
		slices.SortFunc(left, func(a, b engine.TenantStats) int {
			return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Name, b.Name))
		})
	}
	for _, t := range left[:min(free, len(left))] {
		s.own[t.Name] = true
	}
}

// toOtherSeries makes a sum over the other tenants' modules the report of a module.
func (s *tenantSeries) toOtherSeries(sum report.Module) report.Module {
	sum.Tenant, sum.Name = otherTenants, otherTenants
	for name, n := range sum.Counters.ByName() {
		*n = s.other.of(name, *n)
	}
	for kind, n := range sum.Errors {
		sum.Errors[kind] = s.other.of("error "+kind, n)
	}
	for i, n := range sum.Durations.Counts {
		sum.Durations.Counts[i] = s.other.of("bucket "+string(rune('a'+i)), n)
	}
	sum.Durations.Sum = millis.DurationOf(time.Duration(s.other.of("sum", uint64(sum.Durations.Sum.Std()))))
	return sum
}

// monotone has sums over the tenants without series of their own. The part of a removed tenant stays in the sum, because a
// counter that decreases would look like a restart of the node.
type monotone map[string]struct{ last, gone uint64 }

func (m monotone) of(name string, sum uint64) uint64 {
	c := m[name]
	if sum < c.last {
		c.gone += c.last - sum
	}
	c.last = sum
	m[name] = c
	return sum + c.gone
}
