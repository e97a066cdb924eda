package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// ledger has the decisions of a node, and records the requests for them.
type ledger struct {
	list []report.Decision
	last report.DecisionFilter
}

func (l *ledger) Decisions(f report.DecisionFilter) []report.Decision {
	l.last = f
	found := slices.DeleteFunc(slices.Clone(l.list), func(d report.Decision) bool { return !f.Matches(&d) })
	slices.Reverse(found)
	return found
}

func (l *ledger) add(ms float64) {
	l.list = append(l.list, report.Decision{At: millis.Time(ms), Tenant: "acme", Hook: "say", Module: "m", Verdict: "drop"})
}

// TestDecisionsAfterACursor checks that a request with a cursor asks each node only for decisions since its latest one on
// the previous page, by the node's own clock. The clocks of the two nodes differ by a day.
func TestDecisionsAfterACursor(t *testing.T) {
	const day = 24 * 3600 * 1000
	hub, ahead, behind := memory.New(), new(ledger), new(ledger)
	n := start(t, hub.Node("ahead"), func(c *api.Config) { c.Decisions = ahead })
	start(t, hub.Node("behind"), func(c *api.Config) { c.Decisions = behind })
	cursor := ""
	page := func(want ...string) {
		t.Helper()
		status, answer := n.request("GET", "/api/decisions?cursor="+cursor, "")
		var p api.DecisionPage
		if err := json.Unmarshal([]byte(answer), &p); status != http.StatusOK || err != nil || p.Cursor == "" {
			t.Fatalf("%d %s, %v", status, answer, err)
		}
		got := []string{}
		for _, d := range p.Decisions {
			got = append(got, fmt.Sprint(d.Node, " ", float64(d.At)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("with cursor %q: %q, want %q", cursor, got, want)
		}
		cursor = p.Cursor
	}
	page()
	behind.add(1.5)
	ahead.add(day + 1)
	page("ahead 8.6400001e+07", "behind 1.5")
	page()
	if ahead.last.Since != day+1 || behind.last.Since != 1.5 {
		t.Errorf("the nodes were asked for decisions since %v and %v", ahead.last.Since, behind.last.Since)
	}
	behind.add(2)
	page("behind 2")
	ahead.add(day + 2)
	behind.add(3)
	page("ahead 8.6400002e+07", "behind 3")
	for _, bad := range []string{"cursor=x", "cursor=one.", "cursor=one.-1", "cursor=one.1_", "cursor=one.1.2", "cursor=one.9223372036854775807",
		"since=1e308", "since=NaN", "before=1e308", "before=Inf", "since=-1"} {
		if status, answer := n.request("GET", "/api/decisions?"+bad, ""); status != http.StatusUnprocessableEntity || code(answer) != api.CodeInvalid {
			t.Errorf("%q: %d %s", bad, status, answer)
		}
	}
}
