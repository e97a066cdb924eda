package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/report"
)

// scraped returns the metrics of a node that has served clients.
func scraped(t *testing.T) string {
	t.Helper()
	n := alone(t, newProgram().use, func(c *api.Config) {
		c.Certificates = func() map[string]time.Time { return map[string]time.Time{"http": time.Unix(1_900_000_000, 0)} }
		c.AcceptFailures = func() uint64 { return 7 }
		c.PendingClosed = func() uint64 { return 7 }
		c.Asks = someAsks{{Tenant: "acme", Name: "score", Requests: 3, Failed: map[string]uint64{"timeout": 1}}}
		c.RoundTrips = func() []api.RoundTrip {
			var h histogram.Histogram
			h.Observe(100 * time.Microsecond)
			return []api.RoundTrip{{Kind: "script", Result: "ok", Durations: h.Snapshot()}}
		}
	})
	gone, c := n.client("acme"), n.client("acme")
	gone.HangUp()
	c.Do(context.Background(), wire.Request{Verb: "roomAdd", Room: "den", RoomGiven: true})
	c.Do(context.Background(), wire.Request{Verb: "say", Room: "den", RoomGiven: true, Text: "hello"})
	c.Do(context.Background(), wire.Request{Verb: "a verb that nobody knows"})
	c.Await("hello")
	status, text := n.request("GET", "/metrics", "")
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	return text
}

// families counts the series of each metric.
func families(text string) map[string]int {
	n := map[string]int{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "moot_") {
			n[line[:strings.IndexAny(line, "{ ")]]++
		}
	}
	return n
}

// TestSeriesDoNotGrowWithTenants checks that the number of series is limited with 10,000 tenants: each metric has a series for
// each tenant with series of its own and one for all others.
func TestSeriesDoNotGrowWithTenants(t *testing.T) {
	const many, most = 10_000, 7
	modules := &manyModules{}
	var tenants []engine.TenantConfig
	for i := range many {
		name := fmt.Sprint("t", i)
		tenants = append(tenants, engine.TenantConfig{Name: name})
		modules.all = append(modules.all, report.Module{Tenant: name, Name: "m-" + name, Version: "v", Counters: report.Counters{Calls: 1}, Errors: map[string]uint64{"trap": 1},
			Metrics: map[string]int64{"own": 1}, Durations: report.Histogram{Bounds: []millis.Duration{1000, 2000}, Counts: []uint64{1, 1, 1}, Sum: 1000}})
	}
	n := startWith(t, memory.New().Node("one"), tenants, func(c *api.Config) {
		c.Modules, c.MetricsTenants, c.MetricsFor = modules, most, []string{"t9999"}
	})
	n.client("t5000")
	n.client("t6000")
	scrape := func() string {
		t.Helper()
		status, text := n.request("GET", "/metrics", "")
		if status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		return text
	}
	text := scrape()
	for _, want := range []string{
		`moot_connections{tenant="t5000"} 1`, `moot_connections{tenant="t6000"} 1`, `moot_connections{tenant="t9999"} 0`, `moot_connections{tenant="other"} 0`,
		`moot_module_calls_total{module="m-t5000",tenant="t5000"} 1`, `moot_module_calls_total{module="other",tenant="other"} 9997`,
		`moot_module_errors_total{kind="trap",module="other",tenant="other"} 9997`,
		`moot_module_duration_seconds_bucket{module="other",tenant="other",le="+Inf"} 29991`, `moot_module_duration_seconds_sum{module="other",tenant="other"} 9997`,
		`moot_tenant_module_cpu_seconds_total{tenant="t5000"} 1`, `moot_tenant_module_cpu_seconds_total{tenant="other"} 9997`,
		`moot_tenant_module_memory_bytes{tenant="other"} 99970`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	for i := range 2 * most { // more tenants than there are series
		n.client(fmt.Sprint("t", i))
	}
	text = scrape()
	if got := families(text); got["moot_connections"] != most+2 || got["moot_tenant_messages_total"] != most+2 || got["moot_module_calls_total"] != most+2 || got["moot_module_metric"] != most+1 {
		t.Errorf("%v, want %d tenants and the others", got, most+1)
	}
	if modules.reported > most+1 {
		t.Errorf("a scrape asked for the reports of %d tenants", modules.reported)
	}
	if total := strings.Count(text, "\nmoot_"); total > 350 {
		t.Errorf("%d series", total)
	}
	for _, kept := range []string{"t5000", "t6000", "t9999"} {
		if !strings.Contains(text, `moot_connections{tenant="`+kept+`"}`) {
			t.Errorf("%s has lost its series", kept)
		}
	}

	// The counters of "other" do not decrease when tenants are removed: a decrease would look like a restart.
	modules.mu.Lock()
	modules.all = modules.all[5000:]
	modules.mu.Unlock()
	before, _ := strconv.Atoi(regexp.MustCompile(`moot_module_calls_total{module="other",tenant="other"} (\d+)`).FindStringSubmatch(text)[1])
	if want := fmt.Sprintf(`moot_module_calls_total{module="other",tenant="other"} %d`, before); !strings.Contains(scrape(), want) {
		t.Errorf("there is no %s", want)
	}
}

// TestATenantNamedOtherIsOneOfThem checks that a tenant with the name "other" has no series of its own, because its label
// would be the label of the sums.
func TestATenantNamedOtherIsOneOfThem(t *testing.T) {
	n := startWith(t, memory.New().Node("one"), []engine.TenantConfig{{Name: "other"}, {Name: "acme"}}, func(c *api.Config) { c.MetricsFor = []string{"other"} })
	n.client("other")
	_, text := n.request("GET", "/metrics", "")
	if strings.Count(text, `moot_connections{tenant="other"} 1`) != 1 || !strings.Contains(text, `moot_connections{tenant="acme"} 0`) {
		t.Errorf("%s", regexp.MustCompile(`(?m)^moot_connections.*$`).FindAllString(text, -1))
	}
}

// manyModules has the modules of many tenants.
type manyModules struct {
	mu       sync.Mutex
	all      []report.Module
	reported int // the largest number of tenants or modules that were asked for at once
}

func (m *manyModules) Stats(tenants ...string) []report.Module {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reported = max(m.reported, len(tenants))
	if len(tenants) == 0 {
		m.reported = len(m.all)
		return m.all
	}
	return slices.DeleteFunc(slices.Clone(m.all), func(r report.Module) bool { return !slices.Contains(tenants, r.Tenant) })
}

func (m *manyModules) Total(of func(string) bool) report.Module {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sumOf(m.all, of)
}

func (m *manyModules) Usage(q report.UsageQuery) report.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := report.Usage{}
	for _, r := range m.all {
		u.Tenants = append(u.Tenants, report.TenantUsage{Tenant: r.Tenant, CPUTime: 1000, Memory: 10})
	}
	return u
}

// sumOf returns the sums of the counters of the modules of some tenants.
func sumOf(all []report.Module, of func(string) bool) report.Module {
	sum := report.Module{Errors: map[string]uint64{}}
	for _, m := range all {
		if !of(m.Tenant) {
			continue
		}
		its := m.Counters.ByName()
		for name, n := range sum.Counters.ByName() {
			*n += *its[name]
		}
		for kind, n := range m.Errors {
			sum.Errors[kind] += n
		}
		if sum.Durations.Counts == nil {
			sum.Durations = report.Histogram{Bounds: m.Durations.Bounds, Counts: make([]uint64, len(m.Durations.Counts))}
		}
		for i, n := range m.Durations.Counts {
			sum.Durations.Counts[i] += n
		}
		sum.Durations.Sum += m.Durations.Sum
	}
	return sum
}

func TestMetrics(t *testing.T) {
	text := scraped(t)
	for _, want := range []string{
		`moot_connections{tenant="acme"} 1`, `moot_connections{tenant="default"} 0`, `moot_rooms{tenant="acme"} 1`,
		`moot_outbox_bytes{tenant="acme"} `, `moot_messages_total 1`, `moot_deliveries_total 1`,
		`moot_verbs_total{result="ok",verb="roomAdd"} 1`, `moot_verbs_total{result="ok",verb="say"} 1`, `moot_verbs_total{result="error",verb="other"} 1`,
		`moot_module_calls_total{module="mask",tenant="acme"} 7`, `moot_module_errors_total{kind="trap",module="mask",tenant="acme"} 2`,
		`moot_module_duration_seconds_bucket{module="mask",tenant="acme",le="0.002"} 5`, `moot_module_duration_seconds_bucket{module="mask",tenant="acme",le="+Inf"} 7`,
		`moot_module_info{module="mask",tenant="acme",version="mask@0a1b2c3d#r1"} 1`, `moot_modules 2`,
		`moot_module_bindings{state="awake"} 1`, `moot_module_bindings{state="asleep"} 2`, `moot_module_memory_limit_bytes 1.073741824e+09`,
		`moot_module_memory_bytes{kind="code"} 5.24288e+06`, `moot_module_memory_bytes{kind="instances"} 3.145728e+06`, `moot_module_wake_duration_seconds_count 1`,
		`moot_module_images 2`, `moot_module_memory_bytes{kind="images"} 2.097152e+06`, `moot_module_memory_bytes{kind="diffs"} 65536`,
		`moot_tenant_module_cpu_seconds_total{tenant="acme"} 1.5`, `moot_tenant_module_memory_bytes{tenant="acme"} 3.145728e+06`, `moot_module_metric{module="mask",name="hits",tenant="acme"} 3`,
		`moot_closed_total{code="0"} 1`, `moot_rejected_total 0`, `moot_reloads_total{result="ok"} 3`, `moot_rules_current 1`, `moot_restart_needed 1`,
		`moot_tenant_messages_total{tenant="acme"} 1`, `moot_certificate_expiry_timestamp_seconds{listener="http"} 1.9e+09`,
		`moot_verb_duration_seconds_count{result="ok",verb="say"} 1`, `moot_verb_duration_seconds_bucket{result="ok",verb="say",le="+Inf"} 1`,
		`moot_chain_duration_seconds_count{hook="onSayReceive",outcome="allowed"} 1`,
		`moot_redis_duration_seconds_bucket{kind="script",result="ok",le="6.5536e-05"} 0`, `moot_redis_duration_seconds_bucket{kind="script",result="ok",le="0.000131072"} 1`,
		`moot_cluster_healthy 1`, `moot_cluster_gaps_total 0`, "go_goroutines ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, "nobody knows") {
		t.Error("a client made up a label")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "moot_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// TestTheDashboardShowsMetricsThatExist checks that the dashboard and the node have the same metrics.
func TestTheDashboardShowsMetricsThatExist(t *testing.T) {
	file, err := os.ReadFile("../../examples/deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(file) {
		t.Fatal("the dashboard is no JSON")
	}
	exist := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (moot_\w+) (\w+)$`).FindAllStringSubmatch(scraped(t), -1) {
		exist[m[1]] = true
		if m[2] == "histogram" {
			delete(exist, m[1])
			exist[m[1]+"_bucket"] = true
		}
	}
	shown := map[string]bool{}
	for _, name := range regexp.MustCompile(`moot_\w+`).FindAllString(string(file), -1) {
		shown[name] = true
		if !exist[name] {
			t.Errorf("the dashboard shows %s, which is nowhere", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exist)) {
		if !shown[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	if len(shown) < 20 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
}

func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	file, err := os.ReadFile("../../examples/deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(moot_\w+)[ {]`).FindAllStringSubmatch(scraped(t), -1) {
		exist[m[1]] = true
	}
	named := regexp.MustCompile(`moot_\w+`).FindAllString(string(file), -1)
	for _, name := range named {
		if !exist[name] {
			t.Errorf("an alert is about %s, which is nowhere", name)
		}
	}
	if len(named) < 15 {
		t.Errorf("only %d metrics are named", len(named))
	}
}

// BenchmarkScrapeOfTenThousandTenants measures a scrape of a node with 10,000 tenants, each with a module.
func BenchmarkScrapeOfTenThousandTenants(b *testing.B) {
	modules := &manyModules{}
	var tenants []engine.TenantConfig
	for i := range 10_000 {
		name := fmt.Sprint("t", i)
		tenants = append(tenants, engine.TenantConfig{Name: name})
		modules.all = append(modules.all, report.Module{Tenant: name, Name: "m", Version: "v", Durations: report.HistogramOf(&histogram.Snapshot{})})
	}
	n := startWith(b, memory.New().Node("one"), tenants, func(c *api.Config) { c.Modules = modules })
	for i := range 200 {
		n.client(fmt.Sprint("t", i))
	}
	size := 0
	for b.Loop() {
		_, text := n.request("GET", "/metrics", "")
		size = len(text)
	}
	b.ReportMetric(float64(size), "bytes")
}

// someAsks has the numbers of asks.
type someAsks []report.AskUsage

func (a someAsks) Usage() []report.AskUsage { return slices.Clone(a) }

func (a someAsks) Totals() report.AskTotals {
	var h histogram.Histogram
	h.Observe(time.Millisecond)
	s := h.Snapshot()
	return report.AskTotals{CacheBytes: 1000, Took: report.HistogramOf(&s)}
}

// TestAsksHaveOneSeriesPerTenant checks that the series of asks do not grow with their names, and that tenants without series of their own are
// summed.
func TestAsksHaveOneSeriesPerTenant(t *testing.T) {
	var all someAsks
	var tenants []engine.TenantConfig
	for i := range 20 {
		name := fmt.Sprintf("t%02d", i)
		tenants = append(tenants, engine.TenantConfig{Name: name})
		for ask := range 30 {
			all = append(all, report.AskUsage{Tenant: name, Name: fmt.Sprint("a", ask), Requests: 2, Cached: 1, Refused: 3, Waiting: 1, OpenBreakers: 1, Failed: map[string]uint64{"timeout": 5}})
		}
	}
	n := startWith(t, memory.New().Node("one"), tenants, func(c *api.Config) {
		c.Modules, c.Asks, c.MetricsTenants, c.MetricsFor = &manyModules{}, all, -1, []string{"t00", "t01", "t02"}
	})
	_, text := n.request("GET", "/metrics", "")
	if got := families(text); got["moot_ask_requests_total"] != 4 || got["moot_ask_failures_total"] != 20 {
		t.Errorf("%d series of requests, %d of failures", got["moot_ask_requests_total"], got["moot_ask_failures_total"])
	}
	for _, want := range []string{`moot_ask_requests_total{tenant="other"} 1020`, `moot_ask_cached_total{tenant="other"} 510`, `moot_ask_refused_total{tenant="other"} 1530`,
		`moot_ask_failures_total{kind="timeout",tenant="other"} 2550`, `moot_ask_failures_total{kind="status",tenant="other"} 0`, `moot_ask_waiting{tenant="other"} 510`,
		`moot_ask_open_breakers{tenant="other"} 510`, `moot_ask_cache_bytes 1000`, `moot_ask_duration_seconds_count 1`} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	status, usage := n.request("GET", "/api/usage?top=2", "")
	var shown struct {
		Nodes []struct{ Asks []report.AskUsage }
	}
	if err := json.Unmarshal([]byte(usage), &shown); err != nil || status != 200 || len(shown.Nodes[0].Asks) != 2 || shown.Nodes[0].Asks[0].Name != "a0" {
		t.Errorf("%d %.300s", status, usage)
	}
}
