package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// counting is a handler that counts delivered messages.
type counting struct{ heard atomic.Int64 }

func (c *counting) Deliver(context.Context, cluster.RoomID, cluster.Position, []byte)          { c.heard.Add(1) }
func (*counting) Answer(context.Context, []byte) ([]byte, error)                               { return nil, nil }
func (*counting) Lost(context.Context, cluster.RoomID, []cluster.MemberRecord)                 {}
func (*counting) Amended(context.Context, cluster.RoomID, cluster.Position, cluster.Amendment) {}
func (*counting) Rejoin(context.Context, cluster.RoomID, []cluster.MemberRecord)               {}
func (*counting) Expired(context.Context, []byte)                                              {}
func (*counting) Missed(context.Context, cluster.RoomID)                                       {}
func (*counting) Pace(context.Context, cluster.RoomID)                                         {}
func (*counting) Unannounced(context.Context, cluster.RoomID)                                  {}

// BenchmarkMessage measures the processor time of a message of 200 bytes, with 256 senders and
// 500 rooms: redis-us of redis-server, and node-us of this process, which publishes the message
// and, with "received", receives it on one node.
func BenchmarkMessage(b *testing.B) {
	for _, bench := range []struct {
		name  string
		keep  cluster.Retention
		heard bool
	}{
		{"kept to heal", cluster.Retention{}, false},
		{"kept to heal, received", cluster.Retention{}, true},
		{"history, received", cluster.Retention{Messages: 100, For: time.Minute}, true},
		{"ephemeral", cluster.Retention{Ephemeral: true}, false},
		{"ephemeral, received", cluster.Retention{Ephemeral: true}, true},
	} {
		b.Run(bench.name, func(b *testing.B) { benchmarkMessage(b, bench.keep, bench.heard) })
	}
}

func benchmarkMessage(b *testing.B, keep cluster.Retention, heard bool) {
	s := redistest.Start(b)
	n, h := benchNode(b, s)
	ctx := b.Context()
	rooms := make([]cluster.RoomID, 500)
	for i := range rooms {
		rooms[i] = cluster.RoomID{Tenant: "default", Room: fmt.Sprint("room ", i)}
		if heard {
			if err := n.Subscribe(ctx, rooms[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	payload := make([]byte, 200)
	redisBefore, nodeBefore := redisTime(b, s), processTime(b)
	b.ResetTimer()
	var next atomic.Int64
	var senders sync.WaitGroup
	for range 256 {
		senders.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := n.Publish(ctx, rooms[i%500], payload, keep); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	if heard {
		if err := redistest.Await("all is received", func() bool { return h.heard.Load() >= int64(b.N) }); err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((redisTime(b, s)-redisBefore).Microseconds())/float64(b.N), "redis-us/op")
	b.ReportMetric(float64((processTime(b)-nodeBefore).Microseconds())/float64(b.N), "node-us/op")
}

func benchNode(b *testing.B, s *redistest.Server) (*Node, *counting) {
	b.Helper()
	n, err := Open(b.Context(), Config{Node: "bench", Addresses: []string{s.Address()}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h, ran := &counting{}, make(chan error, 1)
	go func() { ran <- n.Cluster().Nodes.Run(ctx, h) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			b.Error(err)
		}
		_ = n.Close()
	})
	if err := n.up(b.Context()); err != nil {
		b.Fatal(err)
	}
	return n, h
}

// redisTime returns the processor time that redis-server has used.
func redisTime(b *testing.B, s *redistest.Server) time.Duration {
	b.Helper()
	total := 0.0
	for _, key := range []string{"used_cpu_sys", "used_cpu_user"} {
		v, err := strconv.ParseFloat(s.Info(key), 64)
		if err != nil {
			b.Fatal(err)
		}
		total += v
	}
	return time.Duration(total * float64(time.Second))
}

func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRoomView measures the processor time of redis-server, redis-us/op, to read the members
// of a room.
func BenchmarkRoomView(b *testing.B) {
	s := redistest.Start(b)
	n, _ := benchNode(b, s)
	ctx := b.Context()
	for _, members := range []int{1_000, 100_000} {
		room := cluster.RoomID{Tenant: "default", Room: fmt.Sprint("of ", members)}
		if err := n.Cluster().Rooms.Create(ctx, room); err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		for g := range 64 {
			all.Go(func() {
				for i := g; i < members; i += 64 {
					if err := n.Add(ctx, room, cluster.MemberRecord{ID: fmt.Sprintf("bench-%016d", i), JoinedAt: 1}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		for name, read := range map[string]func() error{
			"count":       func() error { _, err := n.Count(ctx, room); return err },
			"page of 200": func() error { _, _, err := n.Members(ctx, room, "", 200); return err },
		} {
			b.Run(fmt.Sprintf("%s, %d members", name, members), func(b *testing.B) {
				before := redisTime(b, s)
				for range b.N {
					if err := read(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((redisTime(b, s)-before).Microseconds())/float64(b.N), "redis-us/op")
			})
		}
	}
}
