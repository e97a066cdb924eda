//go:build chaos

package redis

import (
	"testing"

	"github.com/mootchat/moot/engine"
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
	big, flood := make([]byte, 60<<10), engine.RoomID{Tenant: "default", Room: "flood"}
	tr.must(tr.nodes[1].Subscribe(tr.ctx, flood))
	for range 200 {
		tr.must(tr.nodes[0].Publish(tr.ctx, flood, big, engine.Keep{}))
	}
	tr.says(300)
	tr.settle()
	if tr.nodes[1].Counters().Reopened == 0 {
		t.Error("no buffer overflowed")
	}
}
