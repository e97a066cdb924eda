package redis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// TestATakeThatArrivesAfterItWasUndoneTakesNothing checks a request that waited in a server that did not answer while
// the node gave up and undid it over another connection.
func TestATakeThatArrivesAfterItWasUndoneTakesNothing(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}}, "a")
	tr.must(a.Park(tr.ctx, "key", []byte("session"), time.Minute))
	p := a.ofKey("key")
	keys := []string{p.keys.of("parked"), p.keys.of("ends"), p.keys.of("got", token())}
	tr.must(giveBackScript.Run(tr.ctx, a.client, keys, "key", 1000).Err())
	if got, err := takeSessionScript.Run(tr.ctx, a.client, keys, "key", 1000).Text(); err != redis.Nil {
		t.Errorf("it took %q, %v", got, err)
	}
	if got, err := a.Take(tr.ctx, "key"); err != nil || string(got) != "session" {
		t.Errorf("took %q, %v", got, err)
	}
}

// TestSessionIsParkedAgainIfTheAnswerToTakeIsLost checks that a session is parked again, with the same
// end, if the answer to Take was lost.
func TestSessionIsParkedAgainIfTheAnswerToTakeIsLost(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	cfg := Config{Addresses: []string{s.Address()}}
	a, b := tr.impatient(cfg, "a"), tr.node(cfg, "b")
	if _, err := a.Take(tr.ctx, "nobody"); !errors.Is(err, cluster.ErrNoSession) { // this loads the script into Redis
		t.Fatal(err)
	}
	lose := func(key string) { // loses the answer to Take
		for range 50 {
			taken := s.Info("cmdstat_zrem", "INFO", "commandstats")
			a.link.dropAnswers()
			_, err := a.Take(tr.ctx, key)
			a.link.mend()
			if s.Info("cmdstat_zrem", "INFO", "commandstats") != taken {
				if !errors.Is(err, cluster.ErrUnknown) {
					t.Fatalf("take: %v", err)
				}
				return
			}
			if !errors.Is(err, cluster.ErrUnknown) && !errors.Is(err, cluster.ErrUnavailable) {
				t.Fatalf("take: %v", err)
			} // the node had no idle connection, and the answer to the handshake of a new one was lost
		}
		t.Fatal("the session was never taken: the test shows nothing")
	}
	const ttl = 20 * time.Second
	for round := range 5 {
		key := fmt.Sprint("key ", round)
		tr.must(b.Park(tr.ctx, key, []byte("session|"+key), ttl))
		parked := func() (n int64) {
			p := a.ofKey(key)
			n, err := b.client.HLen(tr.ctx, p.keys.of("parked")).Result()
			tr.must(err)
			return n
		}
		lose(key)
		eventually(t, "it is put back", func() bool { return parked() == 1 })
		got, err := b.Take(tr.ctx, key)
		if err != nil || string(got) != "session|"+key {
			t.Fatalf("took %q, %v", got, err)
		}
	}
	tr.must(b.Park(tr.ctx, "key", []byte("session"), ttl))
	lose("key")
	ends := a.ofKey("key").keys.of("ends")
	eventually(t, "it has its end again", func() bool { n, err := b.client.ZCard(tr.ctx, ends).Result(); tr.must(err); return n == 1 })
	end, err := b.client.ZScore(tr.ctx, ends, "key").Result()
	tr.must(err)
	if left := time.Until(time.UnixMilli(int64(end))); left <= 0 || left > ttl {
		t.Errorf("it ends in %v, want at most %v", left, ttl)
	}
}

// forever matches the keys that do not expire: rooms, generation and name of the data.
var forever = regexp.MustCompile(`:(gen|data|secret|(rooms|rl):default)$`)

// TestNothingStaysBehind checks that the keys of stopped nodes expire, also the inbox of a node
// that has just died.
func TestNothingStaysBehind(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	cfg := Config{Addresses: []string{s.Address()}}
	dead, a, b := tr.node(cfg, "dead"), tr.node(cfg, "a"), tr.node(cfg, "b")
	ids := tr.seats(dead, 3)
	for i, room := range tr.rooms {
		tr.must(b.Subscribe(tr.ctx, room))
		tr.must(a.Publish(tr.ctx, room, []byte("hello"), cluster.Retention{Messages: i, For: time.Minute}))
	}
	tr.must(a.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: "a-1"}))
	_, err := a.Cluster().Nodes.Call(tr.ctx, "b", []byte("hello"))
	tr.must(err)
	tr.must(a.Park(tr.ctx, "taken", []byte("1"), time.Hour))
	_, err = b.Take(tr.ctx, "taken")
	tr.must(err)
	tr.must(a.Park(tr.ctx, "ends", []byte("1"), time.Millisecond))

	dead.link.disconnect()
	short, cancel := context.WithTimeout(tr.ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := a.Cluster().Nodes.Call(short, "dead", []byte("hello")); err == nil {
		t.Error("the dead answered")
	}
	eventually(t, "the dead one's members are handed over", func() bool {
		n := 0
		for _, w := range []*recorder{a, b} {
			w.mu.Lock()
			n += len(w.lost)
			w.mu.Unlock()
		}
		return n == len(ids)
	})
	tr.must(a.Remove(tr.ctx, tr.rooms[0], "a-1"))
	a.end()
	b.end()
	client := s.Client()
	defer client.Close()
	keys, err := client.Keys(tr.ctx, "*").Result()
	tr.must(err)
	for _, key := range keys {
		ttl, err := client.PTTL(tr.ctx, key).Result()
		tr.must(err)
		if ttl == -1 && !forever.MatchString(key) {
			t.Errorf("%s stays", key)
		}
	}
	if len(keys) == 0 {
		t.Error("there are no keys: the test shows nothing")
	}
}

// TestNothingIsLostWhenRedisRestartsWithItsData checks that no message is lost and no member
// removed when Redis restarts with its data.
func TestNothingIsLostWhenRedisRestartsWithItsData(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	tr.seats(tr.nodes[0], 3)
	tr.talk()
	for range 2 {
		s.Kill()
		tr.must(s.Restart())
		tr.says(300)
	}
	tr.settle()
	tr.counts(tr.nodes[1], 3)
	tr.wasHanded(tr.nodes[1], nil)
}
