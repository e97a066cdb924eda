package redis

import (
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// seats adds members of the node to the trial's first room, which is made.
func (tr *trial) seats(w *witness, n int) (ids []string) {
	tr.Helper()
	tr.must(w.Cluster().Rooms.Create(tr.ctx, tr.rooms[0]))
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", w.cfg.Node, i))
		tr.must(w.Add(tr.ctx, tr.rooms[0], engine.Presentee{ID: ids[i]}))
	}
	return ids
}

func (tr *trial) counts(w *witness, want int) {
	tr.Helper()
	eventually(tr.T, fmt.Sprintf("%s counts %d", w.cfg.Node, want), func() bool {
		got, err := w.Count(tr.ctx, tr.rooms[0])
		tr.must(err)
		page, _, err := w.Members(tr.ctx, tr.rooms[0], "", 100)
		tr.must(err)
		return got == want && len(page) == want
	})
}

// wasHanded waits until the node was handed all of ids, and fails the test if one
// came twice.
func (tr *trial) wasHanded(w *witness, ids []string) {
	tr.Helper()
	eventually(tr.T, "the lost are handed over", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.lost) == len(ids)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if w.lost[id] != 1 {
			tr.Errorf("%s was handed over %d times", id, w.lost[id])
		}
	}
}

func TestNodeThatWasTakenForDeadPutsItsMembersBack(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTrial(t)
	a, b := tr.node(cfg, "a"), tr.node(cfg, "b")
	ids := tr.seats(a, 5)
	a.wire.sever()
	tr.wasHanded(b, ids)
	tr.counts(b, 0)
	gone := make(chan error)
	go func() { gone <- a.Remove(tr.ctx, tr.rooms[0], ids[0]) }()
	eventually(t, "the leaver is off the roster", func() bool { return !a.roster.has(seat{tr.rooms[0], engine.Presentee{ID: ids[0]}}) })
	a.wire.mend()
	tr.must(<-gone)
	tr.counts(b, 4)
	tr.must(a.Add(tr.ctx, tr.rooms[0], engine.Presentee{ID: ids[0]}))
	tr.counts(a, 5)
	if got := a.Counters().Rejoined.Load(); got != 4 {
		t.Errorf("%d rejoined, want 4", got)
	}
	for _, id := range ids {
		tr.must(a.Remove(tr.ctx, tr.rooms[0], id))
	}
	tr.counts(b, 0)
	tr.wasHanded(b, ids)
}

func TestMembersOfARedisThatBeganAnewArePutBack(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTrial(t)
	a := tr.node(Config{Addresses: []string{s.Address()}}, "a")
	tr.seats(a, 3)
	s.Kill()
	tr.must(s.Restart())
	tr.must(a.Cluster().Rooms.Create(tr.ctx, tr.rooms[0])) // rooms are not put back by themselves
	tr.counts(a, 3)
}

func TestWhoDiesWhileLettingGoLeavesAMark(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTrial(t)
	dead := tr.node(cfg, "dead")
	tr.seats(dead, 3)
	reaper := tr.run(&witness{hold: make(chan struct{})}, cfg, "reaper")
	dead.wire.sever()
	<-reaper.hold
	reaper.wire.sever()
	heir := tr.node(cfg, "heir")
	eventually(t, "the heir counts the marks", func() bool { return heir.Counters().LeaveUnknown.Load() == 3 })
	tr.counts(heir, 0)
	tr.wasHanded(heir, nil)
}

func TestWhatAReaperDoesNotFinishIsForAnother(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTrial(t)
	dead := tr.node(cfg, "dead")
	ids := tr.seats(dead, 3)
	reaper := tr.run(&witness{hold: make(chan struct{})}, cfg, "reaper")
	dead.wire.sever()
	<-reaper.hold
	reaper.end()
	heir := tr.node(cfg, "heir")
	tr.wasHanded(heir, ids)
	tr.counts(heir, 0)
	if got := heir.Counters().LeaveUnknown.Load(); got != 0 {
		t.Errorf("%d unknown, want 0", got)
	}
}

func TestNameIsOneNodes(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTrial(t)
	first := tr.node(cfg, "a")
	cfg.Node, cfg.Lease = "a", testLease
	second := open(t, cfg)
	if err := second.Cluster().Nodes.Run(tr.ctx, first); err == nil {
		t.Error("two nodes of one name run")
	}
}
