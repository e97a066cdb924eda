package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

func TestNothingIsLostWhenAClustersMasterDies(t *testing.T) {
	all := redistest.StartCluster(t, 3, 3)
	tr := newTestCluster(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 6})
	tr.talk()
	all[1].Kill()
	tr.says(1500)
	tr.settle()
}

func TestNothingIsLostWhenASlotMoves(t *testing.T) {
	all := redistest.StartCluster(t, 3, 0)
	tr := newTestCluster(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 6})
	tr.talk()
	for _, tag := range tags(6) {
		owner := slot(tag) * 3 / slots
		redistest.MoveSlot(t, slot(tag), all[owner], all[(owner+1)%3], all)
		tr.says(300)
	}
	tr.settle()
}

// TestNothingIsLostWhenBuffersOverflow checks that no message is lost when Redis closes the
// connection of a subscriber because its buffer overflows.
func TestNothingIsLostWhenBuffersOverflow(t *testing.T) {
	s := redistest.Start(t, "--client-output-buffer-limit", "pubsub 20kb 10kb 1")
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
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

// TestTenThousandRoomsOfADeadNode checks that a dead node's members in 10,000 rooms are handed
// over once each, in few round trips. The log has the time from the cut to the last member, with
// a lease of 3 s.
func TestTenThousandRoomsOfADeadNode(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	var takes atomic.Int64
	base := Config{Addresses: []string{s.Address()}, Lease: 3 * time.Second, Hook: commandHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if runs(cmd, takeScript) {
			takes.Add(1)
		}
		return next(ctx, cmd)
	})}
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
	dead.link.disconnect()
	began := time.Now()
	lost := func(w *recorder) int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.lost)
	}
	eventually(t, "all are handed over", func() bool { return lost(a)+lost(b) == many })
	t.Logf("%d members were gone %v after the node was cut off; its lease is %v", many, time.Since(began).Round(time.Millisecond), a.cfg.Lease)
	if n := takes.Load(); n > 2*many/takeCount {
		t.Errorf("%d members were taken over in %d round trips", many, n)
	}
	for _, w := range []*recorder{a, b} {
		for id, n := range w.lost {
			if n != 1 {
				t.Errorf("%s was handed over %d times", id, n)
			}
		}
	}
}

// TestNothingIsLostInACutBeyondAllTimeouts cuts a node off for longer than its lease
// and PublishTimeout. It checks that the others remove the node's members, that its messages
// are refused, and that it later receives all messages of the others.
func TestNothingIsLostInACutBeyondAllTimeouts(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}, PublishTimeout: 500 * time.Millisecond})
	cut := tr.nodes[1]
	ids := tr.seats(cut, 3)
	tr.talk()
	cut.link.disconnect()
	for _, id := range ids {
		eventually(t, id+" is handed over", func() bool { return tr.handedOverTimes(id) == 1 })
	}
	tr.says(600)
	cut.link.mend()
	tr.hasRejoined(cut, ids)
	tr.says(300)
	tr.settle()
	if tr.failed.Load() == 0 {
		t.Error("no verb of the cut node failed: the test shows nothing")
	}
}
