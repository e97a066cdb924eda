package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/histogram"
)

// Stats is what one module did in one tenant since the process began, or since the
// tenant's chain first named it.
type Stats struct {
	Tenant, Module string
	Shadow         bool               // of its entries in shadow mode
	Version        string             // as in verdicts: module@sha256#revision
	Breaker        int                // entries whose breaker is open now
	Instances      int                // now
	Calls          uint64             // into the guest; many receivers of a say are one call
	Durations      histogram.Snapshot // of the calls
	Allowed        uint64             // verdicts, of them say's by receiver
	Rewritten      uint64
	Denied         uint64
	Dropped        uint64
	Errors         map[string]uint64 // by the name of their Kind
	EffectsDropped uint64            // emits and rooms, because a module's effect had caused the event
	LogsDropped    uint64            // because there were too many
	Metrics        map[string]int64  // that the module counts itself
}

// counters are what Stats is made of. They outlive revisions.
type counters struct {
	countersKey
	calls, allowed, rewritten, denied, dropped, lostEffects atomic.Uint64
	sampled                                                 atomic.Uint64       // allows of which some are recorded
	durations                                               histogram.Histogram // of calls
	errors                                                  [kinds]atomic.Uint64
	lines                                                   meterOfLines
	ring                                                    ring

	mu      sync.Mutex
	metrics map[string]int64
}

const maxMetrics = 64 // of one module

// add counts a module's own metric; false: it has too many.
func (c *counters) add(name string, delta int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.metrics[name]
	if !known && len(c.metrics) == maxMetrics {
		return false
	}
	if c.metrics == nil {
		c.metrics = make(map[string]int64)
	}
	c.metrics[name] += delta
	return true
}

func (c *counters) snapshot() Stats {
	s := Stats{
		Tenant: c.tenant, Module: c.module, Shadow: c.shadow,
		Calls: c.calls.Load(), Durations: c.durations.Snapshot(),
		Allowed: c.allowed.Load(), Rewritten: c.rewritten.Load(), Denied: c.denied.Load(), Dropped: c.dropped.Load(),
		EffectsDropped: c.lostEffects.Load(), LogsDropped: c.lines.lost.Load(),
		Errors: make(map[string]uint64), Metrics: make(map[string]int64),
	}
	for k := range kinds {
		if n := c.errors[k].Load(); n > 0 {
			s.Errors[k.String()] = n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.metrics {
		s.Metrics[name] = n
	}
	return s
}

// meterOfLines bounds the log lines of one module: linesPerSecond, and as many in
// reserve for a burst.
type meterOfLines struct {
	lost atomic.Uint64
	due  atomic.Int64
}

const linesPerSecond = 20

// take reports whether a line may be written at time t.
func (m *meterOfLines) take(t int64) bool {
	const each = int64(time.Second) / linesPerSecond
	for {
		due := m.due.Load()
		if due > t+int64(time.Second)-each {
			m.lost.Add(1)
			return false
		}
		if m.due.CompareAndSwap(due, max(due, t)+each) {
			return true
		}
	}
}
