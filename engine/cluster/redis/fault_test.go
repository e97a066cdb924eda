package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// recorder is a node with a handler that records its calls.
type recorder struct {
	*Node
	link *link
	hold chan struct{} // Lost waits for it, or for its ctx; nil: Lost does not wait
	end  func()        // ends Run
	set  time.Duration // how far the wall clock of the node was set before Run

	mu     sync.Mutex
	heard  map[cluster.RoomID][]string
	places map[cluster.RoomID][]cluster.Position // of the messages in heard
	lost   map[string]int                        // how often Lost received each member, by id

	expired  []string       // sessions that Expired received
	rejoined map[string]int // how often Rejoin received each member, by id
	paced    []int          // number of received messages of a room at each call of Pace
}

func (w *recorder) Deliver(_ context.Context, room cluster.RoomID, at cluster.Position, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard[room] = append(w.heard[room], string(payload))
	if w.places == nil {
		w.places = map[cluster.RoomID][]cluster.Position{}
	}
	w.places[room] = append(w.places[room], at)
}

func (w *recorder) Answer(_ context.Context, call []byte) ([]byte, error) { return call, nil }

func (w *recorder) Missed(_ context.Context, room cluster.RoomID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard[room] = append(w.heard[room], gapMark)
}

func (w *recorder) Pace(_ context.Context, room cluster.RoomID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paced = append(w.paced, len(w.heard[room]))
}

// gapMark represents a call of Missed among a room's messages.
const gapMark = "(gap)"

func (w *recorder) Lost(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	if w.hold != nil {
		w.hold <- struct{}{}
		<-ctx.Done()
		return
	}
	for _, m := range members {
		w.mu.Lock()
		w.lost[m.ID]++
		w.mu.Unlock()
		_ = w.Remove(ctx, room, m.ID)
	}
}

func (w *recorder) Amended(ctx context.Context, room cluster.RoomID, at cluster.Position, a cluster.Amendment) {
	w.Deliver(ctx, room, at, []byte(amended(a)))
}

// amended is the record of an amendment among a room's messages.
func amended(a cluster.Amendment) string {
	if a.Retract {
		return "retract " + a.Message
	}
	return "edit " + a.Message + " " + string(a.Payload)
}

func (w *recorder) Unannounced(context.Context, cluster.RoomID) {}

func (w *recorder) Rejoin(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	for _, m := range members {
		w.mu.Lock()
		w.rejoined[m.ID]++
		w.mu.Unlock()
		_ = w.Add(ctx, room, m)
	}
}

func (w *recorder) heardIn(room cluster.RoomID) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.heard[room])
}

// testCluster is a set of nodes that publish in rooms during a fault, and the outcomes of their
// messages.
type testCluster struct {
	*testing.T
	ctx   context.Context
	nodes []*recorder
	rooms []cluster.RoomID

	over     atomic.Bool
	senders  sync.WaitGroup
	mu       sync.Mutex
	accepted map[cluster.RoomID][]string
	unsure   map[string]bool // messages with an unknown outcome
	count    atomic.Int64
	failed   atomic.Int64  // number of refused messages
	slowest  time.Duration // longest time of a Publish
}

// newTestCluster runs three nodes that subscribe to all rooms.
func newTestCluster(t *testing.T, base Config) *testCluster {
	tr := emptyTestCluster(t)
	for i := range 3 {
		tr.node(base, fmt.Sprint("node-", i))
	}
	for _, w := range tr.nodes {
		for _, r := range tr.rooms {
			tr.must(w.Subscribe(tr.ctx, r))
		}
	}
	return tr
}

func emptyTestCluster(t *testing.T) *testCluster {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // goroutines of go-redis that look for a dead server need a second to end
		if redistest.Await("goroutines end", func() bool { return goleak.Find(before) == nil }) != nil {
			goleak.VerifyNone(t, before)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	tr := &testCluster{T: t, ctx: ctx, accepted: map[cluster.RoomID][]string{}, unsure: map[string]bool{}}
	for i := range 6 {
		tr.rooms = append(tr.rooms, cluster.RoomID{Tenant: "default", Room: fmt.Sprint("room ", i)})
	}
	return tr
}

// node runs a node until the test ends.
func (tr *testCluster) node(cfg Config, name string) *recorder {
	return tr.run(&recorder{}, cfg, name)
}

func (tr *testCluster) run(w *recorder, cfg Config, name string) *recorder {
	w.link, w.heard, w.lost, w.rejoined = &link{}, map[cluster.RoomID][]string{}, map[string]int{}, map[string]int{}
	cfg.Node, cfg.dialer, cfg.Lease = name, w.link.dial, cmp.Or(cfg.Lease, testLease)
	cfg.PublishTimeout = cmp.Or(cfg.PublishTimeout, 30*time.Second)
	cfg.Log = slog.New(slog.NewTextHandler(tr.Output(), nil))
	w.Node = open(tr.T, cfg)
	w.opened = jump(w.opened, w.set)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- w.Cluster().Nodes.Run(ctx, w) }()
	w.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			tr.Errorf("Run of %s: %v", name, err)
		}
	})
	tr.Cleanup(w.end)
	tr.must(w.up(tr.ctx))
	tr.nodes = append(tr.nodes, w)
	return w
}

// impatient runs a node with a short PublishTimeout.
func (tr *testCluster) impatient(cfg Config, name string) *recorder {
	cfg.PublishTimeout = 200 * time.Millisecond
	return tr.node(cfg, name)
}

func (tr *testCluster) must(err error) {
	tr.Helper()
	if err != nil {
		tr.Fatal(err)
	}
}

// talk makes every node publish 50 messages a second in every room until settle.
func (tr *testCluster) talk() {
	for _, w := range tr.nodes {
		for _, r := range tr.rooms {
			tr.senders.Go(func() { tr.speak(w, r) })
		}
	}
	tr.says(300)
}

func (tr *testCluster) speak(w *recorder, r cluster.RoomID) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for k := 0; !tr.over.Load(); k++ {
		payload := fmt.Sprintf("%s %d", w.cfg.Node, k)
		began := time.Now()
		err := w.Publish(tr.ctx, r, []byte(payload), cluster.Retention{})
		tr.note(r, payload, err, time.Since(began))
		<-pace.C
	}
}

func (tr *testCluster) note(r cluster.RoomID, payload string, err error, took time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.slowest = max(tr.slowest, took)
	switch {
	case err == nil:
		tr.count.Add(1)
		tr.accepted[r] = append(tr.accepted[r], payload)
	case errors.Is(err, cluster.ErrUnknown):
		tr.unsure[r.Room+payload] = true
	case errors.Is(err, cluster.ErrUnavailable):
		tr.failed.Add(1)
	default:
		tr.Errorf("publish: %v", err)
	}
}

// says waits until n more messages are accepted.
func (tr *testCluster) says(n int64) {
	tr.Helper()
	want := tr.count.Load() + n
	eventually(tr.T, "messages are accepted", func() bool { return tr.count.Load() >= want })
}

// settle stops the publishing, and checks that every node received each accepted message once,
// each sender's messages in their order, and all nodes the same order.
func (tr *testCluster) settle() {
	tr.Helper()
	tr.over.Store(true)
	tr.senders.Wait()
	for _, w := range tr.nodes {
		for _, r := range tr.rooms {
			eventually(tr.T, w.cfg.Node+" receives all that was accepted in "+r.Room, func() bool { return len(tr.missing(w, r)) == 0 })
			tr.inOrder(w, r)
		}
	}
	for _, w := range tr.nodes[1:] {
		for _, r := range tr.rooms {
			var a, b []string
			same := func() bool { a, b = tr.nodes[0].heardIn(r), w.heardIn(r); return slices.Equal(a, b) }
			if redistest.Await("both hear the same", same) != nil { // one may still receive messages with an unknown outcome
				i := 0
				for i < min(len(a), len(b)) && a[i] == b[i] {
					i++
				}
				tr.Errorf("%s: %s received %d messages and %s %d, number %d and those after it differ: %q, %q", r.Room, tr.nodes[0].cfg.Node, len(a), w.cfg.Node, len(b), i, a[i:min(i+8, len(a))], b[i:min(i+8, len(b))])
			}
		}
	}
	var healed, replayed, reopened int64
	for _, w := range tr.nodes {
		c := w.Counters()
		healed, replayed, reopened = healed+c.Healed, replayed+c.Replayed, reopened+c.Reopened
		if c.Gaps > 0 || c.Malformed > 0 {
			tr.Errorf("%s counts %d gaps and %d malformed", w.cfg.Node, c.Gaps, c.Malformed)
		}
	}
	tr.Logf("accepted %d, unsure %d, slowest publish %v, healed %d, replayed %d, reopened %d", tr.count.Load(), len(tr.unsure), tr.slowest, healed, replayed, reopened)
}

func (tr *testCluster) missing(w *recorder, r cluster.RoomID) []string {
	heard := map[string]bool{}
	for _, p := range w.heardIn(r) {
		heard[p] = true
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(tr.accepted[r]), func(p string) bool { return heard[p] })
}

func (tr *testCluster) inOrder(w *recorder, r cluster.RoomID) {
	last := map[string]int{}
	for _, p := range w.heardIn(r) {
		sender, number, _ := strings.Cut(p, " ")
		k, err := strconv.Atoi(number)
		tr.must(err)
		if before, ok := last[sender]; ok && k <= before {
			tr.Errorf("%s: %s received %q after number %d", r.Room, w.cfg.Node, p, before)
		}
		last[sender] = k
	}
}

func TestNothingIsLostWhenSubscriptionsAreKilled(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	tr.talk()
	for range 5 {
		tr.must(s.Do("CLIENT", "KILL", "TYPE", "pubsub"))
		tr.says(300)
	}
	tr.settle()
}

func TestNothingIsLostWhenConnectionsAreKilled(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	tr.talk()
	for range 5 {
		tr.must(s.Do("CLIENT", "KILL", "TYPE", "pubsub"))
		tr.must(s.Do("CLIENT", "KILL", "TYPE", "normal"))
		tr.says(300)
	}
	tr.settle()
}

func TestNothingIsLostWhenRedisFreezes(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	tr.talk()
	tr.must(s.Signal(syscall.SIGSTOP))
	thaw := time.AfterFunc(4*time.Second, func() { _ = s.Signal(syscall.SIGCONT) })
	defer thaw.Stop()
	tr.says(600)
	tr.settle()
	for _, w := range tr.nodes {
		if w.Counters().Reopened == 0 {
			t.Errorf("%s did not notice that its subscriptions were silent", w.cfg.Node)
		}
	}
}

func TestNothingIsLostWhenRedisBeginsAnew(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	tr.talk()
	for range 2 {
		s.Kill()
		tr.must(s.Restart())
		tr.says(600)
	}
	tr.settle()
}

func TestNothingIsLostWhenANodeIsCutOff(t *testing.T) {
	s := redistest.Start(t)
	tr := newTestCluster(t, Config{Addresses: []string{s.Address()}})
	tr.talk()
	tr.nodes[1].link.disconnect()
	tr.says(300)
	tr.nodes[1].link.mend()
	tr.says(300)
	tr.settle()
}

func TestNothingIsLostWhenSentinelsFailOver(t *testing.T) {
	master, _, sentinel := redistest.StartSentinels(t, 1)
	tr := newTestCluster(t, Config{Mode: Sentinel, MasterName: "main", Addresses: []string{sentinel.Address()}})
	tr.talk()
	master.Kill()
	tr.says(600)
	tr.settle()
}
