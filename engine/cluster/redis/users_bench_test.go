package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// BenchmarkPresenceByUser compares the processor time of a join and a leave: of members without users, with users, and with users that
// are announced. They run in turn, 200 each, in rooms of 1,000 members; as in a busy room, each announcement is of 20 changes. The
// metrics are the times of redis-server and of this process.
func BenchmarkPresenceByUser(b *testing.B) {
	s := redistest.Start(b)
	n, _ := benchNode(b, s)
	ctx := b.Context()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	member := func(kind, i int) cluster.MemberRecord {
		m := cluster.MemberRecord{ID: fmt.Sprintf("bench-%016d", i), JoinedAt: 1, Announce: kind == 2}
		if kind > 0 {
			m.User = fmt.Sprint("user ", i/2)
		}
		return m
	}
	announce := func(room cluster.RoomID) {
		_, err := n.Announce(ctx, room, func(ctx context.Context, a cluster.Announcement) error {
			return n.Publish(ctx, cluster.RoomID{Tenant: room.Tenant, Room: room.Room + " notices"}, make([]byte, 200), cluster.Retention{})
		})
		must(err)
	}
	kinds := []string{"no-users", "users", "announced"}
	var rooms []cluster.RoomID
	for kind, name := range kinds {
		rooms = append(rooms, cluster.RoomID{Tenant: "default", Room: name})
		must(n.Cluster().Rooms.Create(ctx, rooms[kind]))
		for i := range 1000 {
			must(n.Add(ctx, rooms[kind], member(kind, i)))
		}
		announce(rooms[kind])
	}
	var redis, node [3]time.Duration
	const turn, many = 200, 20
	for round := range b.N {
		for kind, room := range rooms {
			redisBefore, nodeBefore := redisTime(b, s), processTime(b)
			for i := range turn / many {
				first := 1000 + 2*(round*turn+i*many) // each member has a user of its own
				for k := range many {
					must(n.Add(ctx, room, member(kind, first+2*k)))
				}
				if kind == 2 {
					announce(room)
				}
				for k := range many {
					must(n.Remove(ctx, room, member(kind, first+2*k).ID))
				}
				if kind == 2 {
					announce(room)
				}
			}
			redis[kind] += redisTime(b, s) - redisBefore
			node[kind] += processTime(b) - nodeBefore
		}
	}
	for kind, name := range kinds {
		b.ReportMetric(float64(redis[kind].Microseconds())/float64(b.N*turn), name+"-redis-us")
		b.ReportMetric(float64(node[kind].Microseconds())/float64(b.N*turn), name+"-node-us")
	}
}
