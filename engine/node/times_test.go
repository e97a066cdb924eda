package node

import (
	"net/http"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// TestTheAPIUsesMilliseconds checks that the API has times and durations in milliseconds: times
// lie within the test, and durations are not longer than the test.
func TestTheAPIUsesMilliseconds(t *testing.T) {
	begin := time.Now().Truncate(time.Millisecond)
	dir := t.TempDir()
	s := inProcess(t, stamps(t, dir, 1))
	ask, err := client.New("http://"+s.Admin, adminKey)
	if err != nil {
		t.Fatal(err)
	}
	talkTo(t, s.Socket, "say hall hello", `"receive-a":1`)
	stamps(t, dir, 2)
	reloads, err := ask.Reload(t.Context(), false)
	if err != nil || !reloads[0].OK {
		t.Fatalf("%+v, %v", reloads, err)
	}
	var tried api.Tried
	event := map[string]any{"hook": "onSayReceive", "room": "hall", "message": "x"}
	if err := ask.Do(t.Context(), http.MethodPost, "/api/tenants/default/modules/a/trials", api.Trial{Event: event}, &tried); err != nil {
		t.Fatal(err)
	}
	_, nodes, err := ask.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	modules, _, err := ask.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := ask.Decisions(t.Context(), report.DecisionFilter{Since: millis.TimeOf(begin)}, "")
	decisions := page.Decisions
	if err != nil || len(decisions) == 0 {
		t.Fatalf("%d decisions since the beginning, %v", len(decisions), err)
	}
	if later, err := ask.Decisions(t.Context(), report.DecisionFilter{Since: decisions[0].At}, ""); err != nil || len(later.Decisions) > 0 {
		t.Errorf("%d decisions after the latest, %v", len(later.Decisions), err)
	}
	times := map[string]millis.Time{"node.startedAt": nodes[0].StartedAt, "reload.at": reloads[0].At, "lastReload.at": nodes[0].LastReload.At, "decision.at": decisions[0].At}
	durations := map[string]millis.Duration{"reload.took": reloads[0].Took, "trial.took": tried.Took, "decision.took": decisions[0].Took,
		"module.p50": modules[0].P50, "module.p99": modules[0].P99, "durations.sum": modules[0].Durations.Sum}
	end := time.Now()
	for name, at := range times {
		if at.Time().Before(begin) || at.Time().After(end) {
			t.Errorf("%s is %v, not between %v and %v", name, at.Time(), begin, end)
		}
	}
	for name, took := range durations {
		if took <= 0 || took.Std() > end.Sub(begin) {
			t.Errorf("%s is %v, not within the %v of the test", name, took.Std(), end.Sub(begin))
		}
	}
}
