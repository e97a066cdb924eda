package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// failover is a server that stands for a master and its successor.
type failover struct {
	*redistest.Server
	tr *trial
}

func newFailover(tr *trial) failover {
	return failover{redistest.Start(tr, "--enable-debug-command", "yes"), tr}
}

// snapshot returns a function that makes the server the successor of itself, with the
// data that it has now: what happens in between is lost.
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
			continue // it has expired
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

// lostTimes is how often a member was handed over, to any node.
func (tr *trial) lostTimes(id string) (n int) {
	for _, w := range tr.nodes {
		w.mu.Lock()
		n += w.lost[id]
		w.mu.Unlock()
	}
	return n
}

// TestLeaveRunsOnceThoughAFailoverLosesIt checks that members of a dead node whom a
// survivor has let go are not handed over again by a master that does not know of it.
func TestLeaveRunsOnceThoughAFailoverLosesIt(t *testing.T) {
	tr := emptyTrial(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	dead, a := tr.node(cfg, "dead"), tr.node(cfg, "a")
	tr.node(cfg, "b")
	ids := tr.seats(dead, 5)
	successor := f.snapshot()
	dead.wire.sever()
	for _, id := range ids {
		eventually(t, id+" is handed over", func() bool { return tr.lostTimes(id) == 1 })
	}
	tr.counts(a, 0)
	successor()
	late := tr.node(cfg, "late") // whose end shows that members are handed over again
	tr.must(late.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: "late-1"}))
	late.wire.sever()
	eventually(t, "the late one is handed over", func() bool { return tr.lostTimes("late-1") == 1 })
	tr.counts(a, 0)
	for _, id := range ids {
		if n := tr.lostTimes(id); n != 1 {
			t.Errorf("%s was handed over %d times", id, n)
		}
	}
}

// TestSessionsEndOnceThoughAFailoverLosesIt checks that a session which was resumed, or
// has ended, does not end again by a master that does not know of it.
func TestSessionsEndOnceThoughAFailoverLosesIt(t *testing.T) {
	tr := emptyTrial(t)
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

func (w *witness) expiredSessions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.expired...)
}

// Expired notes the session.
func (w *witness) Expired(_ context.Context, session []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired = append(w.expired, string(session))
}
