package host

import (
	"cmp"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// usage has what is counted for [Host.Usage] beside the counters of modules.
type usage struct {
	wakes histogram.Histogram // from no instance to one, of any binding

	mu           sync.Mutex
	older, newer processorTimes
}

// processorTimes has the processor time of each active tenant at one time, and the number of wakes. The zero value is
// the start of the process.
type processorTimes struct {
	at      int64
	tenants map[string]int64
	wakes   uint64
}

// windowOfUsage is the shortest time over which the processors in use are averaged, in ns.
const windowOfUsage = int64(10 * time.Second)

// window returns the times with which now is compared. They are those of an earlier call, at least windowOfUsage ago, or
// of the start.
func (u *usage) window(now processorTimes) processorTimes {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.at-u.newer.at >= windowOfUsage {
		u.older, u.newer = u.newer, now
	}
	return u.older
}

// Usage reports what the modules in use cost. It looks at each binding, and allocates only for those that have been
// used. With 10,000 tenants of three rules it takes some milliseconds.
func (h *Host) Usage(q report.UsageQuery) report.Usage {
	u := report.Usage{Modules: []report.ModuleUsage{}, Failing: []report.Failing{}, Tenants: []report.TenantUsage{}}
	wakes := h.usage.wakes.Snapshot()
	u.Wakes = report.HistogramOf(&wakes)
	m := h.memory
	m.mu.Lock()
	spare := m.awake.spares.budget.used
	u.Memory = report.Memory{Limit: m.limit, Code: m.code, Instances: m.used - spare, Spare: spare}
	m.mu.Unlock()
	instances := h.Instances()
	u.Spare, u.Memory.Images = instances.Spare, instances.ImageBytes
	_, u.Memory.Diffs = h.codes.diffs.numbers()
	r := h.running()
	if r == nil {
		u.Calls = report.HistogramOf(new(histogram.Snapshot))
		return u
	}
	defer r.release()
	total := r.total(nil)
	u.Calls, u.OpenBreakers = total.Durations, total.OpenBreakers
	awake := r.modules(&u, q.Top)
	h.costs(r, &u, awake, wakes.Total(), q)
	if u.OpenBreakers > 0 {
		u.Failing = r.failing(q.Top)
	}
	return u
}

// modules adds the numbers of bindings, and the modules that take most memory. It returns the number of each
// tenant's bindings that are awake.
func (r *Revision) modules(u *report.Usage, top int) (awake map[string]int) {
	awake = make(map[string]int)
	byCode := make(map[*code]*report.ModuleUsage)
	for _, g := range r.generations {
		m := byCode[g.code]
		if m == nil {
			m = &report.ModuleUsage{Name: g.binding.module, SHA256: hex.EncodeToString(g.code.digest[:]), Code: g.code.size()}
			byCode[g.code] = m
		}
		m.Name = min(m.Name, g.binding.module)
		m.Bindings++
		u.Bindings++
		if n := int(g.pool.ready.Load()); n > 0 {
			u.Awake, u.Instances = u.Awake+1, u.Instances+n
			m.Awake, m.Instances = m.Awake+1, m.Instances+n
			awake[g.binding.tenant]++
		}
	}
	u.Asleep, u.ModulesCount = u.Bindings-u.Awake, len(byCode)
	for c, m := range byCode {
		if m.Image, m.NoImage = c.images.usage(); m.Image > 0 {
			u.Images++
		}
		u.Modules = append(u.Modules, *m)
	}
	slices.SortFunc(u.Modules, func(a, b report.ModuleUsage) int {
		return cmp.Or(cmp.Compare(b.Code, a.Code), cmp.Compare(b.Instances, a.Instances), cmp.Compare(a.SHA256, b.SHA256))
	})
	u.Modules = u.Modules[:min(top, len(u.Modules))]
	return awake
}

// costs adds the tenants that cost most, and the wakes per second. Tenants that cost nothing are left out.
func (h *Host) costs(r *Revision, u *report.Usage, awake map[string]int, wakes uint64, q report.UsageQuery) {
	all, used, t := []report.TenantUsage{}, make(map[string]int64), now()
	for name, tenant := range r.tenants {
		spent, memory := tenant.gate.used.Load(), tenant.memory.bytes()
		if spent > 0 || memory > 0 {
			used[name] = spent
			all = append(all, report.TenantUsage{Tenant: name, CPUTime: millis.DurationOf(time.Duration(used[name])), Memory: memory, Awake: awake[name]})
		}
	}
	since := h.usage.window(processorTimes{t, used, wakes})
	over := float64(max(1, t-since.at))
	for i := range all {
		all[i].CPU = float64(max(0, used[all[i].Tenant]-since.tenants[all[i].Tenant])) / over
	}
	report.SortTenants(all, q.By)
	u.Tenants = all[:min(q.Top, len(all))]
	u.WakesPerSecond = float64(wakes-since.wakes) / over * float64(time.Second)
}

// failing returns modules with open breakers, at most limit.
func (r *Revision) failing(limit int) (found []report.Failing) {
	for _, name := range r.names {
		for _, e := range r.tenants[name].entries {
			if e.breaker.state() != closed && len(found) < limit {
				found = append(found, report.Failing{Tenant: name, Module: e.label})
			}
		}
	}
	return slices.Compact(found)
}

// total returns the sums of the counters of all modules of the tenants for which of returns true; nil: of all tenants.
// It has no names, versions, quantiles or metrics of modules.
func (r *Revision) total(of func(tenant string) bool) report.Module {
	s := report.Module{Errors: make(map[string]uint64)}
	var durations histogram.Snapshot
	var errors [kinds]uint64
	seen := make(map[*counters]bool)
	for _, name := range r.names {
		if of != nil && !of(name) {
			continue
		}
		clear(seen)
		for _, e := range r.tenants[name].entries {
			if e.breaker.state() != closed {
				s.OpenBreakers++
			}
			c := e.generation.counters
			if seen[c] {
				continue
			}
			seen[c] = true
			c.addTo(&s, &durations, &errors)
		}
	}
	for _, g := range r.generations {
		if of == nil || of(g.binding.tenant) {
			s.Instances += int(g.pool.alive.Load())
		}
	}
	for k, n := range errors {
		if n > 0 {
			s.Errors[Kind(k).String()] = n
		}
	}
	s.Durations = report.HistogramOf(&durations)
	return s
}

// addTo adds the counters to sums, without an allocation.
func (c *counters) addTo(s *report.Module, durations *histogram.Snapshot, errors *[kinds]uint64) {
	for k := range kinds {
		errors[k] += c.errors[k].Load()
	}
	s.LogsDropped += c.lines.lost.Load()
	took := c.durations.Snapshot()
	calls := took.Total()
	if calls == 0 {
		return
	}
	s.Calls += calls
	s.Allowed += c.allowed.Load()
	s.Rewritten += c.rewritten.Load()
	s.Denied += c.denied.Load()
	s.Dropped += c.dropped.Load()
	s.Held += c.held.Load()
	s.EffectsDropped += c.lostEffects.Load()
	for i, n := range took.Counts {
		durations.Counts[i] += n
	}
	durations.Sum += took.Sum
}

// Total returns the sums of the counters of all modules of the tenants for which of returns true; nil: of all tenants.
// It has no names, versions, quantiles or metrics of modules. It allocates nothing for each tenant.
func (h *Host) Total(of func(tenant string) bool) report.Module {
	r := h.running()
	if r == nil {
		return report.Module{}
	}
	defer r.release()
	return r.total(of)
}

// bytes returns the bytes in use.
func (b *budget) bytes() int64 {
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	return b.used
}

// size returns the bytes of the compiled module; 0 while it is being compiled.
func (c *code) size() int64 {
	if !c.mu.TryLock() {
		return 0
	}
	defer c.mu.Unlock()
	return c.charged
}
