//go:build unix

package eventstest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/events"
)

// Bench measures the cost of an event on the node, without that of its sink: 64 callers emit joins and wait for the store, and a sink that costs nothing
// receives them in batches of 100. It reports the processor time of the process for an event.
func Bench(b *testing.B, store events.Store) {
	done := make(chan struct{})
	delivered := 0
	d := events.New(events.Config{Store: store, Send: func(_ context.Context, _ *events.Target, records []events.Record, _ uint64) events.Delivery {
		if delivered += len(records); delivered == b.N { // one delivery runs at a time
			close(done)
		}
		return events.Delivery{}
	}})
	d.Configure([]*events.Target{{Sink: events.Sink{Tenant: "t", Name: "hooks"}, Kinds: events.Default, Batch: 100}})
	emitAll(b, func(n int64) {
		e := events.NewEvent(events.NewID(), events.MemberJoined, "lobby", "ann", events.Member{Room: "lobby", Connection: fmt.Sprint(n), User: "ann"})
		if err := d.Begin("t", events.MemberJoined, e).Wait(b.Context()); err != nil {
			b.Error(err)
		}
	}, func() { <-done })
	if err := d.Close(b.Context()); err != nil {
		b.Error(err)
	}
}

// BenchDown measures Append of events of 1 KiB for a sink that is down and has more events than the limit, beside the sinks of 10,000 other
// tenants that have an event each, or of none.
func BenchDown(b *testing.B, open func(limits events.Limits) events.Store) {
	for _, tenants := range []int{0, 10_000} {
		b.Run(fmt.Sprint("others=", tenants), func(b *testing.B) {
			store := open(events.Limits{TenantBytes: 1 << 20})
			data := []byte(`"` + strings.Repeat("a", 1<<10) + `"`)
			add := func(tenant string) {
				r := event(events.Sink{Tenant: tenant, Name: "hooks"}, "1", "x")
				r.Data = data
				if err := store.Append(b.Context(), []events.Record{r}); err != nil {
					b.Fatal(err)
				}
			}
			for i := range tenants {
				add(fmt.Sprint("tenant", i))
			}
			for range 2 << 10 {
				add("down")
			}
			b.ResetTimer()
			for range b.N {
				add("down")
			}
		})
	}
}

// emitAll calls emit b.N times from 64 goroutines, and then end.
func emitAll(b *testing.B, emit func(n int64), end func()) {
	var next atomic.Int64
	var all sync.WaitGroup
	before := processorTime()
	b.ResetTimer()
	for range 64 {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				emit(n)
			}
		})
	}
	all.Wait()
	end()
	b.StopTimer()
	b.ReportMetric((processorTime()-before)*1e6/float64(b.N), "cpu-us/event")
}

// processorTime returns the processor time of the process in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
