//go:build redis

package redis

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// info reads one value of a server's INFO or CLUSTER INFO; "" while it does not
// answer.
func (s *server) info(key string, command ...any) string {
	c := redis.NewClient(&redis.Options{Addr: s.address(), DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	text, _ := c.Do(context.Background(), command...).Text()
	for line := range strings.Lines(text) {
		if k, v, _ := strings.Cut(strings.TrimSpace(line), ":"); k == key {
			return v
		}
	}
	return ""
}

// startSentinels runs a master, its replicas and one sentinel, who calls the
// master main and misses it after 1 s.
func startSentinels(t *testing.T, replicas int) (master *server, others []*server, sentinel *server) {
	t.Helper()
	master = startServer(t)
	for range replicas {
		others = append(others, startServer(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port)))
	}
	for _, r := range others {
		eventually(t, "the replica follows", func() bool { return r.info("master_link_status", "INFO") == "up" })
	}
	sentinel = &server{t: t, port: freePort(t)}
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
sentinel monitor main 127.0.0.1 %d 1
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 6000
`, sentinel.port, filepath.Dir(conf), master.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel.run(exec.Command("redis-server", conf, "--sentinel"))
	t.Cleanup(sentinel.kill)
	sentinel.ready()
	eventually(t, "the sentinel knows the replicas", func() bool {
		return strings.Contains(sentinel.info("master0", "INFO"), fmt.Sprintf("slaves=%d", replicas))
	})
	return master, others, sentinel
}

// startCluster runs a Redis Cluster of that many masters, each with a replica if
// there are to be any.
func startCluster(t *testing.T, masters, replicas int) (all []*server) {
	t.Helper()
	for range masters + replicas {
		all = append(all, startServer(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)), "--cluster-node-timeout", "2000"))
	}
	do := func(s *server, args ...any) {
		t.Helper()
		if err := s.do(args...); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	for i, s := range all[:masters] {
		do(s, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
	}
	for _, s := range all[1:] {
		do(all[0], "CLUSTER", "MEET", "127.0.0.1", s.port, s.clusterPort())
	}
	for _, s := range all {
		eventually(t, "the cluster is whole", func() bool {
			return s.info("cluster_state", "CLUSTER", "INFO") == "ok" && s.info("cluster_known_nodes", "CLUSTER", "INFO") == strconv.Itoa(len(all))
		})
	}
	for i, r := range all[masters:] {
		c := redis.NewClient(&redis.Options{Addr: all[i].address()})
		id, err := c.Do(context.Background(), "CLUSTER", "MYID").Text()
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		do(r, "CLUSTER", "REPLICATE", id)
		eventually(t, "the replica follows", func() bool { return r.info("master_link_status", "INFO") == "up" })
	}
	return all
}

func (s *server) clusterPort() string {
	for i, a := range s.args {
		if a == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

func addresses(all []*server) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.address())
	}
	return out
}

func TestPromisesSentinel(t *testing.T) {
	_, _, sentinel := startSentinels(t, 1)
	promises(t, Config{Mode: Sentinel, MasterName: "main", Addresses: []string{sentinel.address()}})
}

func TestPromisesCluster(t *testing.T) {
	all := startCluster(t, 3, 0)
	promises(t, Config{Mode: Cluster, Addresses: addresses(all), Partitions: 5})
}
