package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/host/report"
)

// RoundTrip has the durations of round trips to Redis of one kind and result. Both have few values.
type RoundTrip struct {
	Kind, Result string
	Durations    histogram.Snapshot
}

// latencies emits the durations of verbs, chains and round trips to Redis. The number of series does not depend on
// the number of tenants.
func (c *collector) latencies(m sample) {
	st := c.server.cfg.Engine.Stats()
	for _, v := range st.Verbs {
		m.counter("moot_verbs_total", "Verbs of clients by result.", float64(v.Count), "verb", v.Verb, "result", v.Result)
		if v.Durations.Total() > 0 {
			m.histogram("moot_verb_duration_seconds", "Time of verbs until their answer was queued, by result.", report.HistogramOf(&v.Durations), fine, "verb", v.Verb, "result", v.Result)
		}
	}
	for _, s := range st.Chains {
		m.histogram("moot_chain_duration_seconds", "Time of all rules of a hook together, by outcome.", report.HistogramOf(&s.Durations), fine, "hook", s.Hook, "outcome", s.Outcome)
	}
	if c.server.cfg.RoundTrips == nil {
		return
	}
	for _, t := range c.server.cfg.RoundTrips() {
		m.histogram("moot_redis_duration_seconds", "Time of round trips to Redis, by kind and result.", report.HistogramOf(&t.Durations), fine, "kind", t.Kind, "result", t.Result)
	}
}

// buckets selects each bucket i with i >= from and i%step == step-1.
type buckets struct{ from, step int }

var (
	// fine has bounds that double, from 33 us to 17 s, so that quantiles are off by a factor of
	// two at most.
	fine = buckets{from: 5, step: 1}
	// coarse has every second bound, because each module of a tenant may have a histogram.
	coarse = buckets{from: 0, step: 2}
)

// histogram emits a histogram with the buckets that b selects and the bucket without a bound.
func (m sample) histogram(name, help string, h report.Histogram, b buckets, labels ...string) {
	cumulative := map[float64]uint64{}
	total := uint64(0)
	for i, n := range h.Counts {
		if total += n; i < len(h.Bounds) && i >= b.from && i%b.step == b.step-1 {
			cumulative[h.Bounds[i].Std().Seconds()] = total
		}
	}
	names, values := split(labels)
	m.emit(prometheus.NewConstHistogram(prometheus.NewDesc(name, help, names, nil), total, h.Sum.Std().Seconds(), cumulative, values...))
}
