package host

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/report"
)

// TestUsageOfModules checks the numbers of bindings, instances, wakes and calls, the memory, and the
// costliest tenants in both orders, before and after some tenants were used.
func TestUsageOfModules(t *testing.T) {
	h, _ := start(t, Config{Memory: 256 << 20, Instances: 3, Cache: new(memoryCache)})
	var entries []Entry
	for i := range 4 { // each with a config of its own: an accepted config costs the next tenant nothing
		entries = append(entries, Entry{Module: "allow", Config: fmt.Appendf(nil, `{"n": %d}`, i)})
	}
	swap(t, h, tenantsOf(entries...))
	u := h.Usage(report.UsageQuery{Top: 10})
	if u.Bindings != 4 || u.Asleep != 4 || u.Awake+u.Instances != 0 || u.ModulesCount != 1 || len(u.Modules) != 1 || u.Modules[0].Bindings != 4 {
		t.Errorf("after the load: %+v", u)
	}
	if u.Memory.Limit != 256<<20 || u.Memory.Code == 0 || u.Memory.Code != u.Modules[0].Code || u.Memory.Instances != 0 || u.Memory.Spare != 1536<<10 || u.Memory.Images != 1536<<10 {
		t.Errorf("after the load: %+v, %+v", u.Memory, u.Modules)
	}
	if u.Spare != 1 || u.Images != 1 || u.Modules[0].Image != 1536<<10 || u.Modules[0].NoImage != "" {
		t.Errorf("after the load: %d spare instances, %d images; %+v", u.Spare, u.Images, u.Modules)
	}
	for range 3 {
		asks(h, "t0")
	}
	asks(h, "t2")
	put := hold(t, h, "t1") // keeps one instance in use, so that the call makes another
	asks(h, "t1")
	u = h.Usage(report.UsageQuery{By: report.ByMemory, Top: 10})
	put()
	if u.Bindings != 4 || u.Awake < 2 || u.Asleep != 4-u.Awake || u.Instances < 3 || u.Memory.Instances < 3*1536<<10 {
		t.Errorf("after messages: %+v", u)
	}
	if n := observed(u.Wakes); n != 3 || u.WakesPerSecond <= 0 {
		t.Errorf("%d wakes, want one of each tenant that was used; %v per second", n, u.WakesPerSecond)
	}
	if n := observed(u.Calls); n != 5 {
		t.Errorf("%d calls", n)
	}
	if len(u.Tenants) != 4 || u.Tenants[0].Tenant != "t1" || u.Tenants[0].Memory != 2*1536<<10 || u.Tenants[0].CPUTime <= 0 || u.Tenants[0].CPU <= 0 || u.Tenants[0].Awake != 1 {
		t.Errorf("the costliest tenants by memory: %+v", u.Tenants)
	}
	h.current.Load().tenants["t0"].gate.spend(now(), int64(time.Hour))
	if u = h.Usage(report.UsageQuery{By: report.ByCPU, Top: 1}); len(u.Tenants) != 1 || u.Tenants[0].Tenant != "t0" || u.Tenants[0].CPUTime < 3_600_000 {
		t.Errorf("the costliest tenant by processor time: %+v", u.Tenants)
	}
}

// TestUsageTellsWhyAModuleHasNoImage checks the numbers of a module that can have no image.
func TestUsageTellsWhyAModuleHasNoImage(t *testing.T) {
	h, _ := start(t, Config{})
	grows := writesMemory(func(m *asm.Module) { m.Table(4, asm.NoMax) }, "", asm.NullFunc+asm.I32(1)+asm.TableGrow+asm.Drop)
	swap(t, h, every(grows, tenantsOf(Entry{Module: "m"})))
	asks(h, "t0")
	u := h.Usage(report.UsageQuery{Top: 10})
	if u.Images != 0 || u.Memory.Images != 0 || len(u.Modules) != 1 || u.Modules[0].Image != 0 || u.Modules[0].NoImage != "writes to tables" {
		t.Errorf("%d images; %+v", u.Images, u.Modules)
	}
}

func observed(h report.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// TestProcessorsInUseAreThoseOfTheLastSeconds checks that a report compares processor times with those of a report at
// least 10 s earlier, however often reports are made.
func TestProcessorsInUseAreThoseOfTheLastSeconds(t *testing.T) {
	u := usage{}
	second := int64(time.Second)
	for _, c := range []struct{ at, want int64 }{{4, 0}, {11, 0}, {12, 0}, {20, 0}, {22, 11}, {31, 11}, {33, 22}, {90, 33}, {91, 33}} {
		if got := u.window(processorTimes{at: c.at * second, tenants: map[string]int64{"t": c.at}}); got.at != c.want*second || got.tenants["t"] != c.want {
			t.Errorf("at %d s the report compares with %d s, %v; want %d s", c.at, got.at/second, got.tenants, c.want)
		}
	}
}

// TestTotalIsTheSumOfTheReports checks that the sums of all tenants, and of some, are those of their reports.
func TestTotalIsTheSumOfTheReports(t *testing.T) {
	h, _ := start(t, Config{})
	swap(t, h, tenantsOf(Entry{Module: "allow"}, Entry{Module: "code-0"}, Entry{Module: "code-5"}))
	for range 5 {
		for _, tenant := range []string{"t0", "t1", "t2"} {
			asks(h, tenant)
		}
	}
	for _, some := range [][]string{{"t0", "t1", "t2"}, {"t1"}, {"t0", "t2"}} {
		want := report.Module{Errors: map[string]uint64{}}
		for _, m := range h.Stats(some...) {
			want.Calls, want.Allowed, want.Denied = want.Calls+m.Calls, want.Allowed+m.Allowed, want.Denied+m.Denied
			want.Instances += m.Instances
			for kind, n := range m.Errors {
				want.Errors[kind] += n
			}
		}
		got := h.Total(func(tenant string) bool { return slices.Contains(some, tenant) })
		if got.Calls != want.Calls || got.Allowed != want.Allowed || got.Denied != want.Denied || got.Instances != want.Instances || fmt.Sprint(got.Errors) != fmt.Sprint(want.Errors) || observed(got.Durations) != got.Calls {
			t.Errorf("%v: %+v, want %+v", some, got, want)
		}
	}
}

// TestTotalAllocatesNothingForATenant checks that the sums of 200 tenants allocate as much as those of two.
func TestTotalAllocatesNothingForATenant(t *testing.T) {
	allocations := func(tenants int) float64 {
		h, _ := start(t, Config{})
		swap(t, h, tenantsOf(slices.Repeat([]Entry{{Module: "allow"}}, tenants)...))
		return testing.AllocsPerRun(10, func() { h.Total(nil) })
	}
	if few, many := allocations(2), allocations(200); many > few {
		t.Errorf("the sums of 2 tenants take %v allocations, those of 200 take %v", few, many)
	}
}
