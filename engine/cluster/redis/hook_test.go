package redis

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// commandHook is a redis.Hook for single commands. It answers the command itself, or calls next.
type commandHook func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error

func (commandHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h commandHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h(ctx, cmd, next) }
}

func (commandHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// runs reports whether cmd runs the script.
func runs(cmd redis.Cmder, script *redis.Script) bool {
	return cmd.Name() == "evalsha" && len(cmd.Args()) > 1 && cmd.Args()[1] == script.Hash()
}

// TestPublishingPausesWhileMastersAlternate checks that a batch that finds another generation at
// each attempt fails at its deadline, and that there are pauses between attempts.
func TestPublishingPausesWhileMastersAlternate(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	const most = 50
	var asked atomic.Int64
	a := tr.impatient(Config{Addresses: []string{s.Address()}, Hook: commandHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if runs(cmd, publishScript) && asked.Add(1) <= most {
			cmd.(*redis.Cmd).SetVal("!another 0")
			return nil
		}
		return next(ctx, cmd)
	})}, "a")
	if err := a.Publish(tr.ctx, tr.rooms[0], []byte("hello"), cluster.Retention{}); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("publish after %d tries: %v", asked.Load(), err)
	}
	if n := asked.Load(); n < 2 || n >= most {
		t.Errorf("the batch was sent %d times in 200 ms", n)
	}
}

// TestSubscriptionsAreProbedAtOnce checks that a new subscriber sends a probe as soon as Redis
// has confirmed its subscriptions. The test uses beats, one in 500 ms, as a clock.
func TestSubscriptionsAreProbedAtOnce(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	var beats, probed atomic.Int64
	a := tr.node(Config{Addresses: []string{s.Address()}, Hook: commandHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		switch {
		case runs(cmd, beatScript):
			beats.Add(1)
		case cmd.Name() == "publish" && cmd.Args()[1] == "moot:{0}:probe:a":
			probed.CompareAndSwap(0, beats.Load())
		}
		return next(ctx, cmd)
	})}, "a")
	eventually(t, "the subscriptions are probed", func() bool { return probed.Load() > 0 })
	if n, period := probed.Load(), int64(auditEvery/a.cfg.beatEvery()); n > period/2 {
		t.Errorf("the probe came after %d beats, the first periodic one after %d", n, period)
	}
}

// TestALoneSlowSurvivorReaps checks that a node with more than half a lease between its beats
// eventually removes the members of dead nodes.
func TestALoneSlowSurvivorReaps(t *testing.T) {
	s := redistest.Start(t)
	n := open(t, Config{Addresses: []string{s.Address()}, Node: "a", Lease: time.Hour})
	p := n.parts[0]
	n.must(t, "ZADD", p.keys.of("alive"), 1, "dead#1")
	n.must(t, "SET", p.keys.of("beat"), 1)
	for grace := range 10 {
		found, err := p.beat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(found.ended, "dead#1") {
			if grace == 0 {
				t.Error("there was no grace")
			}
			return
		}
		n.must(t, "DEL", p.keys.of("grace")) // the grace is over
		n.must(t, "SET", p.keys.of("beat"), 1)
	}
	t.Error("a dead node was not found in ten graces")
}

// TestAnAnswerThatIsNoneEndsNoNode checks that a node continues if Redis answers with something
// else than a name when the node renews its name: only the name of another process ends it.
func TestAnAnswerThatIsNoneEndsNoNode(t *testing.T) {
	s := redistest.Start(t)
	tr := emptyTestCluster(t)
	var begun atomic.Bool
	var asked atomic.Int64
	answers := []any{[]any{}, []any{int64(1)}, []any{nil}, []any{""}, []any{"message", "x"}}
	a := tr.node(Config{Addresses: []string{s.Address()}, Hook: commandHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !begun.Load() || !runs(cmd, holdScript) {
			return next(ctx, cmd)
		}
		cmd.(*redis.Cmd).SetVal(answers[int(asked.Add(1))%len(answers)])
		return nil
	})}, "a")
	begun.Store(true)
	eventually(t, "all answers were given", func() bool { return asked.Load() > int64(len(answers)) })
	begun.Store(false)
	if err := a.Publish(tr.ctx, tr.rooms[0], []byte("hello"), cluster.Retention{}); err != nil {
		t.Error(err)
	}
}
