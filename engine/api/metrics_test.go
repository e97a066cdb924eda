package api_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mootchat/moot/engine/wire"
)

// scraped is what /metrics says of a node where something happened.
func scraped(t *testing.T) string {
	t.Helper()
	n := alone(t, newProgram().use)
	gone, c := n.client("acme"), n.client("acme")
	gone.sink.Close()
	<-gone.over
	c.Do(context.Background(), wire.Request{Verb: "roomAdd", Room: "den", RoomGiven: true})
	c.Do(context.Background(), wire.Request{Verb: "say", Room: "den", RoomGiven: true, Text: "hello"})
	c.Do(context.Background(), wire.Request{Verb: "a verb that nobody knows"})
	c.hears("hello")
	status, text := n.request("GET", "/metrics", "")
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	return text
}

func TestMetricsSayWhatHappened(t *testing.T) {
	text := scraped(t)
	for _, want := range []string{
		`moot_connections{tenant="acme"} 1`, `moot_connections{tenant="default"} 0`, `moot_rooms{tenant="acme"} 1`,
		`moot_outbox_bytes{tenant="acme"} `, `moot_messages_total 1`, `moot_deliveries_total 1`,
		`moot_verbs_total{result="ok",verb="roomAdd"} 1`, `moot_verbs_total{result="ok",verb="say"} 1`, `moot_verbs_total{result="error",verb="other"} 1`,
		`moot_module_calls_total{module="mask",tenant="acme"} 7`, `moot_module_errors_total{kind="trap",module="mask",tenant="acme"} 2`,
		`moot_module_duration_seconds_bucket{module="mask",tenant="acme",le="0.002"} 5`, `moot_module_duration_seconds_bucket{module="mask",tenant="acme",le="+Inf"} 7`,
		`moot_module_info{module="mask",tenant="acme",version="mask@0a1b2c3d#r1"} 1`, `moot_module_metric{module="mask",name="hits",tenant="acme"} 3`,
		`moot_closed_total{code="0"} 1`, `moot_rejected_total 0`, `moot_reloads_total{result="ok"} 3`, `moot_rules_current 1`, `moot_restart_needed 1`, `moot_cluster_healthy 1`, `moot_cluster_gaps_total 0`, "go_goroutines ",
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

// TestTheDashboardShowsMetricsThatExist holds the dashboard to the metrics, both ways.
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
