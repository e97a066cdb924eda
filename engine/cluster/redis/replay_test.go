package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// unsettled returns a node that does not run, on a Redis whose generation waits for this node and
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

// batch returns a batch of one message, accepted at a time by Redis' clock.
func batch(seq uint64, order int64) sent {
	e := entry{id: fmt.Sprintf("a#1.%d", seq), payload: fmt.Sprint(seq)}
	return sent{seq: seq, order: order, at: time.Now(), messages: []message{{room: "t/r", entry: e.String()}}}
}

// state returns the result of report or restoreSome.
func state(t *testing.T, f func(context.Context) (string, error)) string {
	t.Helper()
	s, err := f(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReportsAreToOneGeneration checks that reports to an earlier generation do not count for the
// present one.
func TestReportsAreToOneGeneration(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "HSET", p.keys.of("reported"), "b#1", "the generation before")
	p.publisher.remember(batch(1, 1))
	if s := state(t, p.publisher.report); s != "more" {
		t.Fatal(s)
	}
	if s := state(t, p.publisher.restoreSome); s != "wait" {
		t.Errorf("%q, though b#1 has not reported: want wait", s)
	}
	n.must(t, "HSET", p.keys.of("reported"), "b#1", p.publisher.gen)
	if s := state(t, p.publisher.restoreSome); s != "open" {
		t.Errorf("%q, though all have reported: want open", s)
	}
}

// TestReportsOfAllAreWaitedFor checks that a master with only old beats waits for the nodes of
// that time, and not for a dead node.
func TestReportsOfAllAreWaitedFor(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "ZADD", p.keys.of("alive"), 1, "b#1", 0, "c#1")
	p.publisher.remember(batch(1, 1))
	state(t, p.publisher.report)
	if s := state(t, p.publisher.restoreSome); s != "wait" {
		t.Errorf("%q, though b#1 has not reported: want wait", s)
	}
	n.must(t, "HSET", p.keys.of("reported"), "b#1", p.publisher.gen)
	if s := state(t, p.publisher.restoreSome); s != "open" {
		t.Errorf("%q, though all have reported: want open", s)
	}
}

// TestPositionsWaitForMessagesThatArePublishedAgain checks that no client and no subscription
// reads a position before lost messages are published again, because these messages would come
// after that position.
func TestPositionsWaitForMessagesThatArePublishedAgain(t *testing.T) {
	n, p := unsettled(t)
	n.cfg.PublishTimeout = 50 * time.Millisecond
	room := cluster.RoomID{Tenant: "t", Room: "r"}
	read := func() error {
		_, err := n.readOnce(t.Context(), room, cluster.Position{}, 0, kept)
		return err
	}
	subscribe := func() error { _, _, err := p.beginning(t.Context(), &sub{key: roomKey(room)}); return err }
	for name, f := range map[string]func() error{"history": read, "a subscription": subscribe} {
		if err := f(); !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("%s while the generation is unsettled: %v", name, err)
		}
	}
	n.must(t, "DEL", p.keys.of("settling"))
	for name, f := range map[string]func() error{"history": read, "a subscription": subscribe} {
		if err := f(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLostBatchesAreStagedOnce checks that a node that waits for the reports of others stages its
// batches once.
func TestLostBatchesAreStagedOnce(t *testing.T) {
	n, p := unsettled(t)
	p.publisher.remember(batch(1, 1))
	state(t, p.publisher.report)
	if staged := n.must(t, "HLEN", p.keys.of("batches")); staged != int64(1) {
		t.Fatalf("%v batches are staged, want 1", staged)
	}
	n.must(t, "DEL", p.keys.of("batches"))
	if s := state(t, p.publisher.report); s != "more" {
		t.Error(s)
	}
	if staged := n.must(t, "HLEN", p.keys.of("batches")); staged != int64(0) {
		t.Errorf("%v batches are staged again", staged)
	}
}

// TestClocksOfMastersDoNotReorderBatches checks that a publisher's batches keep their order if
// the clocks of two masters differ.
func TestClocksOfMastersDoNotReorderBatches(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "ZREM", p.keys.of("alive"), "b#1")
	const ahead, behind = batchCount, 2
	for i := range ahead + behind {
		order := int64(1_000_000 + i)
		if i >= ahead {
			order = int64(i)
		}
		p.publisher.remember(batch(uint64(i+1), order))
	}
	s := state(t, p.publisher.report)
	for s == "more" {
		s = state(t, p.publisher.restoreSome)
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

// TestRoomsOfDroppedBatchesAreKnown checks that a publisher knows the rooms of dropped messages
// that a server lacks, from the number of the server's last batch.
func TestRoomsOfDroppedBatchesAreKnown(t *testing.T) {
	n := &Node{cfg: Config{Heal: Heal{For: time.Minute, NodeBytes: 1 << 20}}}
	l := &newPartition(n, keys{"moot", "0"}).publisher
	for seq := range uint64(8) {
		b := batch(seq+1, int64(seq))
		b.messages[0].room, b.messages[0].number = fmt.Sprint("t/", seq%3), seq+1
		b.at = b.at.Add(time.Duration(seq) * 19 * time.Second)
		l.remember(b)
	}
	for after, want := range map[uint64]string{0: "t/1.2 t/2.3 t/0.4", 1: "t/1.2 t/2.3 t/0.4", 2: "t/2.3 t/0.4", 4: "", 8: ""} {
		_, gaps, forgotten := l.recent.after(after)
		if got := roomsOf(gaps); forgotten || got != want {
			t.Errorf("after %d: gaps in %q, forgotten %v: want %q", after, got, forgotten, want)
		}
	}
	began := time.Now().Add(time.Hour)
	for i := range 100 {
		b := batch(9+uint64(i), 9)
		b.messages[0].room, b.at = fmt.Sprint("t/many ", i), began
		l.remember(b)
	}
	for _, later := range []struct {
		after     time.Duration
		gaps      int
		forgotten bool
	}{{2 * time.Minute, 103, false}, {25 * time.Minute, 100, true}, {50 * time.Minute, 0, true}} {
		l.tidy(began.Add(later.after))
		if _, gaps, forgotten := l.recent.after(2); forgotten != later.forgotten || messagesOf(gaps) != later.gaps {
			t.Errorf("%v later: %d gaps, forgotten %v; want %d, %v", later.after, messagesOf(gaps), forgotten, later.gaps, later.forgotten)
		}
	}
}

func roomsOf(gaps []sent) string {
	var all []string
	for _, g := range gaps {
		for _, m := range g.messages {
			all = append(all, fmt.Sprint(m.room, ".", m.number))
		}
	}
	return strings.Join(all, " ")
}
