package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// BenchmarkPublishDuringListings measures the time to publish a message of one tenant during
// listings of another tenant: pages of 100 of 1000 rooms, with counts. "one by one" is the former
// implementation: all names, and a round trip for the count of each room, with the connections of
// chat.
func BenchmarkPublishDuringListings(b *testing.B) {
	for _, bench := range []struct {
		name   string
		flight int
		list   func(ctx context.Context, n *Node) error
	}{
		{"no listings", 0, nil},
		{"8 pages in flight", 8, listPage},
		{"40 pages in flight", 40, listPage},
		{"40 one by one in flight", 40, oneByOne},
	} {
		b.Run(bench.name, func(b *testing.B) { benchmarkListings(b, bench.flight, bench.list) })
	}
}

func listPage(ctx context.Context, n *Node) error {
	ctx = cluster.ForOperator(ctx)
	names, _, err := n.Cluster().Rooms.List(ctx, "t", cluster.RoomQuery{Limit: 100})
	if err == nil {
		_, err = n.Counts(ctx, ids(names))
	}
	return err
}

func oneByOne(ctx context.Context, n *Node) error {
	names, err := n.client.HKeys(ctx, n.parts[0].roomsKey("t")).Result()
	if err != nil {
		return err
	}
	slices.Sort(names)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, id := range ids(names[:100]) {
		group.Go(func() error { _, err := n.Count(ctx, id); return err })
	}
	return group.Wait()
}

func ids(names []string) (all []cluster.RoomID) {
	for _, name := range names {
		all = append(all, cluster.RoomID{Tenant: "t", Room: name})
	}
	return all
}

func benchmarkListings(b *testing.B, flight int, list func(context.Context, *Node) error) {
	s := redistest.Start(b)
	n, _ := benchNode(b, s)
	for i := range 1000 {
		if err := n.Cluster().Rooms.Create(b.Context(), cluster.RoomID{Tenant: "t", Room: fmt.Sprintf("room %04d", i)}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(b.Context())
	var all sync.WaitGroup
	for range flight {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := list(ctx, n); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	defer all.Wait()
	defer stop()
	room, payload := cluster.RoomID{Tenant: "other", Room: "hall"}, make([]byte, 200)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := n.Publish(b.Context(), room, payload, cluster.Retention{}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	us := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))]) / float64(time.Microsecond)
	}
	b.ReportMetric(us(0.5), "p50-us")
	b.ReportMetric(us(0.99), "p99-us")
}
