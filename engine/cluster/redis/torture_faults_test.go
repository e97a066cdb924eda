//go:build chaos

package redis

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

func (r *round) anyLink() *link {
	all := r.links()
	return all[r.rng.IntN(len(all))]
}

// anywhere returns the faults of nodes, and of the network between them and Redis.
func anywhere(servers func() []*redistest.Server) []fault {
	each := func(f func(s *redistest.Server)) func(*round) {
		return func(r *round) {
			for _, s := range servers() {
				f(s)
			}
		}
	}
	spoil := func(how func(*link), least, most time.Duration) func(r *round) {
		return func(r *round) {
			w := r.anyLink()
			how(w)
			r.pause(least, most)
			w.mend()
		}
	}
	return []fault{
		{"subscriptions are killed", each(func(s *redistest.Server) { _ = s.Do("CLIENT", "KILL", "TYPE", "pubsub") })},
		{"connections are killed", each(func(s *redistest.Server) {
			_ = s.Do("CLIENT", "KILL", "TYPE", "pubsub")
			_ = s.Do("CLIENT", "KILL", "TYPE", "normal")
		})},
		{"buffers are tiny", func(r *round) {
			for _, s := range servers() {
				_ = s.Do("CONFIG", "SET", "client-output-buffer-limit", "pubsub 20kb 10kb 1")
			}
			r.pause(time.Second, 2*time.Second)
			for _, s := range servers() {
				_ = s.Do("CONFIG", "SET", "client-output-buffer-limit", "pubsub 256mb 64mb 60")
			}
		}},
		{"memory is full", func(r *round) {
			for _, s := range servers() {
				_ = s.Do("CONFIG", "SET", "maxmemory", "1mb")
			}
			r.pause(500*time.Millisecond, 5*time.Second)
			for _, s := range servers() {
				_ = s.Do("CONFIG", "SET", "maxmemory", "0")
			}
		}},
		{"clients are paused", func(r *round) {
			for _, s := range servers() {
				_ = s.Do("CLIENT", "PAUSE", 1500, "ALL")
			}
		}},
		{"a node is cut off for a moment", spoil((*link).disconnect, 100*time.Millisecond, 800*time.Millisecond)},
		{"a node is cut off for longer than its lease", func(r *round) { r.cut = true; spoil((*link).disconnect, 4*time.Second, 6*time.Second)(r) }},
		{"answers to a node are lost", spoil((*link).dropAnswers, 100*time.Millisecond, time.Second)},
		{"the way to a node is slow", spoil(func(w *link) { w.slow(80 * time.Millisecond) }, time.Second, 4*time.Second)},
		{"a node freezes for a moment", spoil((*link).freeze, 100*time.Millisecond, 1500*time.Millisecond)},
		{"a node freezes for longer than its lease", func(r *round) { r.cut = true; spoil((*link).freeze, 4*time.Second, 6*time.Second)(r) }},
		{"a node dies", func(r *round) { r.kill(r.guest()) }},
		{"two nodes die at once", func(r *round) { r.kill(r.guest(), r.guest()) }},
		{"a node does not reach one server", func(r *round) {
			w, all := r.anyLink(), servers()
			r.cut = true
			w.block(all[r.rng.IntN(len(all))].Address())
			r.pause(500*time.Millisecond, 6*time.Second)
			w.mend()
		}},
		{"replicas lose their masters again and again", func(r *round) {
			for range 10 {
				for _, s := range servers() {
					_ = s.Do("CLIENT", "KILL", "TYPE", "replica")
				}
				r.pause(50*time.Millisecond, 200*time.Millisecond)
			}
		}},
	}
}

func freeze(s func() *redistest.Server, least, most time.Duration) func(r *round) {
	return func(r *round) {
		server := s()
		_ = server.Signal(syscall.SIGSTOP)
		r.pause(least, most)
		_ = server.Signal(syscall.SIGCONT)
	}
}

// lags makes a replica miss the writes of some time: it stops the replica and closes its
// connection to the master.
func lags(r *round, master, replica *redistest.Server, long time.Duration) {
	_ = replica.Signal(syscall.SIGSTOP)
	_ = master.Do("CLIENT", "KILL", "TYPE", "replica")
	r.wait(long)
}

// standalone returns one Redis that keeps its data.
func standalone(t *testing.T) deployment {
	return alone("standalone", redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"))
}

// forgetful returns one Redis that restarts without its data.
func forgetful(t *testing.T) deployment {
	s := alone("standalone, without persistence", redistest.Start(t))
	s.lossy = true
	return s
}

func alone(name string, s *redistest.Server) deployment {
	one := func() *redistest.Server { return s }
	all := anywhere(func() []*redistest.Server { return []*redistest.Server{s} })
	return deployment{name: name, cfg: Config{Addresses: []string{s.Address()}}, faults: append(all,
		fault{"redis freezes", freeze(one, 500*time.Millisecond, 3*time.Second)},
		fault{"redis freezes for longer than a lease", freeze(one, 4*time.Second, 7*time.Second)},
		fault{"redis is killed and starts again", func(r *round) {
			s.Kill()
			r.pause(100*time.Millisecond, 4*time.Second)
			r.must(s.Restart())
		}},
	)}
}

// sentinels returns a master and a replica, which change roles.
func sentinels(t *testing.T) deployment {
	master, others, sentinel := redistest.StartSentinels(t, 1)
	both := []*redistest.Server{master, others[0]}
	now := func() (m, other *redistest.Server) {
		for i, s := range both {
			if s.Info("role", "INFO", "replication") == "master" && s.Info("connected_slaves", "INFO", "replication") != "0" {
				return s, both[1-i]
			}
		}
		return nil, nil
	}
	// ready waits until there is a master with a replica.
	ready := func(r *round) (m, other *redistest.Server) {
		if err := redistest.Await("the replica follows", func() bool { m, other = now(); return m != nil && other.Info("master_link_status") == "up" }); err != nil {
			r.Fatal(err)
		}
		return m, other
	}
	known := func(r *round) {
		if err := redistest.Await("the sentinel knows the replica", func() bool {
			m, _ := now()
			return m != nil && sentinel.Info("master0", "INFO") == fmt.Sprintf("name=main,status=ok,address=127.0.0.1:%d,slaves=1,sentinels=1", m.Port)
		}); err != nil {
			r.Fatal(err, sentinel.Info("master0", "INFO"))
		}
	}
	dies := func(lag time.Duration) func(r *round) {
		return func(r *round) {
			m, other := ready(r)
			known(r)
			if lag > 0 {
				lags(r, m, other, lag)
			}
			m.Kill()
			_ = other.Signal(syscall.SIGCONT)
			if err := redistest.Await("the replica is master", func() bool { return other.Info("role", "INFO", "replication") == "master" }); err != nil {
				r.Fatal(err)
			}
			r.must(m.Restart()) // the sentinel turns the server into its replica
			ready(r)
			known(r)
		}
	}
	command := func(r *round) {
		m, other := ready(r)
		known(r)
		if err := sentinel.Do("SENTINEL", "FAILOVER", redistest.Master); err != nil {
			return // the fault is not possible now
		}
		if err := redistest.Await("the replica is master", func() bool { return other.Info("role", "INFO", "replication") == "master" }); err != nil {
			r.Fatal(err, m.Port)
		}
		ready(r)
		known(r)
	}
	all := anywhere(func() []*redistest.Server { return both })
	master0 := func() *redistest.Server {
		if m, _ := now(); m != nil {
			return m
		}
		return both[0]
	}
	return deployment{name: "sentinels", lossy: true, cfg: Config{Mode: Sentinel, MasterName: redistest.Master, Addresses: []string{sentinel.Address()}}, faults: append(all,
		fault{"the master dies", dies(0)},
		fault{"the master dies, its replica lags", dies(900 * time.Millisecond)},
		fault{"failover by command", command},
		fault{"failover by command, there and back", func(r *round) { command(r); r.pause(time.Second, 4*time.Second); command(r) }},
		fault{"the master freezes for a moment", freeze(master0, 200*time.Millisecond, 800*time.Millisecond)},
	)}
}

// shards returns a Redis Cluster.
func shards(t *testing.T) deployment {
	all := redistest.StartCluster(t, 3, 3)
	pairs := [][2]*redistest.Server{{all[0], all[3]}, {all[1], all[4]}, {all[2], all[5]}}
	role := func(s *redistest.Server) string { return s.Info("role", "INFO", "replication") }
	ready := func(r *round, pair [2]*redistest.Server) (m, other *redistest.Server) {
		if err := redistest.Await("the replica follows", func() bool {
			for i, s := range pair {
				if role(s) == "master" && pair[1-i].Info("master_link_status") == "up" {
					m, other = s, pair[1-i]
					return true
				}
			}
			return false
		}); err != nil {
			r.Fatal(err)
		}
		return m, other
	}
	becomes := func(r *round, s *redistest.Server) {
		if err := redistest.Await("the replica is master", func() bool { return role(s) == "master" }); err != nil {
			r.Fatal(err)
		}
	}
	command := func(r *round, pair [2]*redistest.Server) {
		_, other := ready(r, pair)
		if other.Do("CLUSTER", "FAILOVER") == nil {
			becomes(r, other)
		}
	}
	dies := func(r *round, pair [2]*redistest.Server, lag time.Duration) {
		m, other := ready(r, pair)
		if lag > 0 {
			lags(r, m, other, lag)
		}
		m.Kill()
		_ = other.Signal(syscall.SIGCONT)
		becomes(r, other)
		r.must(m.Restart())
		ready(r, pair)
	}
	any := func(r *round) [2]*redistest.Server { return pairs[r.rng.IntN(3)] }
	faults := anywhere(func() []*redistest.Server { return all })
	return deployment{name: "cluster", lossy: true, cfg: Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 6}, faults: append(faults,
		fault{"a master dies", func(r *round) { dies(r, any(r), 0) }},
		fault{"a master dies, its replica lags", func(r *round) { dies(r, any(r), time.Second) }},
		fault{"failover by command", func(r *round) { command(r, any(r)) }},
		fault{"there by command, and back by death with lag", func(r *round) {
			pair := any(r)
			command(r, pair)
			r.pause(500*time.Millisecond, 2*time.Second)
			dies(r, pair, 1500*time.Millisecond)
		}},
		fault{"a slot moves", func(r *round) {
			masters := slices.DeleteFunc(slices.Clone(all), func(s *redistest.Server) bool { return role(s) != "master" })
			if len(masters) != 3 {
				return
			}
			tag := tags(6)[r.rng.IntN(6)]
			for i, m := range masters {
				if owns(m, slot(tag)) {
					redistest.MoveSlot(r.T, slot(tag), m, masters[(i+1)%3], all)
					return
				}
			}
		}},
	)}
}

// owns reports whether the server has the slot.
func owns(s *redistest.Server, slot int) bool {
	id, err := s.Ask("CLUSTER", "MYID")
	if err != nil {
		return false
	}
	ranges, err := s.Ask("CLUSTER", "SLOTS")
	if err != nil {
		return false
	}
	list, _ := ranges.([]any)
	for _, entry := range list {
		e, _ := entry.([]any)
		if len(e) < 3 {
			continue
		}
		from, _ := e[0].(int64)
		to, _ := e[1].(int64)
		master, _ := e[2].([]any)
		if int64(slot) >= from && int64(slot) <= to && len(master) > 2 && master[2] == id {
			return true
		}
	}
	return false
}

// freeze holds all bytes back until mend, like a stopped process.
func (w *link) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.still == nil {
		w.still = make(chan struct{})
	}
}

// slow delays reads until mend.
func (w *link) slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}
