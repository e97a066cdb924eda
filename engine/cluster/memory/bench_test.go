package memory

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
)

func BenchmarkPublish(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			hub := New()
			var first cluster.Backend
			for i := range nodes {
				c := hub.Node(fmt.Sprintf("n%d", i))
				run(b, c, deaf)
				must(b, c.Broker.Subscribe(b.Context(), hall))
				if i == 0 {
					first = c
				}
			}
			payload := make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				must(b, first.Broker.Publish(b.Context(), hall, payload, cluster.Retention{}))
			}
		})
	}
}

// BenchmarkPublishRooms measures Publish with a room of its own for each processor.
func BenchmarkPublishRooms(b *testing.B) {
	c := New().Node("a")
	run(b, c, deaf)
	payload := make([]byte, 200)
	ctx := context.Background()
	var rooms atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		room := cluster.RoomID{Tenant: "default", Room: fmt.Sprint(rooms.Add(1))}
		if err := c.Broker.Subscribe(ctx, room); err != nil {
			b.Error(err)
		}
		for pb.Next() {
			if err := c.Broker.Publish(ctx, room, payload, cluster.Retention{}); err != nil {
				b.Error(err)
			}
		}
	})
}

// crowd returns a node with a room of 100,000 members, and the members.
func crowd(b *testing.B) (cluster.Backend, []cluster.MemberRecord) {
	c := New().Node("a")
	run(b, c, deaf)
	must(b, c.Rooms.Create(b.Context(), hall))
	members := make([]cluster.MemberRecord, 100_000)
	for i := range members {
		members[i] = cluster.MemberRecord{ID: fmt.Sprintf("a-%06d", i), JoinedAt: int64(i)}
		must(b, c.Presence.Add(b.Context(), hall, members[i]))
	}
	return c, members
}

// BenchmarkRemoveAdd100k measures a member that leaves a room of 100,000 and comes back.
func BenchmarkRemoveAdd100k(b *testing.B) {
	c, members := crowd(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m := members[i*7919%len(members)]
		must(b, c.Presence.Remove(b.Context(), hall, m.ID))
		must(b, c.Presence.Add(b.Context(), hall, m))
		i++
	}
}

func BenchmarkCount100k(b *testing.B) {
	c, _ := crowd(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Presence.Count(b.Context(), hall)
		must(b, err)
	}
}

// BenchmarkMembers100k measures the read of a page in the middle of the room.
func BenchmarkMembers100k(b *testing.B) {
	for _, limit := range []int{100, 1000} {
		b.Run(fmt.Sprintf("limit=%d", limit), func(b *testing.B) {
			c, _ := crowd(b)
			cursor := ""
			b.ReportAllocs()
			for b.Loop() {
				_, next, err := c.Presence.Members(b.Context(), hall, cursor, limit)
				must(b, err)
				cursor = next
			}
		})
	}
}
