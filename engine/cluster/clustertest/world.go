package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// world is one test: a cluster, and the nodes that the test has started.
type world struct {
	*testing.T
	fixture Fixture
	ctx     context.Context // bounds each call that a test makes
}

// peer is a node with its handler.
type peer struct {
	cluster.Backend
	*handler
	name string
	// end ends Run and returns its error. It may be called several times.
	end func() error
}

func newWorld(t *testing.T, f Fixture) *world {
	if f.Patience == 0 {
		f.Patience = 10 * time.Second
	}
	if f.Crowd == 0 {
		f.Crowd = 1000
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*f.Patience)
	t.Cleanup(cancel)
	return &world{T: t, fixture: f, ctx: ctx}
}

// node starts a node and waits until it is in the cluster.
func (w *world) node(name string) *peer {
	w.Helper()
	p := w.launch(name)
	w.eventually(name+" is on its own list", func() bool { return slices.Contains(w.list(p), name) })
	return p
}

// nodes starts nodes that know of each other.
func (w *world) nodes(names ...string) []*peer {
	w.Helper()
	var peers []*peer
	for _, name := range names {
		peers = append(peers, w.launch(name))
	}
	for _, p := range peers {
		w.eventually(p.name+" knows all nodes", func() bool { return slices.Equal(w.list(p), sorted(names)) })
	}
	return peers
}

// launch starts a node's Run, which ends with the test.
func (w *world) launch(name string) *peer {
	c := w.fixture.Node(name)
	p := &peer{Backend: c, handler: newHandler(w.T, name, c), name: name}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() {
		err := c.Nodes.Run(ctx, p.handler)
		p.retire()
		ran <- err
	}()
	p.end = sync.OnceValue(func() error {
		cancel()
		late := time.NewTimer(w.fixture.Patience)
		defer late.Stop()
		select {
		case err := <-ran:
			return err
		case <-late.C:
			return fmt.Errorf("Run of %s continues although its ctx has ended", name)
		}
	})
	w.Cleanup(func() { w.leaves(p) })
	return p
}

// leaves ends a node, and fails the test unless its Run returns nil.
func (w *world) leaves(p *peer) {
	w.Helper()
	if err := p.end(); err != nil {
		w.Errorf("Run of %s: %v", p.name, err)
	}
}

// kill ends a node as a crash would.
func (w *world) kill(p *peer) {
	w.Helper()
	w.fixture.Kill(p.name)
	_ = p.end() // Run of a killed node may return any error
	p.end = func() error { return nil }
}

// wait polls until cond holds.
func (w *world) wait(cond func() bool) error {
	ctx, cancel := context.WithTimeout(w.ctx, w.fixture.Patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %v", w.fixture.Patience)
		}
	}
	return nil
}

// eventually fails the test if cond does not become true in time.
func (w *world) eventually(what string, cond func() bool) {
	w.Helper()
	if err := w.wait(cond); err != nil {
		w.Fatalf("%s: not so: %v", what, err)
	}
}

// must fails the test on an error.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// mustBe fails the test unless err is the sentinel.
func (w *world) mustBe(what string, err, sentinel error) {
	w.Helper()
	if !errors.Is(err, sentinel) {
		w.Errorf("%s: error %v, want %v", what, err, sentinel)
	}
}

// together runs f for 0 to n-1 concurrently, and fails the test if one fails.
func (w *world) together(n int, f func(i int) error) {
	w.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	w.must(errors.Join(errs...))
}

func (w *world) create(p *peer, rooms ...cluster.RoomID) {
	w.Helper()
	for _, room := range rooms {
		w.must(p.Rooms.Create(w.ctx, room))
	}
}

func (w *world) subscribe(room cluster.RoomID, peers ...*peer) {
	w.Helper()
	for _, p := range peers {
		w.must(p.Broker.Subscribe(w.ctx, room))
	}
}

func (w *world) publish(p *peer, room cluster.RoomID, payload string) {
	w.Helper()
	w.must(p.Broker.Publish(w.ctx, room, []byte(payload), cluster.Retention{}))
}

// hears waits for the last of want, and fails the test unless the node has received exactly
// want in the room.
func (w *world) hears(p *peer, room cluster.RoomID, want ...string) {
	w.Helper()
	last := want[len(want)-1]
	w.eventually(fmt.Sprintf("%s receives %.40q in %q", p.name, last, room), func() bool { return p.hasHeard(room, last) })
	if got := p.heardIn(room); !slices.Equal(got, want) {
		w.Fatalf("%s received %.200q in %q, want %.200q", p.name, got, room, want)
	}
}

func (w *world) list(p *peer) []string {
	w.Helper()
	names, err := p.Nodes.List(w.ctx)
	w.must(err)
	return sorted(names)
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// room returns a room of the tenant that most tests use.
func room(name string) cluster.RoomID { return cluster.RoomID{Tenant: "default", Room: name} }

// oddRooms returns different rooms whose names an implementation may confuse.
func oddRooms() []cluster.RoomID {
	return []cluster.RoomID{
		{Tenant: "a", Room: "b"}, {Tenant: "b", Room: "a"}, {Tenant: "a", Room: "B"},
		{Tenant: "a/b", Room: "c"}, {Tenant: "a", Room: "b/c"},
		{Tenant: "a:b", Room: "c"}, {Tenant: "a", Room: "b:c"},
		{Tenant: "a", Room: "{b}"}, {Tenant: "a", Room: "*"}, {Tenant: "a", Room: "?"}, {Tenant: "a", Room: " b"},
		{Tenant: "a", Room: "b\u0301"}, {Tenant: "a", Room: "\U0001f986"}, {Tenant: "default", Room: "b"},
	}
}
