package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

func recorded(t *testing.T, h *Host, recording Recording, chain ...Entry) {
	t.Helper()
	r := rulesFor(chain...)
	r.Recording = recording
	other := r.Tenants[0]
	other.Name = "other"
	r.Tenants = append(r.Tenants, other)
	swap(t, h, r)
}

func TestRecordedDecisions(t *testing.T) {
	h, log := start(t, Config{})
	recorded(t, h, Recording{Log: true}, goEntry(`{}`))
	begin := time.Now()
	for _, text := range []string{"code 0", "deny my reasons", "code 5", "rewrite secret", "panic"} {
		decide(h, text)
	}
	label := h.Stats()[0].Version
	list := h.Decisions(report.DecisionFilter{})
	want := `go onSayReceive error "trap"; go onSayReceive rewrite; go onSayReceive drop; go onSayReceive deny "my reasons"`
	if got := inShort(list); got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
	for _, d := range list {
		at := d.At.Time()
		if d.Tenant != "t" || d.Room != "r" || d.Module != label || d.Took <= 0 || d.Text != "" || at.Before(begin.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("%+v", d)
		}
	}
	for _, want := range []string{"msg=decision", "verdict=deny", `reason="my reasons"`, "module=" + label} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("the log has the text of a message")
	}
	recorded(t, h, Recording{Text: true}, goEntry(`{}`))
	decide(h, "rewrite secret")
	if got := h.Decisions(report.DecisionFilter{Limit: 1})[0]; got.Text != "rewrite secret" || got.User != "alice" {
		t.Errorf("the text is %q, the user %q", got.Text, got.User)
	}
	if earlier := h.Decisions(report.DecisionFilter{})[1]; earlier.Text != "" || earlier.User != "" {
		t.Error("an earlier decision has a text or a user")
	}
	if found := h.Decisions(report.DecisionFilter{User: "alice"}); len(found) != 1 || len(h.Decisions(report.DecisionFilter{User: "bob"})) != 0 {
		t.Errorf("of alice: %+v", found)
	}
}

func TestAllowsAreSampled(t *testing.T) {
	h, _ := start(t, Config{})
	recorded(t, h, Recording{Allows: 10}, Entry{Module: "allow"})
	for range 95 {
		decide(h, "hello")
	}
	heard(t, h, "hello", crowd(25))
	list := h.Decisions(report.DecisionFilter{Verdict: report.Allow})
	if got := len(h.Decisions(report.DecisionFilter{Hook: hook.OnSayReceive.String()})); got != 9 || len(list) != 10 || list[0].Receivers != 25 {
		t.Errorf("%d of 95 allows are recorded, and %+v", got, list)
	}
}

func TestAFloodPushesOutItsOwn(t *testing.T) {
	h, _ := start(t, Config{})
	recorded(t, h, Recording{Ring: 50}, Entry{Module: "code-1"})
	ev := said("x")
	ev.Tenant = "other"
	h.Decide(context.Background(), ev)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				decide(h, "x")
			}
		})
	}
	for range 50 { // readers do not interfere
		h.Decisions(report.DecisionFilter{})
	}
	all.Wait()
	if got := len(h.Decisions(report.DecisionFilter{Tenant: "t"})); got != 50 {
		t.Errorf("%d are kept, want 50", got)
	}
	if got := len(h.Decisions(report.DecisionFilter{Tenant: "other"})); got != 1 {
		t.Errorf("%d of the other tenant's are kept, want 1", got)
	}
	for ring, want := range map[int]int{20: 20, 70: 70} {
		recorded(t, h, Recording{Ring: ring}, Entry{Module: "code-1"})
		for range 100 {
			decide(h, "x")
		}
		if got := len(h.Decisions(report.DecisionFilter{Tenant: "t"})); got != want {
			t.Errorf("a ring of %d keeps %d", ring, got)
		}
	}
}

func TestDecisionsAreFound(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	for i := range 5 {
		ev := said(fmt.Sprint("deny ", i))
		ev.Room = []string{"a", "b"}[i%2]
		h.Decide(context.Background(), ev)
	}
	all := h.Decisions(report.DecisionFilter{})
	for i := 1; i < len(all); i++ {
		if all[i].At >= all[i-1].At {
			t.Fatal("not the latest first, or two at once")
		}
	}
	for want, f := range map[string]report.DecisionFilter{
		"43210": {}, "420": {Room: "a"}, "43": {Limit: 2}, "210": {Before: all[1].At}, "43 ": {Since: all[2].At},
		"": {Verdict: report.Drop}, "     ": {User: "alice"}, " ": {Hook: hook.Join.String()}, "  ": {Module: "other"}, "   ": {Shadow: true}, "    ": {Tenant: "other"},
	} {
		got := ""
		for _, d := range h.Decisions(f) {
			got += d.Reason
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("%+v finds %q, want %q", f, got, want)
		}
	}
}

func TestDecisionsOutliveTheirModules(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "code-1"})
	decide(h, "x")
	swap(t, h, rulesFor())
	if len(h.Decisions(report.DecisionFilter{})) != 1 {
		t.Error("they are gone with the module")
	}
	for i := range 2 * maxUnused {
		h.counted.of(countersKey{tenant: fmt.Sprint("old", i)})
	}
	swap(t, h, rulesFor())
	if n := len(h.counted.all()); n > maxUnused {
		t.Errorf("%d modules are remembered that nobody names", n)
	}
	if n := len(h.counted.tenants); n > maxUnused {
		t.Errorf("%d tenants are remembered whose modules nobody names", n)
	}
}

// TestDecisionsOfATenantCostTheTenant checks that the cost of a query for a tenant does not depend
// on the number of other tenants.
func TestDecisionsOfATenantCostTheTenant(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "code-1"})
	decide(h, "x")
	all := h.Decisions(report.DecisionFilter{})
	allocations := func() float64 {
		return testing.AllocsPerRun(100, func() {
			if found := h.Decisions(report.DecisionFilter{Tenant: all[0].Tenant, Limit: 100}); len(found) != 1 {
				t.Errorf("%d decisions are found", len(found))
			}
		})
	}
	before := allocations()
	for i := range 10_000 {
		h.counted.of(countersKey{tenant: fmt.Sprint("other", i), module: "m"})
	}
	if after := allocations(); after > before {
		t.Errorf("among modules of 10000 other tenants it allocates %v times, %v without them", after, before)
	}
}

func TestNothingIsAllocatedWhereNothingIsRecorded(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	ev := said("hello")
	if n := testing.AllocsPerRun(1000, func() { h.Decide(context.Background(), ev) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestARingOfAnotherSizeKeepsTheLatest checks that a ring keeps the latest decisions when its size
// changes.
func TestARingOfAnotherSizeKeepsTheLatest(t *testing.T) {
	var r ring
	for at := range 6 {
		r.add(report.Decision{At: millis.Time(at)}, nil, 4)
	}
	for at, step := range []struct {
		size int
		want []millis.Time
	}{{2, []millis.Time{5, 6}}, {2, []millis.Time{6, 7}}, {3, []millis.Time{6, 7, 8}}, {3, []millis.Time{7, 8, 9}}} {
		r.add(report.Decision{At: millis.Time(6 + at)}, nil, step.size)
		var got []millis.Time
		for _, d := range r.collect(nil, &report.DecisionFilter{}) {
			got = append(got, d.At)
		}
		slices.Sort(got)
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d: %v, want %v", at, got, step.want)
		}
	}
}

// observer is an Observer that keeps decisions of tenant t.
type observer struct {
	wants bool
	all   []report.Decision
	users []string
}

func (o *observer) Wants(tenant string) bool { return o.wants && tenant == "t" }

func (o *observer) Decided(ev *hook.Event, d report.Decision) {
	d.Room = strings.Clone(d.Room)
	o.all, o.users = append(o.all, d), append(o.users, ev.Conn.User)
}

// TestAnObserverReceivesDecisions checks that an observer receives each decision of the tenants that it wants, and that other
// decisions cost no allocation.
func TestAnObserverReceivesDecisions(t *testing.T) {
	h, _ := start(t, Config{})
	o := &observer{wants: true}
	recorded(t, h, Recording{}, goEntry(`{}`))
	h.Observe(o)
	for _, text := range []string{"code 0", "deny my reasons", "rewrite secret"} {
		decide(h, text)
	}
	if len(o.all) != 2 || o.all[0].Verdict != report.Deny || o.all[0].Reason != "my reasons" || o.all[1].Verdict != report.Rewrite || o.all[1].Room != "r" {
		t.Errorf("the observer has %+v", o.all)
	}
	o.wants = false
	recorded(t, h, Recording{}, Entry{Module: "code-1"})
	ev := said("x")
	for range 300 { // the ring is full, and reuses its memory
		h.Decide(t.Context(), ev)
	}
	if n := testing.AllocsPerRun(1000, func() { h.Decide(context.Background(), ev) }); n > 0 {
		t.Errorf("a decision that the observer does not want costs %v allocations", n)
	}
	if len(o.all) != 2 {
		t.Errorf("the observer has %d decisions", len(o.all))
	}
}
