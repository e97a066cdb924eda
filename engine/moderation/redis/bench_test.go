package redis

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
)

// BenchmarkHoldsOnEveryNode sets sanctions in a tenant with 10,000 others, on three nodes in turn, and measures the time from
// the answer until the last node has the sanction.
func BenchmarkHoldsOnEveryNode(b *testing.B) {
	server := redistest.Start(b)
	var nodes []*Store
	arrived := make(chan time.Time, 3)
	for range 3 {
		client := redis.NewClient(&redis.Options{Addr: server.Address()})
		n := New(client, "moot", slog.New(slog.DiscardHandler))
		b.Cleanup(func() { _ = n.Close(); _ = client.Close() })
		nodes = append(nodes, n)
	}
	for i := range 10_000 {
		if _, err := nodes[0].Set(b.Context(), mute(b, fmt.Sprint("other ", i))); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range nodes {
		var list moderation.List
		var mu sync.Mutex
		stop, err := n.Follow(b.Context(), "t", func(c moderation.Change) {
			mu.Lock()
			c.Apply(&list)
			mu.Unlock()
			if !c.All {
				arrived <- time.Now()
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(stop)
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		if _, err := nodes[i%3].Set(b.Context(), mute(b, fmt.Sprint("user ", i%1000))); err != nil {
			b.Fatal(err)
		}
		answered, last := time.Now(), time.Time{}
		for range nodes {
			if at := <-arrived; at.After(last) {
				last = at
			}
		}
		took = append(took, max(0, last.Sub(answered)))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
