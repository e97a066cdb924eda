package api

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mootchat/moot/engine"
)

// metrics reads the counters of the engine and of the modules when it is asked:
// they cost nothing else.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{s})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// collector gives the metrics of the node. No label has a value that a client can
// make up.
type collector struct{ server *Server }

// Describe gives no descriptions: modules come and go.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := sample{out}
	st := c.server.cfg.Engine.Stats()
	m.gauge("moot_connections", "Connections of this node.", float64(st.Connections))
	m.counter("moot_messages_total", "Messages published by this node.", float64(st.Messages))
	m.counter("moot_deliveries_total", "Messages given to a member's outbox.", float64(st.Deliveries))
	m.counter("moot_emits_dropped_total", "Effects of modules that were dropped.", float64(st.EmitsDropped))
	m.counter("moot_room_busy_total", "Messages refused by a full lane.", float64(st.RoomBusy))
	m.counter("moot_slow_readers_total", "Connections closed because they read too slowly.", float64(st.SlowReaders))
	m.counter("moot_refused_total", "Connections that were not let in for want of a place.", float64(st.Refused))
	m.counter("moot_rate_limited_total", "Verbs refused because there were too many.", float64(st.RateLimited))
	m.counter("moot_rejected_total", "What clients sent and was no request.", float64(st.Rejected))
	m.counter("moot_room_limit_total", "Joins refused since the connection was in too many rooms.", float64(st.RoomLimit))
	for code, n := range st.Closed {
		m.counter("moot_closed_total", "Connections that have ended, by close code; 0: the client closed or was lost.", float64(n), "code", strconv.Itoa(code))
	}
	m.cluster(st.Cluster)
}

func (m sample) cluster(c engine.ClusterStats) {
	m.counter("moot_cluster_reopened_total", "Subscriptions that broke and were made again.", float64(c.Reopened))
	m.counter("moot_cluster_healed_total", "Messages read from history since they did not come.", float64(c.Healed))
	m.counter("moot_cluster_replayed_total", "Messages published again after a failover had lost them.", float64(c.Replayed))
	m.counter("moot_cluster_gaps_total", "Messages lost to this node: they had left history before they were read.", float64(c.Gaps))
	m.counter("moot_cluster_malformed_total", "What came from the cluster's store and is not ours.", float64(c.Malformed))
	m.counter("moot_cluster_leave_unknown_total", "Members of dead nodes for whom leave may have run.", float64(c.LeaveUnknown))
	m.counter("moot_cluster_rejoined_total", "Members whom others had let go, and who joined again.", float64(c.Rejoined))
	m.counter("moot_cluster_restored_total", "Members put back on record, which the cluster's store had lost.", float64(c.Restored))
}

// sample is one scrape.
type sample struct{ out chan<- prometheus.Metric }

func (m sample) gauge(name, help string, v float64, labels ...string) {
	m.send(prometheus.GaugeValue, name, help, v, labels)
}

func (m sample) counter(name, help string, v float64, labels ...string) {
	m.send(prometheus.CounterValue, name, help, v, labels)
}

// send gives one value; labels are names and values by turns.
func (m sample) send(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}
