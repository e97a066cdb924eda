package redis

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// seats creates the first room and adds members of the node to it.
func (tr *testCluster) seats(w *recorder, n int) (ids []string) {
	tr.Helper()
	tr.must(w.Cluster().Rooms.Create(tr.ctx, tr.rooms[0]))
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", w.cfg.Node, i))
		tr.must(w.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: ids[i]}))
	}
	return ids
}

func (tr *testCluster) counts(w *recorder, want int) {
	tr.Helper()
	eventually(tr.T, fmt.Sprintf("%s counts %d", w.cfg.Node, want), func() bool {
		got, err := w.Count(tr.ctx, tr.rooms[0])
		tr.must(err)
		page, _, err := w.Members(tr.ctx, tr.rooms[0], "", 100)
		tr.must(err)
		return got == want && len(page) == want
	})
}

// wasHanded waits until the node's Lost has received all of ids, and fails the test if it
// received a member twice.
func (tr *testCluster) wasHanded(w *recorder, ids []string) {
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

// hasRejoined waits until the node's Rejoin has received ids, and fails the test if it received
// others.
func (tr *testCluster) hasRejoined(w *recorder, ids []string) {
	tr.Helper()
	eventually(tr.T, "they join again", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.rejoined) >= len(ids)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if w.rejoined[id] != 1 || len(w.rejoined) != len(ids) {
			tr.Errorf("%v joined again, want each of %v once", w.rejoined, ids)
		}
	}
}

// TestMembersOfANodeThatWasTakenForDeadJoinAgain checks a node that was cut off for longer than
// its lease: its members join again, except a member that leaves.
func TestMembersOfANodeThatWasTakenForDeadJoinAgain(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTestCluster(t)
	a, b := tr.node(cfg, "a"), tr.node(cfg, "b")
	ids := tr.seats(a, 5)
	a.link.disconnect()
	tr.wasHanded(b, ids)
	tr.counts(b, 0)
	// A member that b has already removed leaves while Redis does not answer.
	parted := make(chan bool)
	go func() {
		gone, err := a.BeginLeave(tr.ctx, tr.rooms[0], ids[0])
		if err != nil {
			t.Error(err)
		}
		parted <- gone
	}()
	eventually(t, "the leaver is parting", func() bool {
		s, ok := a.roster.at(place{tr.rooms[0], ids[0]})
		return ok && s.parting
	})
	a.link.mend()
	if !<-parted {
		t.Error("leave is to be run by two nodes")
	}
	tr.must(a.Remove(tr.ctx, tr.rooms[0], ids[0]))
	tr.hasRejoined(a, ids[1:])
	tr.counts(b, 4)
	tr.must(a.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: ids[0]}))
	tr.counts(a, 5)
	for _, id := range ids {
		gone, err := a.BeginLeave(tr.ctx, tr.rooms[0], id)
		if err != nil || gone {
			t.Errorf("part: %v, %v", gone, err)
		}
		tr.must(a.Remove(tr.ctx, tr.rooms[0], id))
	}
	tr.counts(b, 0)
	tr.wasHanded(b, ids)
}

// TestALeaveIsRepeatedAfterRedisAnswersAgain checks that a member that leaves while Redis does not answer is
// removed later.
func TestALeaveIsRepeatedAfterRedisAnswersAgain(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	cfg := Config{Addresses: []string{s.Address()}}
	b := tr.node(cfg, "b")
	a := tr.impatient(cfg, "a")
	ids := tr.seats(a, 3)
	a.link.disconnect()
	fails := func(what string, err error) {
		if !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, cluster.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
	fails("remove", a.Remove(tr.ctx, tr.rooms[0], ids[0]))
	_, err := a.BeginLeave(tr.ctx, tr.rooms[0], ids[1])
	fails("part", err)
	fails("add", a.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: "late"}))
	a.link.mend()
	tr.counts(b, 2)
}

func TestHealthSaysWhetherRedisAnswers(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}}, "a")
	eventually(t, "the node is well", func() bool { return a.Health() == nil })
	a.link.disconnect()
	eventually(t, "the node is ill", func() bool { return a.Health() != nil })
	a.link.mend()
	eventually(t, "the node is well again", func() bool { return a.Health() == nil })
}

// TestMembersOfARedisThatBeganAnewArePutBack checks that a Redis that restarted without data
// gets its members again, without a join.
func TestMembersOfARedisThatBeganAnewArePutBack(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}}, "a")
	tr.seats(a, 3)
	s.Kill()
	tr.must(s.Restart())
	tr.counts(a, 3)
	eventually(t, "the node counts its members", func() bool { return a.Counters().Restored == 3 })
	if got := a.Counters().Rejoined; got != 0 {
		t.Errorf("%d members joined again, want 0", got)
	}
}

// TestLeaveIsNotRepeatedIfItsNodeDies checks that leave does not run again if the node that
// runs it dies, and that its members are counted.
func TestLeaveIsNotRepeatedIfItsNodeDies(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTestCluster(t)
	dead := tr.node(cfg, "dead")
	tr.seats(dead, 3)
	reaper := tr.run(&recorder{hold: make(chan struct{})}, cfg, "reaper")
	dead.link.disconnect()
	<-reaper.hold
	reaper.link.disconnect()
	heir := tr.node(cfg, "heir")
	eventually(t, "the heir counts the marks", func() bool { return heir.Counters().LeaveUnknown == 3 })
	tr.counts(heir, 0)
	tr.wasHanded(heir, nil)
}

// TestAnotherNodeFinishesAReaping checks that another node gets the members of a dead
// node if the first survivor ends before it has removed them.
func TestAnotherNodeFinishesAReaping(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTestCluster(t)
	dead := tr.node(cfg, "dead")
	ids := tr.seats(dead, 3)
	reaper := tr.run(&recorder{hold: make(chan struct{})}, cfg, "reaper")
	dead.link.disconnect()
	<-reaper.hold
	reaper.end()
	heir := tr.node(cfg, "heir")
	tr.wasHanded(heir, ids)
	tr.counts(heir, 0)
	if got := heir.Counters().LeaveUnknown; got != 0 {
		t.Errorf("%d unknown, want 0", got)
	}
}

// TestOneNodeRunsUnderAName checks that a second node with the name of a running node does not run.
func TestOneNodeRunsUnderAName(t *testing.T) {
	s := redistest.Start(t)
	cfg := Config{Addresses: []string{s.Address()}}
	tr := emptyTestCluster(t)
	first := tr.node(cfg, "a")
	cfg.Node, cfg.Lease = "a", testLease
	second := open(t, cfg)
	if err := second.Cluster().Nodes.Run(tr.ctx, first); err == nil {
		t.Error("two nodes of one name run")
	}
}
