//go:build chaos

package redis

import (
	"cmp"
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
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// TestTorture runs rounds of random faults against nodes that talk, come and go, and
// checks what all of them heard. TORTURE is for how long (one round if it is not set),
// TORTURE_SEED the seed of the first round: a round that fails prints its own, and a
// script of what was done. `make torture` runs it.
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

// rates are those at which rooms talk, in messages a second.
var rates = []int{5, 60, 300, 1000}

// stage is the servers of a round, and what can be done to them.
type stage struct {
	name   string
	cfg    Config
	faults []fault
	lossy  bool // accepted messages of a node that died may be lost with a master
}

type fault struct {
	name string
	do   func(r *round)
}

// round is one run of nodes and faults.
type round struct {
	*testing.T
	rng    *rand.Rand
	ctx    context.Context
	began  time.Time
	stage  stage
	rooms  []*hall
	ears   []*ear
	script []string
	over   atomic.Bool
	work   sync.WaitGroup
	cut    bool // a node was out of reach for longer than its lease
	seed   uint64

	sites   []*site
	clients []*client

	mu   sync.Mutex
	dead []*ear
}

// hall is a room, and what was said in it.
type hall struct {
	id   cluster.RoomID
	rate int
	keep cluster.Retention
	size int

	mu     sync.Mutex
	voices []*voice
}

// voice is one who speaks in a hall: message k is accepted, unknown or refused.
type voice struct {
	number  int
	ear     *ear
	outcome []byte // '+', '?' or '-'
}

// ear is a node that hears all halls.
type ear struct {
	*Node
	wire *wire
	end  func()

	mu      sync.Mutex
	heard   map[cluster.RoomID][]spoken
	lost    map[string]int
	members map[string]bool // of the first hall, that should be on record
	gaps    []string
}

// spoken is a message as it was heard.
type spoken struct {
	voice, k int
	at       cluster.Position
}

func (e *ear) Deliver(_ context.Context, room cluster.RoomID, at cluster.Position, payload []byte) {
	voice, rest, _ := strings.Cut(string(payload), " ")
	number, _, _ := strings.Cut(rest, " ")
	v, err := strconv.Atoi(voice)
	k, err2 := strconv.Atoi(number)
	if err != nil || err2 != nil {
		return // a mark of the test
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[room] = append(e.heard[room], spoken{v, k, at})
}

func (*ear) Answer(_ context.Context, call []byte) ([]byte, error) { return call, nil }
func (*ear) Expired(context.Context, []byte)                       {}
func (*ear) Missed(context.Context, cluster.RoomID)                {}
func (*ear) Pace(context.Context, cluster.RoomID)                  {}

func (e *ear) Lost(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	for _, m := range members {
		e.mu.Lock()
		e.lost[m.ID]++
		e.mu.Unlock()
		_ = e.Remove(ctx, room, m.ID)
	}
}

func (e *ear) Rejoin(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	for _, m := range members {
		_ = e.Add(ctx, room, m)
	}
}

func torture(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 12))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	stages := []func(*testing.T) stage{standalone, forgetful, sentinels, shards}
	r := &round{T: t, rng: rng, seed: seed, ctx: ctx, stage: stages[rng.IntN(len(stages))](t)}
	defer func() {
		if t.Failed() {
			t.Logf("TORTURE_SEED=%d %s\n%s", seed, r.stage.name, strings.Join(r.script, "\n"))
		}
	}()
	for i := range 4 + rng.IntN(3) {
		h := &hall{id: cluster.RoomID{Tenant: "default", Room: fmt.Sprint("hall ", i)}, rate: rates[rng.IntN(len(rates))], size: rng.IntN(200)}
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
		r.ear(fmt.Sprint("node-", i))
	}
	r.must(r.ears[0].Cluster().Rooms.Create(ctx, r.rooms[0].id))
	r.began = time.Now()
	r.people()
	for _, e := range r.ears {
		r.speak(e)
		r.work.Go(func() { r.churn(e) })
	}
	r.pause(2*time.Second, 3*time.Second)
	for range 3 + rng.IntN(4) {
		f := r.stage.faults[rng.IntN(len(r.stage.faults))]
		r.note(f.name)
		f.do(r)
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

// wait lets time pass: it is what a round is made of.
func (r *round) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
		r.Fatal("the round takes too long")
	}
}

// config is that of a node.
func (r *round) config(name string, w *wire) Config {
	cfg := r.stage.cfg
	cfg.Node, cfg.dialer, cfg.Lease, cfg.PublishTimeout = name, w.dial, 3*time.Second, 30*time.Second
	cfg.Log = slog.New(slog.NewTextHandler(r.Output(), nil))
	return cfg
}

// wires are those of the nodes that live through the round.
func (r *round) wires() (all []*wire) {
	for _, e := range r.ears[:3] {
		all = append(all, e.wire)
	}
	for _, s := range r.sites {
		all = append(all, s.wire)
	}
	return all
}

// branch is a source of random numbers for a goroutine of its own.
func (r *round) branch(n uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, 100+n)) }

// late reports whether the round has taken too long.
func (r *round) late() bool { return r.ctx.Err() != nil }

func (r *round) ear(name string) *ear {
	e := &ear{wire: &wire{}, heard: map[cluster.RoomID][]spoken{}, lost: map[string]int{}, members: map[string]bool{}}
	e.Node = open(r.T, r.config(name, e.wire))
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
	r.ears = append(r.ears, e)
	return e
}

// speak has the node talk in all halls, at its part of their rates.
func (r *round) speak(e *ear) {
	for _, h := range r.rooms {
		many := max(1, h.rate/150)
		for range many {
			h.mu.Lock()
			v := &voice{number: len(h.voices), ear: e}
			h.voices = append(h.voices, v)
			h.mu.Unlock()
			every := time.Second * time.Duration(3*many) / time.Duration(h.rate)
			r.work.Go(func() { r.talk(h, v, every) })
		}
	}
}

func (r *round) talk(h *hall, v *voice, every time.Duration) {
	pace := time.NewTicker(every)
	defer pace.Stop()
	padding := strings.Repeat("x", h.size)
	for k := 0; !r.over.Load() && v.ear.alive() && !v.ear.isDead(r); k++ {
		err := v.ear.Publish(r.ctx, h.id, fmt.Appendf(nil, "%d %d %s", v.number, k, padding), h.keep)
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

func (e *ear) isDead(r *round) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.dead, e)
}

// churn has members of the node come to the first hall and go.
func (r *round) churn(e *ear) {
	for k := 0; !r.over.Load() && e.alive() && !e.isDead(r); k++ {
		id := fmt.Sprintf("%s-%d", e.cfg.Node, k)
		err := e.Add(r.ctx, r.rooms[0].id, cluster.MemberRecord{ID: id, JoinedAt: int64(k)})
		e.note(id, err == nil)
		if k >= 5 {
			gone := fmt.Sprintf("%s-%d", e.cfg.Node, k-5)
			e.note(gone, false)
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

func (e *ear) note(id string, is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if is {
		e.members[id] = true
	} else {
		delete(e.members, id)
	}
}

// settle ends the talk and checks what was heard.
func (r *round) settle() {
	r.note("settle")
	r.over.Store(true)
	r.work.Wait()
	r.checkPeople()
	living := slices.DeleteFunc(slices.Clone(r.ears), func(e *ear) bool { return e.isDead(r) })
	first := living[:min(3, len(living))]
	for _, h := range r.rooms {
		for _, e := range first {
			if err := redistest.Await("all is heard", func() bool { return r.missing(h, e) == "" }); err != nil {
				r.Errorf("%s (%d/s, %d kept) at %s: lost %s", h.id.Room, h.rate, h.keep.Messages, e.cfg.Node, r.missing(h, e))
			}
			r.once(h, e)
		}
		r.agree(h, first)
	}
	r.present(living)
	total, unknown := 0, 0
	for _, h := range r.rooms {
		for _, v := range h.voices {
			total += len(v.outcome)
			unknown += strings.Count(string(v.outcome), "?")
		}
	}
	for _, e := range living {
		c := e.Counters()
		if c.Gaps > 0 || c.Malformed > 0 {
			r.Errorf("%s counts %d gaps, %d malformed", e.cfg.Node, c.Gaps, c.Malformed)
		}
		r.Logf("%s: %+v", e.cfg.Node, c)
	}
	r.Logf("%s: said %d, unknown %d; %s", r.stage.name, total, unknown, strings.Join(r.script, "; "))
}

func (e *ear) in(h *hall) []spoken {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard[h.id])
}

// missing names what was accepted and not heard.
func (r *round) missing(h *hall, e *ear) string {
	has := map[[2]int]bool{}
	for _, s := range e.in(h) {
		has[[2]int{s.voice, s.k}] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	count, text := 0, ""
	for _, v := range h.voices {
		if r.stage.lossy && v.ear.isDead(r) {
			continue
		}
		for k, o := range v.outcome {
			if o == '+' && !has[[2]int{v.number, k}] {
				count++
				text = cmp.Or(text, fmt.Sprintf("voice %d (%s) message %d of %d", v.number, v.ear.cfg.Node, k, len(v.outcome)))
			}
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("%d, first %s", count, text)
}

// once checks that nothing came twice, a voice's messages in their order, and positions
// go up.
func (r *round) once(h *hall, e *ear) {
	last := map[int]int{}
	var at cluster.Position
	twice, backwards := 0, 0
	for i, s := range e.in(h) {
		if before, ok := last[s.voice]; ok && s.k <= before {
			twice++
			if twice == 1 {
				r.Errorf("%s (%d/s) at %s: voice %d message %d at %v came after %d (number %d)", h.id.Room, h.rate, e.cfg.Node, s.voice, s.k, s.at, before, i)
			}
		}
		last[s.voice] = s.k
		if s.at.Epoch == at.Epoch && s.at.Offset <= at.Offset {
			backwards++
		}
		at = s.at
	}
	if twice > 0 || backwards > 0 {
		r.Errorf("%s at %s: %d twice or out of order, %d positions go back", h.id.Room, e.cfg.Node, twice, backwards)
	}
}

// agree checks that all heard the same order, and nothing else.
func (r *round) agree(h *hall, ears []*ear) {
	strip := func(all []spoken) (out [][2]int) {
		for _, s := range all {
			out = append(out, [2]int{s.voice, s.k})
		}
		return out
	}
	a := strip(ears[0].in(h))
	for _, e := range ears[1:] {
		b := strip(e.in(h))
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				r.Errorf("%s (%d/s): %s heard %v and %s %v as number %d of %d and %d", h.id.Room, h.rate, ears[0].cfg.Node, a[i], e.cfg.Node, b[i], i, len(a), len(b))
				break
			}
		}
	}
}

// present checks who is on record, and that nobody was let go who was there.
func (r *round) present(living []*ear) {
	want := func() (all []string) {
		for _, e := range living {
			e.mu.Lock()
			for id := range e.members {
				all = append(all, id)
			}
			e.mu.Unlock()
		}
		slices.Sort(all)
		return all
	}
	listed := func() (all []string) {
		for after := ""; ; {
			page, next, err := living[0].Members(r.ctx, r.rooms[0].id, after, 100)
			r.must(err)
			for _, m := range page {
				all = append(all, m.ID)
			}
			if after = next; next == "" {
				slices.Sort(all)
				return all
			}
		}
	}
	if redistest.Await("members are on record", func() bool { return slices.Equal(want(), listed()) }) != nil {
		r.Errorf("members on record %v, want %v", listed(), want())
	}
	times := map[string]int{}
	for _, e := range r.ears {
		e.mu.Lock()
		for id, n := range e.lost {
			times[id] += n
		}
		e.mu.Unlock()
	}
	for id, n := range times {
		dead := slices.ContainsFunc(r.dead, func(e *ear) bool { return strings.HasPrefix(id, e.cfg.Node+"-") })
		if n > 1 && !r.stage.lossy && !r.cut || !dead && !r.cut {
			r.Errorf("%s was let go %d times (its node is dead: %v)", id, n, dead)
		}
	}
}
