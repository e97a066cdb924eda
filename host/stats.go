package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// counters are the counters of one module in one tenant. They outlive revisions.
type counters struct {
	countersKey
	allowed, rewritten, denied, dropped, held, lostEffects atomic.Uint64
	sampled                                                atomic.Uint64       // number of allows, for sampling
	durations                                              histogram.Histogram // of calls
	errors                                                 [kinds]atomic.Uint64
	lines                                                  lineLimiter
	warned                                                 atomic.Bool // about a reserved name; see results.warn
	ring                                                   ring
	asking                                                 atomic.Int32 // questions of shadows that wait for an answer

	mu      sync.Mutex
	metrics map[string]int64
}

const maxMetrics = 64 // of one module

// add adds to a metric of the module's own; false if the module has too many metrics.
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

func (c *counters) snapshot() report.Module {
	took := c.durations.Snapshot()
	s := report.Module{
		Tenant: c.tenant, Name: c.module,
		Counters: report.Counters{
			Calls: took.Total(), Allowed: c.allowed.Load(), Rewritten: c.rewritten.Load(), Denied: c.denied.Load(), Dropped: c.dropped.Load(),
			Held: c.held.Load(), EffectsDropped: c.lostEffects.Load(), LogsDropped: c.lines.lost.Load(),
		},
		Errors: make(map[string]uint64), Metrics: make(map[string]int64), Durations: report.HistogramOf(&took),
		P50: millis.DurationOf(took.Quantile(0.5)), P99: millis.DurationOf(took.Quantile(0.99)),
	}
	if c.shadow {
		s.Name += "+shadow"
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

// lineLimiter limits the log lines of one module to linesPerSecond, with a burst of the same
// number.
type lineLimiter struct {
	lost atomic.Uint64
	due  atomic.Int64
}

const linesPerSecond = 20

// take reports whether a line may be written at time t.
func (m *lineLimiter) take(t int64) bool {
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
