package api

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/host/report"
)

// scrapePause is the longest pause after a scrape, see shared.
const scrapePause = time.Second

// metrics answers scrapes. It reads the counters of the engine and of the modules during a scrape, so that metrics cost
// nothing between scrapes.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{server: s, series: newTenantSeries(&s.cfg)})
	return shareResponses(scrapePause, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

// collector collects the metrics of the node. No label has a value that a client can choose: tenants and modules
// are those of the configuration, verbs and kinds are few, and the host bounds the metrics of modules. The number
// of series does not grow with the number of tenants beyond [Config].MetricsTenants.
type collector struct {
	server *Server
	series tenantSeries
}

// Describe implements prometheus.Collector. It sends nothing, because a reload can add and remove modules.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := sample{out}
	m.gauge("moot_build_info", "1, with the version of the program.", 1, "version", c.server.cfg.Version)
	d := c.server.differences(context.Background())
	m.gauge("moot_cluster_versions", "Different versions of the program that the nodes of the cluster run: more than 1 during an upgrade.", float64(len(d.Versions)))
	m.gauge("moot_cluster_revisions", "Different revisions of the configuration that the nodes of the cluster run: more than 1 during a rollout.", float64(len(d.Revisions)))
	c.node(m)
	c.latencies(m)
	if rules := c.server.cfg.Rules; rules != nil {
		taken, partial, refused := rules.Counts()
		m.counter("moot_reloads_total", "Reloads and rollbacks.", float64(taken), "result", "ok")
		m.counter("moot_reloads_total", "Reloads and rollbacks.", float64(partial), "result", "partial")
		m.counter("moot_reloads_total", "Reloads and rollbacks.", float64(refused), "result", "refused")
		m.gauge("moot_tenants_faulty", "Tenants that are not configured correctly: they stay as before, or their clients are refused.", float64(len(rules.Faults())))
		m.gauge("moot_rules_current", "0 while the last reload was refused and the node serves with older rules, else 1.", oneIf(rules.Last() == nil || rules.Last().OK || rules.Last().Partial))
		m.gauge("moot_restart_needed", "1 while changed settings in the files of the node need a restart.", oneIf(len(rules.NeedsRestart()) > 0))
	}
	tenants, left := c.series.choose(c.server.cfg.Engine.Tenants())
	for _, t := range tenants {
		m.tenant(&t)
	}
	modules := c.server.cfg.Modules
	if modules == nil {
		return
	}
	for _, module := range c.series.modules(modules, tenants, left) {
		m.module(&module)
	}
	if asks := c.server.cfg.Asks; asks != nil {
		m.asks(asks.Totals(), c.series.asks(asks.Usage()))
	}
	usage := modules.Usage(report.UsageQuery{Top: math.MaxInt})
	m.usage(&usage)
	of := c.series.usage(usage.Tenants, tenants)
	for _, t := range tenants {
		m.tenantUsage(t.Name, of[t.Name])
	}
}

func (c *collector) node(m sample) {
	e := c.server.cfg.Engine
	m.gauge("moot_open", "1 while new clients are accepted.", oneIf(e.Accepting() == nil))
	st := e.Stats()
	m.gauge("moot_cluster_healthy", "1 while the cluster answers.", oneIf(e.ClusterHealth() == nil))
	m.cluster(st.Cluster)
	m.counter("moot_messages_total", "Messages published by this node.", float64(st.Messages))
	m.counter("moot_deliveries_total", "Messages put into the outbox of a member.", float64(st.Deliveries))
	m.counter("moot_emits_dropped_total", "Effects of modules that were dropped.", float64(st.EmitsDropped))
	m.counter("moot_room_busy_total", "Messages refused because the queue of the room was full.", float64(st.RoomBusy))
	m.counter("moot_slow_readers_total", "Connections closed because they read too slowly.", float64(st.SlowReaders))
	m.counter("moot_refused_total", "Connections refused because of a limit of connections.", float64(st.Refused))
	m.counter("moot_rate_limited_total", "Verbs refused by a rate limit.", float64(st.RateLimited))
	m.counter("moot_rejected_total", "Frames of clients that were not valid requests.", float64(st.Rejected))
	m.counter("moot_room_limit_total", "Joins refused because the connection was in too many rooms.", float64(st.RoomLimit))
	for kind, n := range map[moderation.Kind]uint64{moderation.Mute: st.Muted, moderation.Ban: st.Banned, moderation.Shadow: st.Shadowed} {
		m.counter("moot_sanctioned_total", "Messages, joins and connections to which a sanction was applied.", float64(n), "kind", string(kind))
	}
	m.gauge("moot_outbox_memory_bytes", "Memory of what waits to be written to clients, about limits.outboxMemory at most.", float64(st.OutboxMemory))
	m.gauge("moot_incoming_memory_bytes", "Memory of messages that clients have begun to send, at most limits.outboxMemory.", float64(st.IncomingMemory))
	m.counter("moot_outbox_memory_closed_total", "Slow readers closed because their tenant used too much of limits.outboxMemory.", float64(st.OutboxClosed))
	for source, n := range map[string]uint64{"person": st.SetByPeople, "module": st.SetByModules} {
		m.counter("moot_sanctions_set_total", "Sanctions that were set on this node.", float64(n), "source", source)
	}
	m.held(&st.Held)
	m.reports(&st.Reports)
	m.amendments("retract", &st.Retractions)
	m.amendments("edit", &st.Edits)
	m.counter("moot_removals_total", "Clients that modules removed from rooms or disconnected.", float64(st.Removals))
	if c.server.cfg.Events != nil {
		m.events(c.server.cfg.Events.Counters(), c.server.cfg.Events.Usage())
	}
	m.counter("moot_slow_handshakes_total", "Clients closed because their handshake took too long.", float64(st.SlowHandshakes))
	if closed := c.server.cfg.PendingClosed; closed != nil {
		m.counter("moot_pending_closed_total", "Connections without a client that were closed because there were too many.", float64(closed()))
	}
	if failures := c.server.cfg.AcceptFailures; failures != nil {
		m.counter("moot_accept_failures_total", "Times that a listener had no file descriptor for a client.", float64(failures()))
	}
	for code, n := range st.Closed {
		m.counter("moot_closed_total", "Connections that ended, by close code; 0: the client closed or was lost.", float64(n), "code", strconv.Itoa(code))
	}
	if c.server.cfg.Certificates != nil {
		for listener, end := range c.server.cfg.Certificates() {
			m.gauge("moot_certificate_expiry_timestamp_seconds", "Expiry of the certificate of a listener, in seconds since 1970.", float64(end.Unix()), "listener", listener)
		}
	}
}

func (m sample) events(c events.Counters, u events.Usage) {
	m.counter("moot_events_written_total", "Events for sinks that were written to the store.", float64(c.Written))
	m.counter("moot_events_delivered_total", "Events that sinks have accepted.", float64(c.Delivered))
	m.counter("moot_events_failed_total", "Deliveries to sinks that failed; their events wait.", float64(c.Failed))
	m.counter("moot_events_rejected_total", "Events that became dead letters because the sink did not accept them.", float64(c.Rejected))
	m.counter("moot_events_lost_total", "Events that were lost because the store did not take them.", float64(c.Lost))
	m.counter("moot_events_lost_decisions_total", "Decisions of rules that were lost because the store did not take them in time.", float64(c.LostVolatile))
	m.counter("moot_events_late_total", "Answers to clients before the store had the event of their request.", float64(c.Late))
	const dead = "Events that became dead letters on any node, by reason: aged, because they had waited too long, or crowded, because too many waited."
	m.counter("moot_events_dead_total", dead, float64(u.Aged), "reason", "aged")
	m.counter("moot_events_dead_total", dead, float64(u.Crowded), "reason", "crowded")
	m.counter("moot_events_dropped_total", "Events for sinks that were dropped on any node: old dead letters, dead letters beyond the limits, and lost events.", float64(u.Dropped))
	m.gauge("moot_events_waiting_bytes", "Events that wait for sinks, of all nodes.", float64(u.Bytes))
	m.gauge("moot_events_dead_bytes", "Dead letters, of all nodes.", float64(u.DeadBytes))
	m.gauge("moot_events_waiting_age_seconds", "Age of the oldest event that waits for a sink, of all nodes.", ageOf(u.Oldest))
}

// sample emits the metrics of one scrape.
type sample struct{ out chan<- prometheus.Metric }

func (m sample) cluster(c cluster.Stats) {
	m.counter("moot_cluster_reopened_total", "Subscriptions that broke and were opened again.", float64(c.Reopened))
	m.counter("moot_cluster_healed_total", "Messages read from history because they had not arrived.", float64(c.Healed))
	m.counter("moot_cluster_replayed_total", "Messages published again because a failover had lost them.", float64(c.Replayed))
	m.counter("moot_cluster_gaps_total", "Messages lost to this node, at least: Redis does not have them any more.", float64(c.Gaps))
	m.counter("moot_cluster_malformed_total", "Values in the backend of the cluster that could not be decoded.", float64(c.Malformed))
	m.counter("moot_cluster_leave_unknown_total", "Members of dead nodes whose leave hook may have run.", float64(c.LeaveUnknown))
	m.counter("moot_cluster_rejoined_total", "Members that other nodes had removed, and that joined again.", float64(c.Rejoined))
	m.counter("moot_cluster_restored_total", "Members written again because the backend had lost them.", float64(c.Restored))
}

// tenant emits the metrics of one tenant, or the sums of the tenants without series of their own.
func (m sample) tenant(t *engine.TenantStats) {
	m.gauge("moot_connections", "Connections of this node.", float64(t.Connections), "tenant", t.Name)
	m.gauge("moot_rooms", "Rooms with members on this node.", float64(t.Rooms), "tenant", t.Name)
	m.gauge("moot_outbox_bytes", "Bytes that wait for connections of this node.", float64(t.OutboxBytes), "tenant", t.Name)
	m.gauge("moot_held_messages", "Messages that wait for a decision of a moderator, on the node that looks after the tenant; 0 on the others.", float64(t.Held), "tenant", t.Name)
	m.gauge("moot_held_age_seconds", "Age of the oldest message that waits for a decision, on the node that looks after the tenant; 0 on the others.", ageOf(t.HeldSince), "tenant", t.Name)
	m.gauge("moot_reports", "Reports that wait for a decision of a moderator, on the node that looks after the tenant; 0 on the others.", float64(t.Reports), "tenant", t.Name)
	m.gauge("moot_reports_age_seconds", "Age of the oldest report that waits for a decision, on the node that looks after the tenant; 0 on the others.", ageOf(t.ReportsSince), "tenant", t.Name)
	m.gauge("moot_review_dropped", "Decided messages and reports that were removed before limits.heldRetention because there were too many, on the node that looks after the tenant; 0 on the others.", float64(t.ReviewDropped), "tenant", t.Name)
	m.counter("moot_tenant_messages_total", "Messages published by this node, by tenant.", float64(t.Messages), "tenant", t.Name)
}

// ageOf returns the seconds since a time in ms since 1970; 0 for 0.
func ageOf(since int64) float64 {
	if since == 0 {
		return 0
	}
	return time.Since(time.UnixMilli(since)).Seconds()
}

// reports emits the counters of reports.
func (m sample) reports(r *review.ReportStats) {
	const name, help = "moot_reports_total", "Reports on this node: made, refused because too many wait, dismissed, retracted, sanctioned, expired."
	for result, n := range map[string]uint64{"made": r.Made, "refused": r.Refused} {
		m.counter(name, help, float64(n), "result", result)
	}
	for outcome, n := range r.Decided {
		m.counter(name, help, float64(n), "result", string(outcome))
	}
}

// amendments emits the counters of retractions or edits.
func (m sample) amendments(kind string, s *cluster.AmendmentStats) {
	for result, n := range map[string]uint64{"published": s.Published, "refused": s.Refused, "failed": s.Failed} {
		m.counter("moot_amendments_total", "Retractions and edits of messages on this node: published, refused by the server or a rule, or failed because of a fault.", float64(n), "kind", kind, "result", result)
	}
}

// held emits the counters of held messages.
func (m sample) held(h *review.Stats) {
	const name, help = "moot_held_total", "What happened to held messages on this node: held, refused because too many were held, released, rejected, withdrawn, expired, " +
		"or failed if a release was refused."
	for result, n := range map[string]uint64{"held": h.Held, "refused": h.Refused, "failed": h.Failed} {
		m.counter(name, help, float64(n), "result", result)
	}
	for outcome, n := range h.Decided {
		m.counter(name, help, float64(n), "result", string(outcome))
	}
	waited := report.HistogramOf(&h.Waited)
	waited.Sum *= review.WaitScale
	for i := range waited.Bounds {
		waited.Bounds[i] *= review.WaitScale
	}
	m.histogram("moot_held_wait_seconds", "Time that held messages waited for their decision.", waited, buckets{from: 7, step: 2})
}

// usage emits what all modules use.
func (m sample) usage(u *report.Usage) {
	m.gauge("moot_modules", "Different compiled modules.", float64(u.ModulesCount))
	m.gauge("moot_module_bindings", "Modules as tenants use them, by state: awake ones have instances.", float64(u.Awake), "state", "awake")
	m.gauge("moot_module_bindings", "Modules as tenants use them, by state: awake ones have instances.", float64(u.Asleep), "state", "asleep")
	m.gauge("moot_module_memory_limit_bytes", "Limit of the memory of modules, limits.moduleMemory.", float64(u.Memory.Limit))
	m.gauge("moot_module_memory_bytes", "Memory of modules, by kind.", float64(u.Memory.Code), "kind", "code")
	m.gauge("moot_module_memory_bytes", "Memory of modules, by kind.", float64(u.Memory.Instances), "kind", "instances")
	m.gauge("moot_module_memory_bytes", "Memory of modules, by kind.", float64(u.Memory.Spare), "kind", "spare")
	m.gauge("moot_module_memory_bytes", "Memory of modules, by kind.", float64(u.Memory.Images), "kind", "images")
	m.gauge("moot_module_memory_bytes", "Memory of modules, by kind.", float64(u.Memory.Diffs), "kind", "diffs")
	m.gauge("moot_module_images", "Modules whose instances start from an image.", float64(u.Images))
	m.histogram("moot_module_wake_duration_seconds", "Time of wakes: of making the first instance of a module that had none.", u.Wakes, fine)
}

// tenantUsage emits what the modules of one tenant use, or of the tenants without series of their own.
func (m sample) tenantUsage(tenant string, u report.TenantUsage) {
	m.counter("moot_tenant_module_cpu_seconds_total", "Processor time of a tenant's modules.", u.CPUTime.Std().Seconds(), "tenant", tenant)
	m.gauge("moot_tenant_module_memory_bytes", "Memory of the instances of a tenant's modules.", float64(u.Memory), "tenant", tenant)
}

// module emits the metrics of one module in one tenant. A sum of several modules has no version.
func (m sample) module(s *report.Module) {
	of := []string{"tenant", s.Tenant, "module", s.Name}
	if s.Version != "" {
		m.gauge("moot_module_info", "1, with the version in use: module@sha256#revision.", 1, append(of, "version", s.Version)...)
	}
	m.counter("moot_module_calls_total", "Calls of a module's hooks.", float64(s.Calls), of...)
	for verdict, n := range map[string]uint64{"allow": s.Allowed, "rewrite": s.Rewritten, "deny": s.Denied, "drop": s.Dropped, "hold": s.Held} {
		m.counter("moot_module_verdicts_total", "Verdicts of a module, at say one for each receiver.", float64(n), append(of, "verdict", verdict)...)
	}
	for kind, n := range s.Errors {
		m.counter("moot_module_errors_total", "Failures of a module by kind.", float64(n), append(of, "kind", kind)...)
	}
	m.gauge("moot_module_open_breakers", "Entries whose breaker is open.", float64(s.OpenBreakers), of...)
	m.gauge("moot_module_instances", "Instances of a module.", float64(s.Instances), of...)
	m.counter("moot_module_effects_dropped_total", "Effects of a module that were dropped.", float64(s.EffectsDropped), of...)
	m.counter("moot_module_logs_dropped_total", "Log lines of a module that were dropped.", float64(s.LogsDropped), of...)
	for name, n := range s.Metrics {
		m.gauge("moot_module_metric", "Metrics that a module counts itself.", float64(n), append(of, "name", name)...)
	}
	m.histogram("moot_module_duration_seconds", "Time of calls of a module.", s.Durations, coarse, of...)
}

func (m sample) gauge(name, help string, v float64, labels ...string) {
	names, values := split(labels)
	m.emit(prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, v, values...))
}

func (m sample) counter(name, help string, v float64, labels ...string) {
	names, values := split(labels)
	m.emit(prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.CounterValue, v, values...))
}

// emit skips invalid metrics, because modules choose names.
func (m sample) emit(metric prometheus.Metric, err error) {
	if err == nil {
		m.out <- metric
	}
}

// split returns the names and the values of alternating labels.
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
