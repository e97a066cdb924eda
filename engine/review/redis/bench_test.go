package redis

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// BenchmarkHeldMessage holds and releases messages of a tenant on two nodes, 64 at a time: one node holds a message, and the other one
// decides about it. A message is four changes in Redis; the publishing is not measured.
func BenchmarkHeldMessage(b *testing.B) {
	server := redistest.Start(b)
	var nodes [2]*Store
	for i := range nodes {
		client := redis.NewClient(&redis.Options{Addr: server.Address(), PoolSize: 64})
		nodes[i] = New(client, "moot", nil)
		b.Cleanup(func() {
			if err := nodes[i].Close(); err != nil {
				b.Error(err)
			}
			_ = client.Close()
		})
	}
	var limits review.Limits
	var turn atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			n := turn.Add(1)
			holds, decides := nodes[n%2], nodes[(n+1)%2]
			now := time.Now()
			one := review.Item{ID: review.NewID(now), Tenant: "t", At: now.UnixMilli(), Until: now.Add(time.Hour).UnixMilli(), User: "ann", Connection: "n-1", Room: "r", Said: "r",
				MessageID: "m1", Message: wire.Message{Text: "hello"}, From: "n-1", Context: "user", SentAt: now.UnixMilli(), Reason: "a link", Rule: "links@1#1"}
			stored, _, err := review.Hold(b.Context(), holds, one, limits)
			if err == nil {
				stored, err = review.Begin(b.Context(), decides, "t", stored.ID, review.Decision{Action: review.Release, By: "mia", Node: "n"}, limits)
			}
			if err == nil {
				stored, err = review.Prepare(b.Context(), decides, stored, "r", []byte(`{"message":"hello"}`), limits)
			}
			if err == nil {
				_, err = review.End(b.Context(), decides, stored, limits)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
