package redis

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// kept is the history of rooms that have one.
var kept = cluster.Retention{Messages: 100, For: time.Minute}

// chatter makes all nodes publish in two rooms, one with history, 600 messages a second in each,
// until settle.
func (tr *testCluster) chatter() (plain, history cluster.RoomID) {
	tr.Helper()
	plain, history = cluster.RoomID{Tenant: "default", Room: "busy"}, cluster.RoomID{Tenant: "default", Room: "busy, kept"}
	tr.rooms = append(tr.rooms, plain, history)
	for _, w := range tr.nodes {
		tr.must(w.Subscribe(tr.ctx, plain))
		tr.must(w.Subscribe(tr.ctx, history))
	}
	for _, w := range tr.nodes {
		for i := range 2 {
			tr.senders.Go(func() { tr.speakAs(w, plain, fmt.Sprint(w.cfg.Node, ".", i), cluster.Retention{}, 10*time.Millisecond) })
			tr.senders.Go(func() { tr.speakAs(w, history, fmt.Sprint(w.cfg.Node, ".", i), kept, 10*time.Millisecond) })
		}
	}
	tr.says(600)
	return plain, history
}

func (tr *testCluster) speakAs(w *recorder, r cluster.RoomID, as string, keep cluster.Retention, every time.Duration) {
	pace := time.NewTicker(every)
	defer pace.Stop()
	for k := 0; !tr.over.Load(); k++ {
		payload := fmt.Sprintf("%s %d", as, k)
		began := time.Now()
		err := w.Publish(tr.ctx, r, []byte(payload), keep)
		tr.note(r, payload, err, time.Since(began))
		<-pace.C
	}
}

// remembers checks that history has the last messages, once each and in order.
func (tr *testCluster) remembers(w *recorder, r cluster.RoomID) {
	tr.Helper()
	page, err := w.Read(tr.ctx, r, cluster.Position{}, 0, kept)
	tr.must(err)
	page, err = w.Read(tr.ctx, r, cluster.Position{Epoch: page.Top.Epoch, Offset: page.Top.Offset - uint64(kept.Messages)}, 2*kept.Messages, kept)
	tr.must(err)
	var texts []string
	for _, m := range page.Messages {
		texts = append(texts, string(m.Payload))
	}
	heard := w.heardIn(r)
	if want := heard[len(heard)-kept.Messages:]; !slices.Equal(texts, want) {
		tr.Errorf("history has\n%q, the members received\n%q", texts, want)
	}
}

// TestNothingIsPublishedAgainWhenRedisRestarts checks that no message is lost or published again when
// a busy Redis restarts with its data.
func TestNothingIsPublishedAgainWhenRedisRestarts(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	plain, history := tr.chatter()
	for range 2 {
		s.Kill()
		tr.must(s.Restart())
		tr.says(1200)
	}
	tr.settle()
	for _, w := range tr.nodes {
		if n := w.Counters().Replayed; n > 0 {
			t.Errorf("%s published %d messages again", w.cfg.Node, n)
		}
	}
	tr.remembers(tr.nodes[0], history)
	p, key := tr.nodes[0].at(plain)
	n, err := tr.nodes[0].client.XLen(tr.ctx, p.keys.of("h", key)).Result()
	tr.must(err)
	if heard := len(tr.nodes[0].heardIn(plain)); n > int64(heard) {
		t.Errorf("the stream has %d messages, %d were said", n, heard)
	}
}

// TestNothingIsLostOfABusyRoom checks that a node that misses seconds of a busy room reads all
// missed messages.
func TestNothingIsLostOfABusyRoom(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	_, history := tr.chatter()
	tr.nodes[1].link.disconnect()
	tr.says(2400)
	tr.nodes[1].link.mend()
	tr.says(300)
	tr.settle()
	tr.remembers(tr.nodes[1], history)
}

func TestNothingIsLostOfABusyRoomWhenTheMasterDies(t *testing.T) {
	master, _, sentinel := redistest.StartSentinels(t, 1)
	tr := newTestCluster(t, Config{Mode: Sentinel, MasterName: redistest.Master, Addresses: []string{sentinel.Address()}})
	tr.chatter()
	master.Kill()
	tr.says(1200)
	tr.settle()
}

// TestSubscriptionsFollowAFailoverByCommand checks that subscribers follow a failover by command
// as fast as publishers.
func TestSubscriptionsFollowAFailoverByCommand(t *testing.T) {
	_, _, sentinel := redistest.StartSentinels(t, 1)
	tr := newTestCluster(t, Config{Mode: Sentinel, MasterName: redistest.Master, Addresses: []string{sentinel.Address()}})
	tr.chatter()
	var was []int64
	for _, w := range tr.nodes {
		was = append(was, w.Counters().Reopened)
	}
	tr.must(sentinel.Do("SENTINEL", "FAILOVER", redistest.Master))
	for i, w := range tr.nodes {
		eventually(t, "subscriptions are made anew", func() bool { return w.Counters().Reopened > was[i] })
	}
	tr.says(1200)
	tr.settle()
}

// TestNothingIsLostAtAFormerMaster checks that a former master that becomes master again and
// lacks messages of its successor begins a new epoch, also for connections that stayed open.
func TestNothingIsLostAtAFormerMaster(t *testing.T) {
	all := redistest.StartCluster(t, 3, 3)
	former, other := all[0], all[3]
	master := func(s *redistest.Server) func() bool {
		return func() bool { return s.Info("role", "INFO", "replication") == "master" }
	}
	tr := newTestCluster(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 3})
	tr.talk()
	tr.must(other.Do("CLUSTER", "FAILOVER"))
	eventually(t, "the other is master", master(other))
	eventually(t, "the former one follows", func() bool { return former.Info("master_link_status") == "up" })
	tr.says(300)
	tr.must(former.Signal(syscall.SIGSTOP))
	tr.must(other.Do("CLIENT", "KILL", "TYPE", "replica")) // the replica lacks all later messages
	tr.says(600)
	other.Kill()
	tr.must(former.Signal(syscall.SIGCONT))
	eventually(t, "the former one is master again", master(former))
	tr.says(600)
	tr.settle()
	replayed := int64(0)
	for _, w := range tr.nodes {
		replayed += w.Counters().Replayed
	}
	if replayed == 0 {
		t.Error("the former master lacked nothing: the test shows nothing")
	}
}

// TestNothingIsLostOfLargeMessages checks that large messages accepted within cluster.heal.for
// are published again.
func TestNothingIsLostOfLargeMessages(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	hall, large := tr.rooms[0], make([]byte, 8<<10)
	tr.nodes[1].link.disconnect()
	for k := range 1000 {
		payload := fmt.Sprintf("node-0 %d", k)
		tr.must(tr.nodes[0].Publish(tr.ctx, hall, append([]byte(payload+" "), large...), cluster.Retention{}))
	}
	s.Kill()
	tr.must(s.Restart())
	tr.nodes[1].link.mend()
	eventually(t, "all is received", func() bool { return len(tr.nodes[1].heardIn(hall)) == 1000 })
	for i, text := range tr.nodes[1].heardIn(hall) {
		if want := fmt.Sprintf("node-0 %d ", i); text[:len(want)] != want {
			t.Fatalf("message %d is %.20q", i, text)
		}
	}
}

// TestHealingIsPaced checks that a node delivers missed messages in parts, and waits for its
// members between the parts.
func TestHealingIsPaced(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	hall, large := tr.rooms[0], make([]byte, 8<<10)
	w := tr.nodes[1]
	w.link.disconnect()
	for range 500 {
		tr.must(tr.nodes[0].Publish(tr.ctx, hall, large, cluster.Retention{}))
	}
	w.link.mend()
	eventually(t, "all is received", func() bool { return len(w.heardIn(hall)) == 500 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for last := 0; ; {
		i := slices.IndexFunc(w.paced, func(n int) bool { return n > last })
		if i < 0 {
			if last < 500-8 {
				t.Errorf("%d messages of 8 KiB were handed over at once", 500-last)
			}
			return
		}
		if w.paced[i]-last > 8 {
			t.Errorf("%d messages of 8 KiB were handed over at once", w.paced[i]-last)
		}
		last = w.paced[i]
	}
}

// TestARoomDropsMessagesAboveItsBytes checks that a room over its limit drops older messages, and
// that a node that missed them counts a gap.
func TestARoomDropsMessagesAboveItsBytes(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	base := Config{Addresses: []string{s.Address()}, Heal: Heal{RoomBytes: 256 << 10}}
	a, b := tr.node(base, "a"), tr.node(base, "b")
	hall, large := tr.rooms[0], make([]byte, 8<<10)
	for _, w := range tr.nodes {
		tr.must(w.Subscribe(tr.ctx, hall))
	}
	b.link.disconnect()
	for range 600 {
		tr.must(a.Publish(tr.ctx, hall, large, cluster.Retention{}))
	}
	p, key := a.at(hall)
	n, err := a.client.XLen(tr.ctx, p.keys.of("h", key)).Result()
	tr.must(err)
	if n > 64 {
		t.Errorf("%d messages are kept, want at most 64 of 8 KiB", n)
	}
	b.link.mend()
	tr.must(a.Publish(tr.ctx, hall, []byte("last"), cluster.Retention{}))
	eventually(t, "the last is received", func() bool { return slices.Contains(b.heardIn(hall), "last") })
	heard := b.heardIn(hall)
	if heard[0] != gapMark || slices.Contains(heard[1:], gapMark) {
		t.Errorf("%d were received, the first is %.20q: want one gap notice before the messages that follow", len(heard), heard[0])
	}
	if gaps := b.Counters().Gaps; gaps == 0 || gaps+int64(len(heard)-1) != 601 {
		t.Errorf("%d gaps and %d received of 601", gaps, len(heard)-1)
	}
}

// TestAHistoryDropsMessagesAboveItsBytes checks that Redis does not keep the messages of a history
// that exceed its bytes, also if they were published with less.
func TestAHistoryDropsMessagesAboveItsBytes(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}, Heal: Heal{RoomBytes: 256 << 10}}, "a")
	hall, large := tr.rooms[0], make([]byte, 8<<10)
	keep := cluster.Retention{Messages: 10_000, For: time.Hour}
	for _, bytes := range []int64{0, 256 << 10} {
		keep.Bytes = bytes
		for range 300 {
			tr.must(a.Publish(tr.ctx, hall, large, keep))
		}
	}
	p, key := a.at(hall)
	n, err := a.client.XLen(tr.ctx, p.keys.of("h", key)).Result()
	tr.must(err)
	if n > 64 {
		t.Errorf("%d messages are kept, want at most 64 of 8 KiB", n)
	}
}

// TestATenantsRoomsDropMessagesAboveItsBytes checks that rooms drop messages sooner if together they
// exceed the bytes of their tenant.
func TestATenantsRoomsDropMessagesAboveItsBytes(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}, Heal: Heal{RoomBytes: 1 << 20, TenantBytes: 512 << 10}}, "a")
	large := make([]byte, 8<<10)
	for range 100 {
		for _, hall := range tr.rooms {
			tr.must(a.Publish(tr.ctx, hall, large, cluster.Retention{}))
		}
	}
	mild := cluster.RoomID{Tenant: "another", Room: "room"}
	for range 100 {
		tr.must(a.Publish(tr.ctx, mild, large[:100], cluster.Retention{}))
	}
	held := func(room cluster.RoomID) int64 {
		p, key := a.at(room)
		n, err := a.client.XLen(tr.ctx, p.keys.of("h", key)).Result()
		tr.must(err)
		return n
	}
	sum := int64(0)
	for _, hall := range tr.rooms {
		sum += held(hall)
	}
	if sum*8<<10 > 2<<20 {
		t.Errorf("%d messages of 8 KiB are kept for a tenant with 512 KiB", sum)
	}
	if n := held(mild); n != 100 {
		t.Errorf("another tenant keeps %d of 100", n)
	}
}

// TestManyRoomsOfATenantForgetToo checks that a tenant with many rooms of few messages keeps no
// more bytes than one with few rooms, because silent rooms expire sooner.
func TestManyRoomsOfATenantForgetToo(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}, Heal: Heal{TenantBytes: 512 << 10}}, "a")
	say := func(tenant string, rooms int) (lives time.Duration) {
		for i := range rooms {
			room := cluster.RoomID{Tenant: tenant, Room: fmt.Sprint("room ", i)}
			tr.must(a.Publish(tr.ctx, room, make([]byte, 32<<10), cluster.Retention{}))
			p, key := a.at(room)
			var err error
			lives, err = a.client.PTTL(tr.ctx, p.keys.of("h", key)).Result()
			tr.must(err)
		}
		return lives
	}
	if lives := say("mild", 4); lives < 5*time.Minute {
		t.Errorf("what a tenant within its bytes says lives for %v", lives)
	}
	if lives := say("long", 20); lives > 30*time.Second || lives < 11*time.Second {
		t.Errorf("what exceeds the bytes of a tenant by a quarter lives for %v", lives)
	}
	if lives := say("loud", 160); lives > 4*time.Second {
		t.Errorf("what exceeds the bytes of a tenant ten times lives for %v", lives)
	}
}

// TestNoNodeCountsAsDeadWhileRedisDoesNotAnswer checks that no node counts as dead while Redis does not
// answer for longer than a lease.
func TestNoNodeCountsAsDeadWhileRedisDoesNotAnswer(t *testing.T) {
	for _, away := range []struct {
		name string
		from func(s *redistest.Server) error
		to   func(s *redistest.Server) error
	}{
		{"frozen", func(s *redistest.Server) error { return s.Signal(syscall.SIGSTOP) }, func(s *redistest.Server) error { return s.Signal(syscall.SIGCONT) }},
		{"full", func(s *redistest.Server) error { return s.Do("CONFIG", "SET", "maxmemory", "1mb") }, func(s *redistest.Server) error { return s.Do("CONFIG", "SET", "maxmemory", "0") }},
	} {
		t.Run(away.name, func(t *testing.T) {
			s := redistest.Start(t)
			tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
			hall := tr.rooms[0]
			tr.must(tr.nodes[0].Cluster().Rooms.Create(tr.ctx, hall))
			for _, w := range tr.nodes {
				for i := range 20 {
					tr.must(w.Add(tr.ctx, hall, cluster.MemberRecord{ID: fmt.Sprint(w.cfg.Node, "-", i)}))
				}
			}
			tr.must(away.from(s))
			passes(3 * testLease) // only Redis measures the lease, so there is no event to wait for
			tr.must(away.to(s))
			dead := tr.node(Config{Addresses: []string{s.Address()}}, "dead") // its removal shows that dead nodes are detected again
			tr.must(dead.Add(tr.ctx, hall, cluster.MemberRecord{ID: "dead-1"}))
			dead.link.disconnect()
			eventually(t, "who died since is let go", func() bool {
				n := 0
				for _, w := range tr.nodes {
					w.mu.Lock()
					n += w.lost["dead-1"]
					w.mu.Unlock()
				}
				return n == 1
			})
			for _, w := range tr.nodes[:3] {
				w.mu.Lock()
				if len(w.rejoined) > 0 || len(w.lost) > 1 || len(w.lost) == 1 && w.lost["dead-1"] == 0 {
					t.Errorf("%s was handed %v and handed back %v", w.cfg.Node, w.lost, w.rejoined)
				}
				w.mu.Unlock()
			}
			n, err := tr.nodes[1].Count(tr.ctx, hall)
			tr.must(err)
			if n != 60 {
				t.Errorf("%d members are counted, want 60", n)
			}
		})
	}
}

// passes waits for a time that only Redis measures.
func passes(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// TestNoGhostsAfterAnInterruptedReaping checks that a node that was taken for dead removes
// members that are recorded for it but are not there.
func TestNoGhostsAfterAnInterruptedReaping(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	cfg := Config{Addresses: []string{s.Address()}}
	a, b := tr.node(cfg, "a"), tr.node(cfg, "b")
	tr.seats(a, 3)
	p := a.parts[0]
	keys, args := a.addArguments(tr.rooms[0], cluster.MemberRecord{ID: "ghost"}, false)
	tr.must(addScript.Run(tr.ctx, b.client, keys, args...).Err())
	tr.counts(b, 4)
	tr.must(s.Do("SET", p.keys.of("taken", a.process), 1))
	tr.counts(b, 3)
}
