package redis

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// TestLeasesEndThoughTheClockWentBack checks that the lease of a dead node ends one lease after
// Redis' clock went back, as in a failover to a server whose clock is behind.
func TestLeasesEndThoughTheClockWentBack(t *testing.T) {
	s := redistest.Start(t)
	n := open(t, Config{Addresses: []string{s.Address()}, Node: "a", Lease: 10 * time.Second})
	p := n.parts[0]
	ahead := time.Now().Add(time.Hour).UnixMilli()
	n.must(t, "ZADD", p.keys.of("alive"), ahead, "dead#1")
	n.must(t, "SET", p.keys.of("beat"), ahead)
	found, err := p.beat(t.Context())
	if err != nil || len(found.ended) > 0 {
		t.Errorf("the first beat: %v, %v", found.ended, err)
	}
	end, err := n.client.ZScore(t.Context(), p.keys.of("alive"), "dead#1").Result()
	if left := time.Until(time.UnixMilli(int64(end))); err != nil || left > n.cfg.Lease {
		t.Errorf("the lease ends in %v, %v: want at most %v", left, err, n.cfg.Lease)
	}
}

// TestARoomForgetsThoughTheClockWentBack checks that a room drops old messages although its marks
// are later than Redis' clock.
func TestARoomForgetsThoughTheClockWentBack(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{s.Address()}, Heal: Heal{For: time.Second}}, "a")
	hall := tr.rooms[0]
	tr.must(a.Publish(tr.ctx, hall, []byte("first"), cluster.Retention{}))
	p, key := a.at(hall)
	state, ahead := p.keys.of("m", key), time.Now().Add(time.Hour).UnixMilli()
	tr.must(s.Do("SETRANGE", state, 32, string(binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(ahead)))))) // the time of the last mark
	tr.must(s.Do("APPEND", state, fmt.Sprintf("%d,1,20", ahead)))
	eventually(t, "messages are dropped", func() bool {
		for range 300 {
			tr.must(a.Publish(tr.ctx, hall, []byte("hello"), cluster.Retention{}))
		}
		w, err := a.client.GetRange(tr.ctx, state, 24, 31).Result() // the offset up to which to trim
		tr.must(err)
		return math.Float64frombits(binary.BigEndian.Uint64([]byte(w))) > 0
	})
}

// jump returns t as a machine whose wall clock was set by d, whole seconds, shows it: the monotonic
// reading is the same. It depends on the form of time.Time, which TestJump checks.
func jump(t time.Time, d time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(d/time.Second) << 30
	return t
}

func TestJump(t *testing.T) {
	now := time.Now()
	for _, d := range []time.Duration{time.Minute, -time.Minute} {
		after := jump(now, d)
		if wall, monotonic := after.Round(0).Sub(now.Round(0)), after.Sub(now); wall != d || monotonic != 0 {
			t.Errorf("a jump by %v moves the wall clock by %v and the monotonic clock by %v", d, wall, monotonic)
		}
	}
}

// TestAWallClockThatJumpsLosesNothing checks a node whose wall clock is set by a minute before it
// runs, and again while it keeps messages to publish again: it keeps its members while those
// of a dead node leave, it is called and calls, and it publishes what a failover lost.
func TestAWallClockThatJumpsLosesNothing(t *testing.T) {
	for _, d := range []time.Duration{time.Minute, -time.Minute} {
		t.Run(d.String(), func(t *testing.T) {
			tr := emptyTestCluster(t)
			f := newFailover(tr)
			cfg := Config{Addresses: []string{f.Address()}}
			a, b, dead := tr.run(&recorder{set: d}, cfg, "a"), tr.node(cfg, "b"), tr.node(cfg, "dead")
			hall := tr.rooms[0]
			tr.seats(b, 2)
			tr.must(b.Add(tr.ctx, hall, cluster.MemberRecord{ID: "a-0"}))
			tr.must(a.Add(tr.ctx, hall, cluster.MemberRecord{ID: "a-1"}))
			tr.must(dead.Add(tr.ctx, hall, cluster.MemberRecord{ID: "dead-0"}))
			tr.must(a.Subscribe(tr.ctx, hall))
			tr.must(a.Publish(tr.ctx, hall, []byte("1"), kept))
			successor := f.snapshot()
			tr.must(a.Publish(tr.ctx, hall, []byte("2"), kept))
			tr.must(a.Publish(tr.ctx, hall, []byte("3"), kept))
			r := &a.parts[0].publisher.recent
			r.mu.Lock()
			for i := range r.batches {
				r.batches[i].at = jump(r.batches[i].at, -d) // the clock jumps by d after it
			}
			r.mu.Unlock()
			dead.link.disconnect()
			eventually(t, "the dead one leaves", func() bool { return tr.handedOverTimes("dead-0") == 1 })
			eventually(t, "the others are there", func() bool {
				n, err := b.Count(tr.ctx, hall)
				tr.must(err)
				return n == 4
			})
			for from, to := range map[*recorder]string{a: "b", b: "a"} {
				if answer, err := from.Cluster().Nodes.Call(tr.ctx, to, []byte("hello")); err != nil || string(answer) != "hello" {
					t.Errorf("a call of %s: %q, %v", to, answer, err)
				}
			}
			successor()
			tr.must(a.Publish(tr.ctx, hall, []byte("4"), kept))
			page, err := b.Read(tr.ctx, hall, cluster.Position{}, 0, kept)
			tr.must(err)
			page, err = b.Read(tr.ctx, hall, cluster.Position{Epoch: page.Top.Epoch}, 10, kept)
			tr.must(err)
			var got string
			for _, m := range page.Messages {
				got += string(m.Payload)
			}
			if got != "1234" || a.Counters().Replayed != 2 {
				t.Errorf("history is %q, and %d messages were published again, want 1234 and 2", got, a.Counters().Replayed)
			}
			for _, id := range []string{"a-0", "a-1", "b-0", "b-1"} {
				if n := tr.handedOverTimes(id); n > 0 {
					t.Errorf("%s, whose node lives, was handed over", id)
				}
			}
		})
	}
}
