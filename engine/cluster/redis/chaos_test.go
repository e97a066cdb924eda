//go:build chaos

package redis

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// These take too long for every day: `make chaos` runs them.

func TestPromisesSentinel(t *testing.T) {
	_, _, sentinel := redistest.StartSentinels(t, 1)
	promises(t, Config{Mode: Sentinel, MasterName: "main", Addresses: []string{sentinel.Address()}})
}

func TestNothingIsLostWhenAClustersMasterDies(t *testing.T) {
	all := redistest.StartCluster(t, 3, 3)
	tr := newTrial(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 6})
	tr.talk()
	all[1].Kill()
	tr.says(1500)
	tr.settle()
}

func TestNothingIsLostWhenASlotMoves(t *testing.T) {
	all := redistest.StartCluster(t, 3, 0)
	tr := newTrial(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 6})
	tr.talk()
	for _, tag := range tags(6) {
		owner := slot(tag) * 3 / slots
		redistest.MoveSlot(t, slot(tag), all[owner], all[(owner+1)%3], all)
		tr.says(300)
	}
	tr.settle()
}

// A subscriber whose buffer overflows is cut off by Redis.
func TestNothingIsLostWhenBuffersOverflow(t *testing.T) {
	s := redistest.Start(t, "--client-output-buffer-limit", "pubsub 20kb 10kb 1")
	tr := newTrial(t, Config{Addresses: []string{s.Address()}})
	tr.talk()
	big, flood := make([]byte, 60<<10), cluster.RoomID{Tenant: "default", Room: "flood"}
	tr.must(tr.nodes[1].Subscribe(tr.ctx, flood))
	for range 200 {
		tr.must(tr.nodes[0].Publish(tr.ctx, flood, big, cluster.Retention{}))
	}
	tr.says(300)
	tr.settle()
	if tr.nodes[1].Counters().Reopened == 0 {
		t.Error("no buffer overflowed")
	}
}

// A room of a hundred thousand members on three nodes is counted and read page by
// page, each member once, and its node's death empties it of a third.
func TestRoomOfAHundredThousand(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTrial(t)
	for i := range 3 {
		tr.node(Config{Addresses: []string{s.Address()}}, fmt.Sprint("node-", i))
	}
	const each = 33_334
	hall := tr.rooms[0]
	tr.must(tr.nodes[0].Cluster().Rooms.Create(tr.ctx, hall))
	var adding sync.WaitGroup
	for _, w := range tr.nodes {
		for g := range 16 {
			adding.Go(func() {
				for i := g; i < each; i += 16 {
					if err := w.Add(tr.ctx, hall, cluster.MemberRecord{ID: fmt.Sprintf("%s-%06d", w.cfg.Node, i)}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	adding.Wait()
	read := func(w *witness) int {
		seen := map[string]bool{}
		for after := ""; ; {
			page, next, err := w.Members(tr.ctx, hall, after, 1000)
			tr.must(err)
			for _, m := range page {
				if seen[m.ID] {
					t.Fatalf("%s was read twice", m.ID)
				}
				seen[m.ID] = true
			}
			if after = next; next == "" {
				return len(seen)
			}
		}
	}
	count, err := tr.nodes[1].Count(tr.ctx, hall)
	tr.must(err)
	if got := read(tr.nodes[2]); got != 3*each || count != 3*each {
		t.Errorf("%d are counted and %d read, want %d", count, got, 3*each)
	}
	tr.nodes[0].wire.sever()
	eventually(t, "a third is gone", func() bool { n, err := tr.nodes[1].Count(tr.ctx, hall); tr.must(err); return n == 2*each })
	if got := read(tr.nodes[1]); got != 2*each {
		t.Errorf("%d are read, want %d", got, 2*each)
	}
}

// A node that dies has a member in each of 10,000 rooms: each is handed over once. The log
// says how long it took from its last beat, with a lease of 3 s.
func TestTenThousandRoomsOfADeadNode(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTrial(t)
	base := Config{Addresses: []string{s.Address()}, Lease: 3 * time.Second}
	dead, a, b := tr.node(base, "dead"), tr.node(base, "a"), tr.node(base, "b")
	const many = 10_000
	var adding sync.WaitGroup
	for g := range 16 {
		adding.Go(func() {
			for i := g; i < many; i += 16 {
				room := cluster.RoomID{Tenant: "default", Room: fmt.Sprint("of the dead ", i)}
				if err := dead.Cluster().Rooms.Create(tr.ctx, room); err != nil {
					t.Error(err)
					return
				}
				if err := dead.Add(tr.ctx, room, cluster.MemberRecord{ID: fmt.Sprint("member-", i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	adding.Wait()
	dead.wire.sever()
	began := time.Now()
	lost := func(w *witness) int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.lost)
	}
	eventually(t, "all are handed over", func() bool { return lost(a)+lost(b) == many })
	t.Logf("%d members were gone %v after the node was cut off; its lease is %v", many, time.Since(began).Round(time.Millisecond), a.cfg.Lease)
	for _, w := range []*witness{a, b} {
		for id, n := range w.lost {
			if n != 1 {
				t.Errorf("%s was handed over %d times", id, n)
			}
		}
	}
}
