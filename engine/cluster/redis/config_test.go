package redis

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// TestConfigThatCannotBeIsRefused checks that Open refuses each invalid config, and that the
// error names the problem.
func TestConfigThatCannotBeIsRefused(t *testing.T) {
	for want, cfg := range map[string]Config{
		"mode":                 {Node: "a", Mode: "galaxy"},
		"node name":            {Node: "A b"},
		"prefix":               {Node: "a", Prefix: "x:y"},
		"host:port":            {Node: "a", Addresses: []string{"localhost"}},
		"has one":              {Node: "a", Addresses: []string{"a:1", "b:1"}},
		"those of the sentine": {Node: "a", Mode: Sentinel, MasterName: "m"},
		"no master name":       {Node: "a", Mode: Sentinel, Addresses: []string{"a:1"}},
		"only sentinels":       {Node: "a", MasterName: "m"},
		"only database 0":      {Node: "a", Mode: Cluster, Database: 1},
		"want 0 or more":       {Node: "a", Database: -1},
		"lease":                {Node: "a", Lease: time.Millisecond},
		"publish timeout":      {Node: "a", PublishTimeout: -1},
		"partitions":           {Node: "a", Mode: Cluster, Partitions: 1025},
		"wait for -1 replicas": {Node: "a", WaitReplicas: -1},
	} {
		refuses(t, cfg, want)
	}
}

// refuses fails the test unless Open fails with an error that contains want.
func refuses(t *testing.T, cfg Config, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := Open(ctx, cfg)
	if err == nil {
		n.Close()
		t.Fatalf("%+v: opened, want an error with %q", cfg, want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want one with %q", err, want)
	}
}

// TestRedisThatWillNotDoIsRefused checks that Open refuses a Redis with a wrong password, with
// eviction of keys, or of another mode, and a server that cannot be reached.
func TestRedisThatWillNotDoIsRefused(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "secret", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	cfg := Config{Node: "a", Addresses: []string{s.Address()}}
	refuses(t, cfg, "wrong username or password")
	cfg.Password = "guess"
	refuses(t, cfg, "wrong username or password")
	cfg.Password = "secret"
	refuses(t, cfg, "set maxmemory-policy noeviction")
	admin := redis.NewClient(&redis.Options{Addr: s.Address(), Password: "secret"})
	defer admin.Close()
	if err := admin.ConfigSet(context.Background(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	cfg.Mode, cfg.Partitions = Cluster, 1
	refuses(t, cfg, "is not a Redis Cluster")
	cfg.Mode, cfg.MasterName, cfg.PublishTimeout = Sentinel, "main", 200*time.Millisecond
	refuses(t, cfg, `named "main"`)
	nobody := Config{Node: "a", PublishTimeout: 200 * time.Millisecond, Addresses: []string{"127.0.0.1:1"}}
	refuses(t, nobody, "cannot reach standalone 127.0.0.1:1")
}

// TestUnsuitableServersAreRefused checks that a replica, an old version and a server of
// a Redis Cluster are refused.
func TestUnsuitableServersAreRefused(t *testing.T) {
	replica := redistest.Start(t)
	if err := replica.Do("REPLICAOF", "127.0.0.1", "1"); err != nil {
		t.Fatal(err)
	}
	refuses(t, Config{Node: "a", Addresses: []string{replica.Address()}}, "is a replica")
	old := map[string]string{"redis_version": "6.2.14", "redis_mode": "standalone", "role": "master"}
	cfg, err := (Config{Node: "a"}).complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.judge(old); err == nil || !strings.Contains(err.Error(), "7.0 or newer") {
		t.Errorf("Redis 6.2: error %v", err)
	}
	clustered := map[string]string{"redis_version": "7.0.15", "redis_mode": "cluster", "role": "master"}
	if err := cfg.judge(clustered); err == nil || !strings.Contains(err.Error(), `cluster.redis.mode is "standalone"`) {
		t.Errorf("a cluster's server: error %v", err)
	}
}

// TestOpenWaitsForAStartingRedis checks that Open waits for a Redis that is still starting.
func TestOpenWaitsForAStartingRedis(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	opened := make(chan error)
	go func() {
		n, err := Open(context.Background(), Config{Node: "a", Addresses: []string{s.Address()}})
		if err == nil {
			err = n.Close()
		}
		opened <- err
	}()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// TestUserWithTooFewPermissionsIsRefused checks that the error for a user with too few permissions
// shows the required ACL SETUSER line.
func TestUserWithTooFewPermissionsIsRefused(t *testing.T) {
	s := redistest.Start(t)
	if err := s.Do("ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+ping", "+info", "+hello"); err != nil {
		t.Fatal(err)
	}
	refuses(t, Config{Node: "a", Username: "weak", Password: "pw", Addresses: []string{s.Address()}}, "it needs: ACL SETUSER weak ~moot:* &moot:* -@all +hello")
}

// TestUserWithoutWaitIsRefused checks that Open refuses a user without +wait if writes wait for
// replicas, and accepts it otherwise.
func TestUserWithoutWaitIsRefused(t *testing.T) {
	s := redistest.Start(t)
	cfg := leastUser(t, Config{Node: "a", Prefix: "test1", Addresses: []string{s.Address()}}, s)
	open(t, cfg)
	cfg.WaitReplicas = 1
	refuses(t, cfg, "+wait")
	open(t, leastUser(t, cfg, s))
}

func TestReadmeNamesTheLeastUser(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{Standalone, Cluster} {
		for _, rule := range ACL("moot", mode, 1) {
			if !strings.Contains(string(text), " "+rule) && !strings.Contains(string(text), "`"+rule) {
				t.Errorf("README.md does not name %s", rule)
			}
		}
	}
}

// TestAStartedNodeDoesNotSayThatItHasNotStarted checks that awaitStart succeeds on a started node, even if ctx has ended.
func TestAStartedNodeDoesNotSayThatItHasNotStarted(t *testing.T) {
	n := &Node{started: make(chan struct{})}
	close(n.started)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if err := n.awaitStart(gone); err != nil {
			t.Fatal(err)
		}
	}
}
