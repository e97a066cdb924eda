package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Master is the name of the master in the configuration of StartSentinels' sentinel.
const Master = "main"

// StartSentinels runs a master, its replicas and one sentinel. The sentinel starts a failover
// after the master was silent for 1 s.
func StartSentinels(t testing.TB, replicas int) (master *Server, others []*Server, sentinel *Server) {
	t.Helper()
	master = Start(t)
	for range replicas {
		others = append(others, Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port)))
	}
	for _, r := range others {
		await(t, "the replica follows", func() bool { return r.Info("master_link_status") == "up" })
	}
	sentinel = startSentinel(t, master)
	await(t, "the sentinel knows the replicas", func() bool {
		return strings.Contains(sentinel.Info("master0", "INFO"), fmt.Sprintf("slaves=%d", replicas))
	})
	return master, others, sentinel
}

func startSentinel(t testing.TB, master *Server) *Server {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
sentinel monitor %[3]s 127.0.0.1 %[4]d 1
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 6000
`, port, dir, Master, master.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{Port: port, args: []string{conf, "--sentinel"}}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// slots is the number of slots of a Redis Cluster.
const slots = 16384

// StartCluster runs a Redis Cluster of masters, which share the slots equally, and replicas, at
// most one for each master. A master that is silent for 2 s is replaced.
func StartCluster(t testing.TB, masters, replicas int) (all []*Server) {
	t.Helper()
	for range masters + replicas {
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Start(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "2000"))
	}
	must := func(s *Server, args ...any) {
		t.Helper()
		if err := s.Do(args...); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	for i, s := range all[:masters] {
		must(s, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
	}
	for _, s := range all[1:] {
		must(all[0], "CLUSTER", "MEET", "127.0.0.1", s.Port, s.busPort())
	}
	for _, s := range all {
		await(t, "the cluster is whole", func() bool {
			return s.Info("cluster_state", "CLUSTER", "INFO") == "ok" && s.Info("cluster_known_nodes", "CLUSTER", "INFO") == strconv.Itoa(len(all))
		})
	}
	for i, r := range all[masters:] {
		must(r, "CLUSTER", "REPLICATE", all[i].ID(t))
		await(t, "the replica follows", func() bool { return r.Info("master_link_status") == "up" })
	}
	return all
}

// ID returns the id of the server in its Redis Cluster.
func (s *Server) ID(t testing.TB) string {
	t.Helper()
	id, err := s.Ask("CLUSTER", "MYID")
	if err != nil {
		t.Fatal(err)
	}
	return id.(string)
}

func (s *Server) busPort() string {
	for i, a := range s.args {
		if a == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

// MoveSlot moves a slot with its keys from one master to another, like redis-cli. The slot stays
// in use.
func MoveSlot(t testing.TB, slot int, from, to *Server, all []*Server) {
	t.Helper()
	must := func(s *Server, args ...any) any {
		t.Helper()
		answer, err := s.Ask(args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return answer
	}
	must(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.ID(t))
	must(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.ID(t))
	for {
		keys := must(from, "CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		must(from, append([]any{"MIGRATE", "127.0.0.1", to.Port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	must(to, "CLUSTER", "SETSLOT", slot, "NODE", to.ID(t))
	for _, s := range all {
		if s != to {
			_ = s.Do("CLUSTER", "SETSLOT", slot, "NODE", to.ID(t)) // a replica refuses the command, and learns the owner from its master
		}
	}
}

// Addresses returns the addresses of the servers.
func Addresses(all []*Server) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.Address())
	}
	return out
}
