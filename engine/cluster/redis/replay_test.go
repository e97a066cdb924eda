package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// unsettled is a node that does not run, on a Redis whose generation waits for it and
// for another process, b#1.
func unsettled(t *testing.T) (*Node, *partition) {
	t.Helper()
	s := redistest.Start(t)
	n := open(t, Config{Addresses: []string{s.Address()}, Node: "a"})
	p := n.parts[0]
	n.must(t, "ZADD", p.keys.of("alive"), 1e14, n.process, 1e14, "b#1")
	n.must(t, "SET", p.keys.of("settling"), "99999999999999")
	return n, p
}

func (n *Node) must(t *testing.T, command ...any) any {
	t.Helper()
	v, err := n.client.Do(t.Context(), command...).Result()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// batch is one message, accepted at a time by Redis' clock.
func batch(seq uint64, order int64) sent {
	e := entry{id: fmt.Sprintf("a#1.%d", seq), payload: fmt.Sprint(seq)}
	return sent{seq: seq, order: order, at: time.Now(), messages: []message{{room: "t/r", entry: e.String()}}}
}

// state is what report or restoreSome answers.
func state(t *testing.T, f func(context.Context) (string, error)) string {
	t.Helper()
	s, err := f(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A failover that follows another one waits for reports of its own: those to the
// generation before say nothing of what this one lacks.
func TestReportsAreToOneGeneration(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "HSET", p.keys.of("reported"), "b#1", "the generation before")
	p.lane.remember(batch(1, 1))
	if s := state(t, p.lane.report); s != "more" {
		t.Fatal(s)
	}
	if s := state(t, p.lane.restoreSome); s != "wait" {
		t.Errorf("%q, though b#1 has not reported: want wait", s)
	}
	n.must(t, "HSET", p.keys.of("reported"), "b#1", p.lane.gen)
	if s := state(t, p.lane.restoreSome); s != "open" {
		t.Errorf("%q, though all have reported: want open", s)
	}
}

// TestReportsOfAllAreWaitedFor checks that a master which knows old beats only waits for
// the nodes that were there then, and not for one that has been given up.
func TestReportsOfAllAreWaitedFor(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "ZADD", p.keys.of("alive"), 1, "b#1", 0, "c#1")
	p.lane.remember(batch(1, 1))
	state(t, p.lane.report)
	if s := state(t, p.lane.restoreSome); s != "wait" {
		t.Errorf("%q, though b#1 has not reported: want wait", s)
	}
	n.must(t, "HSET", p.keys.of("reported"), "b#1", p.lane.gen)
	if s := state(t, p.lane.restoreSome); s != "open" {
		t.Errorf("%q, though all have reported: want open", s)
	}
}

// A node that waits for the reports of others stages what it has once.
func TestWhatIsLostIsStagedOnce(t *testing.T) {
	n, p := unsettled(t)
	p.lane.remember(batch(1, 1))
	state(t, p.lane.report)
	if staged := n.must(t, "HLEN", p.keys.of("batches")); staged != int64(1) {
		t.Fatalf("%v batches are staged, want 1", staged)
	}
	n.must(t, "DEL", p.keys.of("batches"))
	if s := state(t, p.lane.report); s != "more" {
		t.Error(s)
	}
	if staged := n.must(t, "HLEN", p.keys.of("batches")); staged != int64(0) {
		t.Errorf("%v batches are staged again", staged)
	}
}

// The clocks of two masters differ: a publisher's batches keep their order all the same,
// since one that is published before another is the end of that.
func TestClocksOfMastersDoNotReorderBatches(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "ZREM", p.keys.of("alive"), "b#1")
	const ahead, behind = batchCount, 2
	for i := range ahead + behind {
		order := int64(1_000_000 + i)
		if i >= ahead {
			order = int64(i)
		}
		p.lane.remember(batch(uint64(i+1), order))
	}
	s := state(t, p.lane.report)
	for s == "more" {
		s = state(t, p.lane.restoreSome)
	}
	if s != "open" {
		t.Fatal(s)
	}
	got, err := p.since(t.Context(), "t/r", []position{{}})
	if err != nil || got.top != ahead+behind {
		t.Errorf("%d messages are there, error %v: want %d", got.top, err, ahead+behind)
	}
	entries := n.must(t, "XLEN", p.keys.of("h", "t/r"))
	if entries != int64(ahead+behind) {
		t.Errorf("%v entries", entries)
	}
}

// A former master that two nodes took for the only one for longer than Heal.For accepted
// messages that nobody can publish again. That is known.
func TestBatchesThatAreTooOldForAFailoverAreMissed(t *testing.T) {
	n := &Node{cfg: Config{Heal: Heal{For: time.Minute, NodeBytes: 1 << 20}}}
	l := &newPartition(n, keys{"moot", "0"}).lane
	for seq := range uint64(4) {
		b := batch(seq+1, int64(seq))
		b.at = b.at.Add(time.Duration(seq) * 19 * time.Second)
		l.remember(b)
	}
	for after, want := range map[uint64]bool{0: false, 1: false, 4: false} {
		if _, cut := l.recent.after(after); cut != want {
			t.Errorf("after %d: messages are missing: %v, want %v", after, cut, want)
		}
	}
	late := batch(5, 5)
	late.at = late.at.Add(3 * time.Minute)
	l.remember(late)
	if lost, cut := l.recent.after(2); !cut || len(lost) != 1 {
		t.Errorf("after 2: %d batches of 3 are there, messages are missing: %v", len(lost), cut)
	}
}
