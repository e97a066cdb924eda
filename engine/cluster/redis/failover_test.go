package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// failover is a server that is both a master and its successor.
type failover struct {
	*redistest.Server
	tr *testCluster
}

func newFailover(tr *testCluster) failover {
	return failover{redistest.Start(tr, "--enable-debug-command", "yes"), tr}
}

// snapshot returns a function that turns the server into its own successor, with the data of the
// time of snapshot: later changes are lost.
func (f failover) snapshot() (successor func()) {
	f.tr.Helper()
	c := f.Client()
	f.tr.Cleanup(func() { _ = c.Close() })
	ctx := f.tr.ctx
	keys, err := c.Keys(ctx, "*").Result()
	f.tr.must(err)
	pipe := c.TxPipeline()
	pipe.FlushAll(ctx)
	for _, key := range keys {
		data, err := c.Dump(ctx, key).Result()
		if err == redis.Nil {
			continue // the key has expired
		}
		f.tr.must(err)
		ttl, err := c.PTTL(ctx, key).Result()
		f.tr.must(err)
		pipe.Restore(ctx, key, max(ttl, 0), data)
	}
	pipe.Do(ctx, "DEBUG", "CHANGE-REPL-ID")
	return func() {
		f.tr.Helper()
		_, err := pipe.Exec(ctx)
		f.tr.must(err)
	}
}

// handedOverTimes returns how often Lost received a member, on all nodes.
func (tr *testCluster) handedOverTimes(id string) (n int) {
	for _, w := range tr.nodes {
		w.mu.Lock()
		n += w.lost[id]
		w.mu.Unlock()
	}
	return n
}

// TestLeaveRunsOnceThoughAFailoverLosesIt checks that members of a dead node are not handed over
// again if a failover loses their removal.
func TestLeaveRunsOnceThoughAFailoverLosesIt(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	dead, a := tr.node(cfg, "dead"), tr.node(cfg, "a")
	tr.node(cfg, "b")
	ids := tr.seats(dead, 5)
	successor := f.snapshot()
	dead.link.disconnect()
	for _, id := range ids {
		eventually(t, id+" is handed over", func() bool { return tr.handedOverTimes(id) == 1 })
	}
	tr.counts(a, 0)
	successor()
	late := tr.node(cfg, "late") // its end shows that members are handed over again
	tr.must(late.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: "late-1"}))
	late.link.disconnect()
	eventually(t, "the late one is handed over", func() bool { return tr.handedOverTimes("late-1") == 1 })
	tr.counts(a, 0)
	for _, id := range ids {
		if n := tr.handedOverTimes(id); n != 1 {
			t.Errorf("%s was handed over %d times", id, n)
		}
	}
}

// TestSessionsEndOnceThoughAFailoverLosesIt checks that a session that was resumed or has ended
// does not end again if a failover loses its removal.
func TestSessionsEndOnceThoughAFailoverLosesIt(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	a := tr.node(cfg, "a")
	tr.must(a.Park(tr.ctx, "resumed", []byte("resumed"), 2*time.Second))
	tr.must(a.Park(tr.ctx, "ended", []byte("ended"), time.Second))
	successor := f.snapshot()
	_, err := a.Take(tr.ctx, "resumed")
	tr.must(err)
	eventually(t, "one has ended", func() bool { return len(a.expiredSessions()) == 1 })
	successor()
	tr.must(a.Park(tr.ctx, "last", []byte("last"), 2*time.Second))
	eventually(t, "the last has ended", func() bool { all := a.expiredSessions(); return all[len(all)-1] == "last" })
	if got := fmt.Sprint(a.expiredSessions()); got != "[ended last]" {
		t.Errorf("%s ended, want [ended last]", got)
	}
}

func (w *recorder) expiredSessions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.expired...)
}

// Expired records the session.
func (w *recorder) Expired(_ context.Context, session []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired = append(w.expired, string(session))
}

// TestMembersAreToldOfAGapAfterALossOfOldMessages checks a new master that lacks messages
// older than Heal.For: members who have not received the messages receive a gap notice, once, before
// the next message.
func TestMembersAreToldOfAGapAfterALossOfOldMessages(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}, Heal: Heal{For: time.Second}}
	a, b, behind := tr.node(cfg, "a"), tr.node(cfg, "b"), tr.node(cfg, "behind")
	hall, still := tr.rooms[0], tr.rooms[1]
	for _, w := range tr.nodes {
		tr.must(w.Subscribe(tr.ctx, hall))
		tr.must(w.Subscribe(tr.ctx, still))
	}
	tr.must(a.Publish(tr.ctx, hall, []byte("first"), cluster.Retention{}))
	tr.must(a.Publish(tr.ctx, still, []byte("first"), cluster.Retention{}))
	for _, w := range tr.nodes {
		eventually(t, w.cfg.Node+" receives the first", func() bool { return len(w.heardIn(hall))+len(w.heardIn(still)) == 2 })
	}
	successor := f.snapshot()
	behind.link.disconnect()
	tr.must(a.Publish(tr.ctx, hall, []byte("lost"), cluster.Retention{}))
	eventually(t, "the lost one is received", func() bool { return len(b.heardIn(hall)) == 2 })
	eventually(t, "the lost one is dropped", func() bool {
		_, gaps, _ := a.parts[0].publisher.recent.after(0)
		return len(gaps) > 0 && messagesOf(gaps) == 2
	})
	successor()
	behind.link.mend()
	eventually(t, "the members are told", func() bool { return len(behind.heardIn(hall)) == 2 })
	tr.must(a.Publish(tr.ctx, hall, []byte("last"), cluster.Retention{}))
	for w, want := range map[*recorder]string{a: "[first lost last]", b: "[first lost last]", behind: "[first (gap) last]"} {
		eventually(t, "the last is received", func() bool { all := w.heardIn(hall); return all[len(all)-1] == "last" })
		if got := fmt.Sprint(w.heardIn(hall)); got != want {
			t.Errorf("%s received %s, want %s", w.cfg.Node, got, want)
		}
		if got := fmt.Sprint(w.heardIn(still)); got != "[first]" {
			t.Errorf("%s received %s in a room that lost nothing", w.cfg.Node, got)
		}
	}
	top, err := b.Read(tr.ctx, hall, cluster.Position{}, 0, kept)
	tr.must(err)
	since, err := b.Read(tr.ctx, hall, cluster.Position{Epoch: top.Top.Epoch, Offset: 1}, 10, kept)
	tr.must(err)
	if !since.Missing {
		t.Errorf("a client that comes back is not told: %+v", since)
	}
}

// TestAMessageIsPublishedOnceThoughAFailoverLosesIt checks that its node publishes a message of PublishOnce again after a failover has
// lost it, and that a call with the same id on another node does not. If the node of the message is dead, the other node publishes it,
// and members who have it do not receive it again.
func TestAMessageIsPublishedOnceThoughAFailoverLosesIt(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	a, b, dead := tr.node(cfg, "a"), tr.node(cfg, "b"), tr.node(cfg, "dead")
	hall := tr.rooms[0]
	tr.must(a.Subscribe(tr.ctx, hall))
	tr.must(b.Subscribe(tr.ctx, hall))
	tr.must(a.Publish(tr.ctx, hall, []byte("first"), kept))
	once := func(w *recorder, id, payload string) cluster.Position {
		t.Helper()
		at, err := w.PublishOnce(tr.ctx, hall, id, []byte(payload), kept)
		tr.must(err)
		return at
	}
	successor := f.snapshot()
	once(a, "living", "living")
	once(dead, "dead", "dead")
	for _, w := range []*recorder{a, b} {
		eventually(t, "both are received", func() bool { return len(w.heardIn(hall)) == 3 })
	}
	dead.link.disconnect()
	successor()
	at := once(b, "living", "again")
	once(b, "dead", "again")
	if second := once(a, "living", "again"); second != at || at.Offset == 0 {
		t.Errorf("the positions are %+v and %+v", at, second)
	}
	tr.must(a.Publish(tr.ctx, hall, []byte("last"), kept))
	for _, w := range []*recorder{a, b} {
		eventually(t, "the last is received", func() bool { return slices.Contains(w.heardIn(hall), "last") })
		if got := fmt.Sprint(w.heardIn(hall)); got != "[first living dead last]" {
			t.Errorf("%s received %s", w.cfg.Node, got)
		}
	}
	page, err := a.Read(tr.ctx, hall, cluster.Position{Epoch: at.Epoch}, 10, kept)
	tr.must(err)
	var history []string
	for _, m := range page.Messages {
		history = append(history, string(m.Payload))
	}
	if got := fmt.Sprint(history); got != "[first living again last]" {
		t.Errorf("the history is %s", got)
	}
}

// TestASubscriptionReceivesNoEarlierMessages checks that a subscription does not receive earlier
// messages when they are published again after a failover.
func TestASubscriptionReceivesNoEarlierMessages(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	a := tr.node(Config{Addresses: []string{f.Address()}}, "a")
	hall := tr.rooms[0]
	tr.must(a.Subscribe(tr.ctx, hall))
	tr.must(a.Publish(tr.ctx, hall, []byte("1"), kept))
	successor := f.snapshot()
	for i := range 5 {
		tr.must(a.Publish(tr.ctx, hall, fmt.Append(nil, 2+i), kept))
	}
	b := tr.node(Config{Addresses: []string{f.Address()}}, "b")
	tr.must(b.Subscribe(tr.ctx, hall))
	tr.must(a.Publish(tr.ctx, hall, []byte("7"), kept))
	eventually(t, "7 is received", func() bool { return len(b.heardIn(hall)) == 1 })
	successor()
	tr.must(a.Publish(tr.ctx, hall, []byte("8"), kept))
	for w, want := range map[*recorder]string{a: "[1 2 3 4 5 6 7 8]", b: "[7 8]"} {
		eventually(t, w.cfg.Node+" receives 8", func() bool { return slices.Contains(w.heardIn(hall), "8") })
		if got := fmt.Sprint(w.heardIn(hall)); got != want {
			t.Errorf("%s received %s, want %s", w.cfg.Node, got, want)
		}
	}
}

// TestMessagesOfRestoredDataAreNotDeliveredAgain checks a node that subscribed in an epoch that the
// present data lacks: it receives no old message, and all new messages.
func TestMessagesOfRestoredDataAreNotDeliveredAgain(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}, Heal: Heal{For: time.Second}}
	a, old := tr.node(cfg, "a"), tr.node(cfg, "old")
	hall := tr.rooms[0]
	for i := range 5 {
		tr.must(old.Publish(tr.ctx, hall, fmt.Append(nil, "old ", i), kept))
	}
	backup, again := f.snapshot(), f.snapshot()
	backup()
	tr.must(a.Publish(tr.ctx, hall, []byte("another epoch"), kept))
	eventually(t, "it is dropped", func() bool { _, gaps, _ := a.parts[0].publisher.recent.after(0); return len(gaps) > 0 })
	b := tr.node(cfg, "b")
	tr.must(b.Subscribe(tr.ctx, hall))
	again()
	tr.must(a.Publish(tr.ctx, hall, []byte("new"), kept))
	eventually(t, "the new one is received", func() bool { all := b.heardIn(hall); return len(all) > 0 && all[len(all)-1] == "new" })
	if got := fmt.Sprint(b.heardIn(hall)); got != "[new]" {
		t.Errorf("b received %s, want [new]", got)
	}
}

// TestAMasterWithOldDataInBetweenLosesNothing checks a node that was on a server with old data in
// between, such as a former master that restarted. The node continues from its position on the
// earlier master, and does not count received messages as lost.
func TestAMasterWithOldDataInBetweenLosesNothing(t *testing.T) {
	s := redistest.Start(t)
	n := open(t, Config{Addresses: []string{s.Address()}, Node: "a"})
	p := n.parts[0]
	numbers := append(binary.BigEndian.AppendUint64(nil, math.Float64bits(30)), make([]byte, 64)...)
	n.must(t, "SET", p.keys.of("m", "t/r"), fmt.Sprintf("%s%-16s%-20se2:20 e1:10\n", numbers, "e3", "another generation"))
	for offset := 15; offset <= 30; offset++ {
		n.must(t, "XADD", p.keys.of("h", "t/r"), fmt.Sprint("0-", offset), "d", fmt.Sprintf("1 b#1.%d x", offset))
	}
	r := &sub{p: p, key: "t/r"}
	for _, to := range []position{{"e1", 10}, {"e2", 19}, {"old", 3}, {"e1", 7}, {"e2", 18}, {"e1", 8}, {"old", 4}} {
		r.advance(0, to)
	}
	page, err := p.since(t.Context(), "t/r", r.places())
	if err != nil || page.from != 20 || len(page.messages) != 11 {
		t.Fatalf("%d messages from %d, %v: want 11 from 20", len(page.messages), page.from, err)
	}
	if first, second := page.messages[0].epoch, page.messages[1].epoch; first != "e2" || second != page.epoch {
		t.Errorf("messages 20 and 21 are of epochs %q and %q, want e2 and %q", first, second, page.epoch)
	}
}
