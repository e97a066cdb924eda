package redis

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

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
