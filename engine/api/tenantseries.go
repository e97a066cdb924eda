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

// choose returns the tenants and modules with series of their own and, at the end, the sums of the others.
func (s *tenantSeries) choose(tenants []engine.TenantStats, modules []report.Module) ([]engine.TenantStats, []report.Module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admit(tenants)
	rest, left := engine.TenantStats{Name: otherTenants}, false
	shown := tenants[:0:0]
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
	}
	if !left {
		return shown, modules
	}
	rest.Messages = s.other.of("messages", rest.Messages)
	return append(shown, rest), s.sumModules(modules)
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

// sumModules sums up the modules of the other tenants.
func (s *tenantSeries) sumModules(modules []report.Module) (shown []report.Module) {
	rest := report.Module{Tenant: otherTenants, Name: otherTenants, Errors: map[string]uint64{}}
	for i := range modules {
		m := &modules[i]
		if s.has(m.Tenant) {
			shown = append(shown, *m)
			continue
		}
		rest.OpenBreakers += m.OpenBreakers
		rest.Instances += m.Instances
		addModule(&rest, m)
	}
	if len(shown) == len(modules) {
		return shown
	}
	for name, n := range rest.Counters.ByName() {
		*n = s.other.of(name, *n)
	}
	for kind, n := range rest.Errors {
		rest.Errors[kind] = s.other.of("error "+kind, n)
	}
	for i, n := range rest.Durations.Counts {
		rest.Durations.Counts[i] = s.other.of("bucket "+string(rune('a'+i)), n)
	}
	rest.Durations.Sum = millis.DurationOf(time.Duration(s.other.of("sum", uint64(rest.Durations.Sum.Std()))))
	return append(shown, rest)
}

// addModule adds the counters of another module.
func addModule(m, o *report.Module) {
	its := o.Counters.ByName()
	for name, n := range m.Counters.ByName() {
		*n += *its[name]
	}
	for kind, n := range o.Errors {
		m.Errors[kind] += n
	}
	if m.Durations.Counts == nil {
		m.Durations = report.Histogram{Bounds: o.Durations.Bounds, Counts: make([]uint64, len(o.Durations.Counts))}
	}
	for i := range min(len(m.Durations.Counts), len(o.Durations.Counts)) {
		m.Durations.Counts[i] += o.Durations.Counts[i]
	}
	m.Durations.Sum += o.Durations.Sum
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
