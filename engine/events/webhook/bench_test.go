package webhook

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/memory"
)

// BenchmarkDelivery emits events from 64 goroutines, and delivers them to a local HTTP server that reads them, in batches of up to 100.
func BenchmarkDelivery(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	to, err := New(Config{URL: server.URL, Secrets: []string{secret}, Batch: true})
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	d := events.New(events.Config{Store: &memory.Store{}, Send: func(ctx context.Context, _ *events.Target, records []events.Record, dropped uint64) events.Delivery {
		return to.Send(ctx, records, dropped)
	}})
	d.Configure([]*events.Target{{Sink: events.Sink{Tenant: "t", Name: "local"}, Kinds: events.Default, Batch: 100}})
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				e := events.NewEvent(events.NewID(), events.MemberJoined, "lobby", "ann", events.Member{Room: "lobby", Connection: fmt.Sprint(n), User: "ann"})
				if err := d.Begin("t", events.MemberJoined, e).Wait(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := d.Close(b.Context()); err != nil {
		b.Error(err)
	}
	b.StopTimer()
	if got := d.Counters(); got.Written != uint64(b.N) {
		b.Errorf("the counters are %+v", got)
	}
	b.ReportMetric(float64(d.Counters().Delivered)/b.Elapsed().Seconds(), "delivered/s")
}
