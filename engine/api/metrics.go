package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/host/report"
)

// scrapePause is the longest time between two scrapes, see shared.
const scrapePause = time.Second

// metrics answers scrapes. It reads the counters of the engine and of the modules then:
// between scrapes metrics cost nothing.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{server: s, series: newTenantSeries(&s.cfg)})
	return shareResponses(scrapePause, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

// collector gives the metrics of the node. No label has a value that a client can
// make up: tenants and modules are those of the configuration, verbs and kinds are
// few, and a module's own metrics are bounded by its host. The number of series does not
// grow with the number of tenants beyond [Config].MetricsTenants.
type collector struct {
	server *Server
	series tenantSeries
}

// Describe gives no descriptions: modules come and go.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := sample{out}
	m.gauge("moot_build_info", "1, for each version that runs.", 1, "version", c.server.cfg.Version)
	d := c.server.differences(context.Background())
	m.gauge("moot_cluster_versions", "Different versions of the program that the nodes of the cluster run: more than 1 during an upgrade.", float64(len(d.Versions)))
	m.gauge("moot_cluster_revisions", "Different revisions of the configuration that the nodes of the cluster run: more than 1 during a rollout.", float64(len(d.Revisions)))
	c.node(m)
	c.latencies(m)
	if rules := c.server.cfg.Rules; rules != nil {
		taken, refused := rules.Counts()
		m.counter("moot_reloads_total", "Reloads and rollbacks.", float64(taken), "result", "ok")
		m.counter("moot_reloads_total", "Reloads and rollbacks.", float64(refused), "result", "refused")
		m.gauge("moot_rules_current", "1 unless the last reload was refused: the node serves on by older rules.", oneIf(rules.Last() == nil || rules.Last().OK))
		m.gauge("moot_restart_needed", "1 while settings have changed in the node's files that only a restart takes over.", oneIf(len(rules.NeedsRestart()) > 0))
	}
	tenants, modules := c.series.choose(c.server.cfg.Engine.Tenants(), c.server.here())
	for _, t := range tenants {
		m.tenant(&t)
	}
	for _, module := range modules {
		m.module(&module)
	}
}

func (c *collector) node(m sample) {
	e := c.server.cfg.Engine
	m.gauge("moot_open", "1 while clients are let in.", oneIf(e.Accepting() == nil))
	st := e.Stats()
	m.gauge("moot_cluster_healthy", "1 while the node gets on with the cluster.", oneIf(e.ClusterHealth() == nil))
	m.cluster(st.Cluster)
	m.counter("moot_messages_total", "Messages published by this node.", float64(st.Messages))
	m.counter("moot_deliveries_total", "Messages given to a member's outbox.", float64(st.Deliveries))
	m.counter("moot_emits_dropped_total", "Effects of modules that were dropped.", float64(st.EmitsDropped))
	m.counter("moot_room_busy_total", "Messages refused by a full lane.", float64(st.RoomBusy))
	m.counter("moot_slow_readers_total", "Connections closed because they read too slowly.", float64(st.SlowReaders))
	m.counter("moot_refused_total", "Connections that were not let in for want of a place.", float64(st.Refused))
	m.counter("moot_rate_limited_total", "Verbs refused because there were too many.", float64(st.RateLimited))
	m.counter("moot_rejected_total", "What clients sent and was no request.", float64(st.Rejected))
	m.counter("moot_room_limit_total", "Joins refused since the connection was in too many rooms.", float64(st.RoomLimit))
	m.counter("moot_slow_handshakes_total", "Clients let go since they took too long to ask for a connection.", float64(st.SlowHandshakes))
	if failures := c.server.cfg.AcceptFailures; failures != nil {
		m.counter("moot_accept_failures_total", "Times that a listener had no file descriptor for a client.", float64(failures()))
	}
	for code, n := range st.Closed {
		m.counter("moot_closed_total", "Connections that have ended, by close code; 0: the client closed or was lost.", float64(n), "code", strconv.Itoa(code))
	}
	if c.server.cfg.Certificates != nil {
		for listener, end := range c.server.cfg.Certificates() {
			m.gauge("moot_certificate_expiry_timestamp_seconds", "When the certificate of a listener ends, in seconds since 1970.", float64(end.Unix()), "listener", listener)
		}
	}
}

// sample is one scrape.
type sample struct{ out chan<- prometheus.Metric }

func (m sample) cluster(c cluster.Stats) {
	m.counter("moot_cluster_reopened_total", "Subscriptions that broke and were made again.", float64(c.Reopened))
	m.counter("moot_cluster_healed_total", "Messages read from history since they did not come.", float64(c.Healed))
	m.counter("moot_cluster_replayed_total", "Messages published again after a failover had lost them.", float64(c.Replayed))
	m.counter("moot_cluster_gaps_total", "Messages lost to this node, at least: Redis does not have them any more.", float64(c.Gaps))
	m.counter("moot_cluster_malformed_total", "What came from the cluster's store and is not ours.", float64(c.Malformed))
	m.counter("moot_cluster_leave_unknown_total", "Members of dead nodes for whom leave may have run.", float64(c.LeaveUnknown))
	m.counter("moot_cluster_rejoined_total", "Members whom others had let go, and who joined again.", float64(c.Rejoined))
	m.counter("moot_cluster_restored_total", "Members put back on record, which the cluster's store had lost.", float64(c.Restored))
}

// tenant gives the metrics of one tenant, or of the others together.
func (m sample) tenant(t *engine.TenantStats) {
	m.gauge("moot_connections", "Connections of this node.", float64(t.Connections), "tenant", t.Name)
	m.gauge("moot_rooms", "Rooms with members on this node.", float64(t.Rooms), "tenant", t.Name)
	m.gauge("moot_outbox_bytes", "What waits for the connections of this node.", float64(t.OutboxBytes), "tenant", t.Name)
	m.counter("moot_tenant_messages_total", "Messages published by this node, by tenant.", float64(t.Messages), "tenant", t.Name)
}

// module gives the metrics of one module in one tenant. One without a version is several.
func (m sample) module(s *report.Module) {
	of := []string{"tenant", s.Tenant, "module", s.Name}
	if s.Version != "" {
		m.gauge("moot_module_info", "1, with the version that is asked now: module@sha256#revision.", 1, append(of, "version", s.Version)...)
	}
	m.counter("moot_module_calls_total", "Calls of a module's hooks.", float64(s.Calls), of...)
	for verdict, n := range map[string]uint64{"allow": s.Allowed, "rewrite": s.Rewritten, "deny": s.Denied, "drop": s.Dropped} {
		m.counter("moot_module_verdicts_total", "Verdicts of a module, at say one for each receiver.", float64(n), append(of, "verdict", verdict)...)
	}
	for kind, n := range s.Errors {
		m.counter("moot_module_errors_total", "Failures of a module by kind.", float64(n), append(of, "kind", kind)...)
	}
	m.gauge("moot_module_open_breakers", "Entries that are not asked now, because they failed too often.", float64(s.OpenBreakers), of...)
	m.gauge("moot_module_instances", "Instances of a module.", float64(s.Instances), of...)
	m.counter("moot_module_effects_dropped_total", "Emits and rooms of a module that were dropped.", float64(s.EffectsDropped), of...)
	m.counter("moot_module_logs_dropped_total", "Log lines of a module that were dropped.", float64(s.LogsDropped), of...)
	for name, n := range s.Metrics {
		m.gauge("moot_module_metric", "What a module counts itself.", float64(n), append(of, "name", name)...)
	}
	m.histogram("moot_module_duration_seconds", "How long calls of a module took.", s.Durations, coarse, of...)
}

func (m sample) gauge(name, help string, v float64, labels ...string) {
	names, values := split(labels)
	m.emit(prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, v, values...))
}

func (m sample) counter(name, help string, v float64, labels ...string) {
	names, values := split(labels)
	m.emit(prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.CounterValue, v, values...))
}

// emit passes over a metric that cannot be: a module may have made up its name.
func (m sample) emit(metric prometheus.Metric, err error) {
	if err == nil {
		m.out <- metric
	}
}

// split gives the names and the values of labels, which come by turns.
func split(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
