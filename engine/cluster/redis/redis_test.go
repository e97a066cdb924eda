package redis

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/clustertest"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// testLease is short, so that dead nodes are detected soon, but long enough for a busy machine
// under the race detector.
const testLease = 2 * time.Second

func TestMain(m *testing.M) {
	LogLibrary(slog.New(slog.DiscardHandler))
	m.Run()
}

func TestPromisesStandalone(t *testing.T) {
	s := redistest.Start(t)
	promises(t, leastUser(t, Config{Addresses: []string{s.Address()}}, s))
}

// leastUser returns the config with a user that has the least permissions for the prefixes used
// by promises.
func leastUser(t *testing.T, cfg Config, servers ...*redistest.Server) Config {
	t.Helper()
	cfg.Username, cfg.Password = "least", "secret"
	for _, s := range servers {
		s.AddUser(t, cfg.Username, cfg.Password, ACL("test*", cfg.Mode, cfg.WaitReplicas))
	}
	return cfg
}

// promises runs clustertest, with a prefix for each test.
func promises(t *testing.T, base Config) {
	var tests atomic.Int64
	fixture := func(t *testing.T) clustertest.Fixture {
		cfg := base
		cfg.Prefix = fmt.Sprintf("test%d", tests.Add(1))
		cfg.Lease = testLease
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		links := map[string]*link{}
		return clustertest.Fixture{
			Node: func(name string) cluster.Backend {
				cfg, w := cfg, &link{}
				links[name] = w
				cfg.Node, cfg.dialer = name, w.dial
				n := open(t, cfg)
				return n.Cluster()
			},
			Kill:     func(name string) { links[name].disconnect() },
			Patience: 30 * time.Second,
		}
	}
	clustertest.Run(t, fixture)
}

func open(t *testing.T, cfg Config) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// TestAPublisherThatStopsAnswersAllMessages checks that each message has an answer when its node stops.
func TestAPublisherThatStopsAnswersAllMessages(t *testing.T) {
	for range 100 {
		n := &Node{cfg: Config{Node: "a", Log: slog.New(slog.DiscardHandler)}, started: make(chan struct{})}
		life, end := context.WithCancel(context.Background())
		n.life = life
		close(n.started)
		p := newPartition(n, keys{})
		item := &queuedMessage{ctx: life, done: make(chan error, 1)}
		if err := p.publisher.put(item, form{version: entryVersion}, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		end()
		p.publisher.run()
		if len(item.done) != 1 {
			t.Fatal("a message has no answer")
		}
	}
}
