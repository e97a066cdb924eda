//go:build chaos

package redis

import (
	"fmt"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// `make chaos` runs these tests, because they take long.

func TestPromisesSentinel(t *testing.T) {
	_, _, sentinel := redistest.StartSentinels(t, 1)
	promises(t, Config{Mode: Sentinel, MasterName: "main", Addresses: []string{sentinel.Address()}})
}

// TestRoomOfAHundredThousand checks that a room of 100,000 members on three nodes is counted and
// read page by page, each member once, and that the death of a node removes a third of them.
func TestRoomOfAHundredThousand(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
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
	read := func(w *recorder) int {
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
	tr.nodes[0].link.disconnect()
	eventually(t, "a third is gone", func() bool { n, err := tr.nodes[1].Count(tr.ctx, hall); tr.must(err); return n == 2*each })
	if got := read(tr.nodes[1]); got != 2*each {
		t.Errorf("%d are read, want %d", got, 2*each)
	}
}
