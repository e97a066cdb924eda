//go:build chaos

package node

import (
	"context"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestEventsTorture runs rounds of random faults against nodes, their stores and the receivers of their events, and counts at two
// receivers each durable event of a request that was answered. TORTURE is the duration (one round of each deployment if it is not set), TORTURE_SEED
// the seed of the first round. A failed round prints its seed and its faults. `make torture_events` runs the test.
func TestEventsTorture(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("TORTURE"))
	first, _ := strconv.Atoi(os.Getenv("TORTURE_DEPLOYMENT")) // the deployment of the first round: 0, 1 or 2
	seed, err := strconv.ParseUint(os.Getenv("TORTURE_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64N(1_000_000)
	}
	deployments := []struct {
		name  string
		start func(*eventRound)
	}{{"one node with a file", onFile}, {"three nodes with one Redis", onRedis}, {"three nodes with a master, a replica and a sentinel", onSentinels}}
	began := time.Now()
	for i := 0; i < len(deployments) || time.Since(began) < long; i++ {
		deploy := deployments[(first+i)%len(deployments)]
		if !t.Run(fmt.Sprint(deploy.name, ", seed ", seed), func(t *testing.T) { tortureEvents(t, seed, deploy.start) }) {
			return
		}
		seed++
	}
}

// roundTime is the time of a round with faults.
const roundTime = 45 * time.Second

// settleTime is the time in which events arrive after the faults. A sink that was down for a minute is tried again after a minute at most.
const settleTime = 2 * time.Minute

// eventRound is one run of nodes, receivers and faults.
type eventRound struct {
	*testing.T
	rng    *rand.Rand
	ctx    context.Context
	began  time.Time
	over   atomic.Bool
	script []string

	config string   // of the store of events
	nodes  int      // number of nodes
	lossy  bool     // a failover may lose the last writes of a node that dies
	faults []func() // of the store

	receivers [2]*badReceiver
	dir       string
	work      sync.WaitGroup

	mu     sync.Mutex
	living []*eventNode
	wanted []wanted
}

// eventNode is one process of a node.
type eventNode struct {
	*nodetest.Server
	name string
	died time.Time // zero: it lives
}

// wanted is an event of a request that was answered.
type wanted struct {
	key  string // type and the part of the data that identifies it
	by   *eventNode
	at   time.Time // of the answer
	late bool      // the answer did not wait for the store; see PROMISES.md
	left bool      // the end of a membership
}

// lateAfter is a little less than the time limit of a request of the server API.
const lateAfter = 4500 * time.Millisecond

func tortureEvents(t *testing.T, seed uint64, deploy func(*eventRound)) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	r := &eventRound{T: t, rng: rand.New(rand.NewPCG(seed, 7)), ctx: ctx, dir: t.TempDir()}
	defer func() {
		if t.Failed() {
			t.Logf("TORTURE_SEED=%d\n%s", seed, strings.Join(r.script, "\n"))
		}
	}()
	for i := range r.receivers {
		r.receivers[i] = newBadReceiver(t, i > 0)
	}
	deploy(r)
	r.began = time.Now()
	for i := range r.nodes {
		r.living = append(r.living, r.start(fmt.Sprint("n", i)))
	}
	for i := range 4 {
		r.work.Go(func() { r.ask(rand.New(rand.NewPCG(seed, 100+uint64(i))), i) })
	}
	for i := range 2 {
		r.work.Go(func() { r.visit(rand.New(rand.NewPCG(seed, 200+uint64(i))), i) })
	}
	r.work.Go(func() { r.receivers[1].disturb(r, rand.New(rand.NewPCG(seed, 300))) })
	for time.Since(r.began) < roundTime {
		r.pause(500*time.Millisecond, 4*time.Second)
		if k := r.rng.IntN(len(r.faults) + 2); k < len(r.faults) {
			r.faults[k]()
		} else {
			r.killNode()
		}
	}
	r.over.Store(true)
	r.work.Wait()
	r.note("settle")
	r.check()
}

func (r *eventRound) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, fmt.Sprintf("%6.1fs %s", time.Since(r.began).Seconds(), what))
}

func (r *eventRound) pause(least, most time.Duration) { r.sleep(r.rng, least, most) }

func (r *eventRound) sleep(rng *rand.Rand, least, most time.Duration) {
	select {
	case <-time.After(least + time.Duration(rng.Int64N(int64(most-least)))):
	case <-r.ctx.Done():
	}
}

func onFile(r *eventRound) {
	r.nodes, r.config = 1, "data: data\n"
}

func onRedis(r *eventRound) {
	s := redistest.Start(r.T, "--appendonly", "yes", "--appendfsync", "always")
	r.nodes, r.config = 3, clusterConfig(fmt.Sprintf("addresses: ['%s']", s.Address()))
	r.faults = []func(){
		func() {
			r.note("Redis freezes")
			_ = s.Signal(syscall.SIGSTOP)
			r.pause(200*time.Millisecond, 2500*time.Millisecond)
			_ = s.Signal(syscall.SIGCONT)
		},
		func() {
			r.note("Redis is killed and starts again")
			s.Kill()
			r.pause(100*time.Millisecond, 2*time.Second)
			if err := s.Restart(); err != nil {
				r.Error(err)
			}
		},
		func() {
			r.note("connections to Redis are killed")
			_ = s.Do("CLIENT", "KILL", "TYPE", "normal")
		},
	}
}

func onSentinels(r *eventRound) {
	master, others, sentinel := redistest.StartSentinels(r.T, 1)
	both := []*redistest.Server{master, others[0]}
	r.nodes, r.lossy = 3, true
	r.config = clusterConfig(fmt.Sprintf("mode: sentinel, masterName: %s, addresses: ['%s']", redistest.Master, sentinel.Address()))
	ready := func() (m, other *redistest.Server) {
		if redistest.Await("the replica follows", func() bool {
			for i, s := range both {
				m, other = s, both[1-i]
				if m.Info("role", "INFO", "replication") == "master" && other.Info("master_link_status") == "up" {
					return sentinel.Info("master0", "INFO") == fmt.Sprintf("name=main,status=ok,address=127.0.0.1:%d,slaves=1,sentinels=1", m.Port)
				}
			}
			return false
		}) != nil {
			r.Error("the sentinel has no master with a replica")
		}
		return m, other
	}
	promoted := func(s *redistest.Server) {
		if err := redistest.Await("the replica is master", func() bool { return s.Info("role", "INFO", "replication") == "master" }); err != nil {
			r.Error(err)
		}
	}
	r.faults = []func(){
		func() {
			r.note("the master dies")
			m, other := ready()
			m.Kill()
			promoted(other)
			if err := m.Restart(); err != nil {
				r.Error(err)
			}
		},
		func() {
			r.note("the master dies, its replica lags")
			m, other := ready()
			_ = other.Signal(syscall.SIGSTOP)
			_ = m.Do("CLIENT", "KILL", "TYPE", "replica")
			r.pause(200*time.Millisecond, 900*time.Millisecond)
			m.Kill()
			_ = other.Signal(syscall.SIGCONT)
			promoted(other)
			if err := m.Restart(); err != nil {
				r.Error(err)
			}
		},
		func() {
			r.note("failover by command")
			_, other := ready()
			if sentinel.Do("SENTINEL", "FAILOVER", redistest.Master) == nil {
				promoted(other)
			}
		},
	}
}

func clusterConfig(redis string) string {
	return "cluster: { backend: redis, lease: 3s, redis: { " + redis + " } }\n"
}

// start starts a node. Its store may not answer at that moment: then it tries again.
func (r *eventRound) start(name string) *eventNode {
	var sinks []string
	for _, to := range r.receivers {
		sinks = append(sinks, to.sink())
	}
	dir := filepath.Join(r.dir, name)
	file := filepath.Join(dir, "moot.yaml")
	nodetest.Write(r.T, file, fmt.Sprintf(`
http: { listen: '127.0.0.1:0' }
socket: { listen: '127.0.0.1:0' }
admin: { listen: '127.0.0.1:0', key: %s, requestsPerSecond: 100000 }
drain: 0s
watch: false
limits: { verbsPerSecond: 10000 }
tenants: { default: { rooms: { starting: [hall], settings: [{ history: 1000 }] }, events: [%s] } }
%s`, adminKey, strings.Join(sinks, ", "), r.config))
	for {
		cmd := process(r.T, file, "cluster.node="+name)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+r.receivers[1].authority(r.dir))
		s, err := nodetest.Start(cmd)
		if err == nil {
			r.Cleanup(s.Kill)
			return &eventNode{Server: s, name: name}
		}
		if r.ctx.Err() != nil {
			r.Errorf("node %s does not start: %v", name, err)
			return &eventNode{Server: new(nodetest.Server), name: name}
		}
		r.sleep(rand.New(rand.NewPCG(1, 1)), 100*time.Millisecond, 300*time.Millisecond)
	}
}

// killNode kills a node as kill -9 does, and starts it again.
func (r *eventRound) killNode() {
	r.mu.Lock()
	i := r.rng.IntN(len(r.living))
	n := r.living[i]
	r.mu.Unlock()
	r.note("kill -9 of " + n.name)
	died := time.Now()
	n.Kill()
	r.mu.Lock()
	n.died = died
	r.mu.Unlock()
	r.pause(time.Millisecond, 2*time.Second)
	next := r.start(n.name)
	r.mu.Lock()
	r.living[i] = next
	r.mu.Unlock()
}

func (r *eventRound) anyNode(rng *rand.Rand) *eventNode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.living[rng.IntN(len(r.living))]
}

func (r *eventRound) want(by *eventNode, began time.Time, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = append(r.wanted, wanted{key, by, time.Now(), time.Since(began) > lateAfter, strings.HasPrefix(key, "moot.member.left")})
}

// request sends a request to the server API, and reports whether it succeeded.
func (r *eventRound) request(n *eventNode, method, path, body string) bool {
	ctx, cancel := context.WithTimeout(r.ctx, 15*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, "http://"+n.Admin+"/api/tenants/default/"+path, strings.NewReader(body))
	if err != nil {
		r.Error(err)
		return false
	}
	q.Header.Set("Authorization", "Bearer "+adminKey)
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode/100 == 2 && (method != "PUT" || answer.StatusCode == http.StatusCreated)
}

// ask makes events by the server API.
func (r *eventRound) ask(rng *rand.Rand, worker int) {
	for k := 0; !r.over.Load(); k++ {
		n, began, name := r.anyNode(rng), time.Now(), fmt.Sprintf("%d-%d", worker, k)
		switch rng.IntN(4) {
		case 0:
			if r.request(n, "PUT", "rooms/"+name, "") {
				r.want(n, began, "moot.room.created "+name)
			}
		case 1:
			if r.request(n, "POST", "sanctions", fmt.Sprintf(`{"user":%q,"kind":"mute","ttl":600000}`, name)) {
				r.want(n, began, "moot.sanction.set "+name)
			}
		default:
			if r.request(n, "POST", "rooms/hall/messages", fmt.Sprintf(`{"message":%q}`, name)) {
				r.want(n, began, "moot.message.published "+name)
			}
		}
		r.sleep(rng, time.Millisecond, 30*time.Millisecond)
	}
}

// visit makes clients join a room of their own and leave it, or lose their node. Each join that was answered has an event, and each
// such membership ends with one.
func (r *eventRound) visit(rng *rand.Rand, worker int) {
	for k := 0; !r.over.Load(); k++ {
		n, began, room := r.anyNode(rng), time.Now(), fmt.Sprintf("visit-%d-%d", worker, k)
		if !r.request(n, "PUT", "rooms/"+room, "") {
			r.sleep(rng, time.Millisecond, 100*time.Millisecond)
			continue
		}
		r.want(n, began, "moot.room.created "+room)
		c, err := nodetest.Dial(n.Socket)
		if err != nil {
			continue
		}
		began = time.Now()
		_ = c.Conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = fmt.Fprintf(c.Conn, `{"event":"roomAdd","room":%q,"messageId":7}`+"\n", room)
		for c.Lines.Scan() {
			if line := c.Lines.Text(); strings.Contains(line, `"messageId":7`) {
				if !strings.Contains(line, `"error"`) {
					r.want(n, began, "moot.member.joined "+room)
					r.want(n, began, "moot.member.left "+room)
				}
				break
			}
		}
		r.sleep(rng, time.Millisecond, 2*time.Second)
		_ = c.Conn.Close()
	}
}

// check waits until the receivers have all events, and checks that none is lost and that the sequences are right.
func (r *eventRound) check() {
	for _, to := range r.receivers {
		to.set(modeOK)
		lost := func() (lost []wanted, excused int) {
			for _, w := range r.wanted {
				switch {
				case to.has(w.key):
				case r.excused(w):
					excused++
				default:
					lost = append(lost, w)
				}
			}
			return lost, excused
		}
		for end := time.Now().Add(settleTime); len(first(lost())) > 0 && time.Now().Before(end); {
			r.pause(100*time.Millisecond, 200*time.Millisecond)
		}
		if all := first(lost()); len(all) > 0 {
			for _, w := range all[:min(5, len(all))] {
				r.Errorf("%s has not received %s, which %s answered at %.1f s", to.name, w.key, w.by.name, w.at.Sub(r.began).Seconds())
			}
			r.Errorf("%s has not received %d of %d events", to.name, len(all), len(r.wanted))
		}
		all, excused := lost()
		to.check(r)
		to.mu.Lock()
		r.Logf("%s: of %d events that were answered %d were lost, and %d with a node as PROMISES.md allows; %d came, %d of them repeats; %d requests failed on purpose", to.name, len(r.wanted), len(all), excused,
			to.received, to.repeats, to.failed)
		to.mu.Unlock()
	}
}

func first(all []wanted, _ int) []wanted { return all }

// excused reports whether PROMISES.md allows the loss of an event: its node died before the store had it, or died soon after a write that a
// failover may have lost, or it was the only node, so that nobody knows its members.
func (r *eventRound) excused(w wanted) bool {
	died := w.by.died
	return !died.IsZero() && (w.late || w.left && r.nodes == 1 || r.lossy && died.Sub(w.at) < 16*time.Second)
}

// authority writes the certificate of the receiver into a file, and returns its name.
func (b *badReceiver) authority(dir string) string {
	file := filepath.Join(dir, "authority.pem")
	if _, err := os.Stat(file); err != nil {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			panic(err)
		}
	}
	return file
}
