//go:build chaos

package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// TestTorture runs rounds of random faults against nodes with members and clients that join and
// leave, and checks all received messages. TORTURE is the duration (one round if it is not
// set), TORTURE_SEED the seed of the first round. A failed round prints its seed and its faults.
// `make torture` runs the test.
func TestTorture(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("TORTURE"))
	seed, err := strconv.ParseUint(os.Getenv("TORTURE_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64N(1_000_000)
	}
	began := time.Now()
	for ; ; seed++ {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { torture(t, seed) })
		if !ok || time.Since(began) > long {
			return
		}
	}
}

// rates are the rates of the rooms, in messages a second.
var rates = []int{5, 60, 300, 1000}

// deployment is the servers of a round, and the faults of these servers.
type deployment struct {
	name   string
	cfg    Config
	faults []fault
	lossy  bool // accepted messages of a dead node may be lost with a master
}

type fault struct {
	name string
	do   func(r *round)
}

// round is one run of nodes and faults.
type round struct {
	*testing.T
	rng        *rand.Rand
	ctx        context.Context
	began      time.Time
	deployment deployment
	rooms      []*room
	observers  []*observer
	script     []string
	over       atomic.Bool
	work       sync.WaitGroup
	cut        bool // a node was cut off for longer than its lease
	delayed    bool // a node may have published lost messages again after newer ones: nodes may differ in the order
	seed       uint64

	revised    *revised
	queueing   *queueing
	edits      *edits
	reports    *reports
	attendance *attendance
	quota      *quota

	sites   []*site
	clients []*client

	mu   sync.Mutex
	dead []*observer
}

// room is a room with the outcomes of its messages.
type room struct {
	id   cluster.RoomID
	rate int
	keep cluster.Retention
	size int

	mu      sync.Mutex
	senders []*sender
}

// sender publishes in a room. Each message is accepted, unknown or refused.
type sender struct {
	number   int
	observer *observer
	outcome  []byte // outcome of message k: '+', '?' or '-'
}

// observer is a node that records the messages of all rooms.
type observer struct {
	*Node
	link *link
	end  func()

	mu      sync.Mutex
	heard   map[cluster.RoomID][]spoken
	lost    map[string]int
	amends  []string        // messages and amendments of the amended room; see recordAmended
	members map[string]bool // expected members of the first room

	userMembers map[string]bool // expected members of usersRoom

	rejoining sync.Mutex // held while members join again; a leave begins before or after that
}

// spoken is a received message.
type spoken struct {
	sender, k int
	at        cluster.Position
}

func (e *observer) Deliver(_ context.Context, room cluster.RoomID, at cluster.Position, payload []byte) {
	if room == amendedRoom {
		id, version := parseVersion(payload)
		e.recordAmended(fmt.Sprint(id, " ", version))
		return
	}
	sender, rest, _ := strings.Cut(string(payload), " ")
	number, _, _ := strings.Cut(rest, " ")
	v, err := strconv.Atoi(sender)
	k, err2 := strconv.Atoi(number)
	if err != nil || err2 != nil {
		return // a mark that the test publishes
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[room] = append(e.heard[room], spoken{v, k, at})
}

// Amended records an amendment like a message.
func (e *observer) Amended(_ context.Context, _ cluster.RoomID, _ cluster.Position, a cluster.Amendment) {
	e.amended(a)
}

func (*observer) Answer(_ context.Context, call []byte) ([]byte, error) { return call, nil }
func (*observer) Expired(context.Context, []byte)                       {}
func (*observer) Missed(context.Context, cluster.RoomID)                {}
func (*observer) Pace(context.Context, cluster.RoomID)                  {}

func (e *observer) Lost(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	for _, m := range members {
		e.mu.Lock()
		e.lost[m.ID]++
		e.mu.Unlock()
		_ = e.Remove(ctx, room, m.ID)
	}
}

func (e *observer) Rejoin(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	e.rejoining.Lock()
	defer e.rejoining.Unlock()
	for _, m := range members {
		if e.expects(m.ID) {
			_ = e.Add(ctx, room, m)
		}
	}
}

func (e *observer) expects(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.members[id] || e.userMembers[id]
}

func torture(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 12))
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	stages := []func(*testing.T) deployment{standalone, forgetful, sentinels, shards}
	r := &round{T: t, rng: rng, seed: seed, ctx: ctx, deployment: stages[rng.IntN(len(stages))](t)}
	defer func() {
		if t.Failed() {
			t.Logf("TORTURE_SEED=%d %s\n%s", seed, r.deployment.name, strings.Join(r.script, "\n"))
		}
	}()
	for i := range 4 + rng.IntN(3) {
		h := &room{id: cluster.RoomID{Tenant: "default", Room: fmt.Sprint("room ", i)}, rate: rates[rng.IntN(len(rates))], size: rng.IntN(200)}
		if i < len(rates) {
			h.rate = rates[i]
		}
		if rng.IntN(2) == 0 {
			h.keep = cluster.Retention{Messages: 100, For: time.Minute}
		}
		if rng.IntN(6) == 0 && h.rate <= 300 {
			h.size = 4000
		}
		r.rooms = append(r.rooms, h)
	}
	for i := range 3 {
		r.observer(fmt.Sprint("node-", i))
	}
	r.must(r.observers[0].Cluster().Rooms.Create(ctx, r.rooms[0].id))
	r.began = time.Now()
	r.people()
	r.amend()
	r.hold()
	r.editClients()
	r.reportAll()
	r.attend()
	r.fill()
	for _, e := range r.observers {
		r.speak(e)
		r.work.Go(func() { r.churn(e) })
	}
	r.pause(2*time.Second, 3*time.Second)
	for range 3 + rng.IntN(4) {
		r.disturb()
		r.pause(200*time.Millisecond, 3*time.Second)
	}
	r.settle()
}

func (r *round) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *round) note(what string) {
	r.script = append(r.script, fmt.Sprintf("%6.1fs %s", time.Since(r.began).Seconds(), what))
}

func (r *round) pause(least, most time.Duration) {
	r.wait(least + time.Duration(r.rng.Int64N(int64(most-least))))
}

// wait waits for d, and fails the test if the round takes too long.
func (r *round) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
		r.Fatal("the round takes too long")
	}
}

// config returns the config of a node.
func (r *round) config(name string, w *link) Config {
	cfg := r.deployment.cfg
	cfg.Node, cfg.dialer, cfg.Lease, cfg.PublishTimeout = name, w.dial, 3*time.Second, 30*time.Second
	cfg.Log = slog.New(slog.NewTextHandler(r.Output(), nil))
	return cfg
}

// links returns the links of the nodes that live during the whole round.
func (r *round) links() (all []*link) {
	for _, e := range r.observers[:3] {
		all = append(all, e.link)
	}
	for _, s := range r.sites {
		all = append(all, s.link)
	}
	return all
}

// branch returns a source of random numbers for one goroutine.
func (r *round) branch(n uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, 100+n)) }

// late reports whether the round has taken too long.
func (r *round) late() bool { return r.ctx.Err() != nil }

func (r *round) observer(name string) *observer {
	e := &observer{link: &link{}, heard: map[cluster.RoomID][]spoken{}, lost: map[string]int{}, members: map[string]bool{}, userMembers: map[string]bool{}}
	e.Node = open(r.T, r.config(name, e.link))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- e.Cluster().Nodes.Run(ctx, e) }()
	e.end = sync.OnceFunc(func() {
		cancel()
		<-ran
	})
	r.Cleanup(e.end)
	r.must(e.up(r.ctx))
	for _, h := range r.rooms {
		r.must(e.Subscribe(r.ctx, h.id))
	}
	r.observers = append(r.observers, e)
	return e
}

// speak makes the node publish in all rooms, at its share of their rates.
func (r *round) speak(e *observer) {
	for _, h := range r.rooms {
		many := max(1, h.rate/150)
		for range many {
			h.mu.Lock()
			v := &sender{number: len(h.senders), observer: e}
			h.senders = append(h.senders, v)
			h.mu.Unlock()
			every := time.Second * time.Duration(3*many) / time.Duration(h.rate)
			r.work.Go(func() { r.talk(h, v, every) })
		}
	}
}

func (r *round) talk(h *room, v *sender, every time.Duration) {
	pace := time.NewTicker(every)
	defer pace.Stop()
	padding := strings.Repeat("x", h.size)
	for k := 0; !r.over.Load() && v.observer.alive() && !v.observer.isDead(r); k++ {
		err := v.observer.Publish(r.ctx, h.id, fmt.Appendf(nil, "%d %d %s", v.number, k, padding), h.keep)
		outcome := byte('+')
		switch {
		case errors.Is(err, cluster.ErrUnknown):
			outcome = '?'
		case errors.Is(err, cluster.ErrUnavailable):
			outcome = '-'
		case err != nil:
			r.Errorf("publish: %v", err)
			outcome = '?'
		}
		h.mu.Lock()
		v.outcome = append(v.outcome, outcome)
		h.mu.Unlock()
		<-pace.C
	}
}

func (e *observer) isDead(r *round) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.dead, e)
}

// churn makes members of the node join and leave the first room.
func (r *round) churn(e *observer) {
	for k := 0; !r.over.Load() && e.alive() && !e.isDead(r); k++ {
		id := fmt.Sprintf("%s-%d", e.cfg.Node, k)
		err := e.Add(r.ctx, r.rooms[0].id, cluster.MemberRecord{ID: id, JoinedAt: int64(k)})
		e.note(id, err == nil)
		if k >= 5 {
			gone := fmt.Sprintf("%s-%d", e.cfg.Node, k-5)
			e.rejoining.Lock()
			e.note(gone, false)
			e.rejoining.Unlock()
			_, _ = e.BeginLeave(r.ctx, r.rooms[0].id, gone)
			_ = e.Remove(r.ctx, r.rooms[0].id, gone)
		}
		r.breath(100 * time.Millisecond)
	}
}

func (r *round) breath(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

func (e *observer) note(id string, is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if is {
		e.members[id] = true
	} else {
		delete(e.members, id)
	}
}
