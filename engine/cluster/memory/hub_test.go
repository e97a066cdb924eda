package memory

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var hall = cluster.RoomID{Tenant: "default", Room: "hall"}

// recorder is a Handler that records messages.
type recorder struct{ deliver func(payload []byte) }

func (recorder) Expired(context.Context, []byte) {}

func (recorder) Missed(context.Context, cluster.RoomID) {}

func (recorder) Pace(context.Context, cluster.RoomID) {}

func (e recorder) Deliver(_ context.Context, _ cluster.RoomID, _ cluster.Position, payload []byte) {
	e.deliver(payload)
}
func (recorder) Amended(context.Context, cluster.RoomID, cluster.Position, cluster.Amendment) {}

func (e recorder) Answer(context.Context, []byte) ([]byte, error)                 { return nil, nil }
func (e recorder) Lost(context.Context, cluster.RoomID, []cluster.MemberRecord)   {}
func (e recorder) Unannounced(context.Context, cluster.RoomID)                    {}
func (e recorder) Rejoin(context.Context, cluster.RoomID, []cluster.MemberRecord) {}
func deaf([]byte)                                                                 {}

// run runs a node until the test ends or calls stop, which returns the error of Run.
func run(t testing.TB, c cluster.Backend, deliver func([]byte)) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Nodes.Run(ctx, recorder{deliver}) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ran
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesThatNoNodeMayHave checks that a node with an invalid name does not run.
func TestNamesThatNoNodeMayHave(t *testing.T) {
	for _, name := range []string{"", "Moot", "a_b", "a b", "ä", "a/b", string(make([]byte, 64))} {
		c := New().Node(name)
		if err := c.Nodes.Run(t.Context(), recorder{deaf}); err == nil {
			t.Errorf("%q may run", name)
		}
		if err := c.Broker.Publish(t.Context(), hall, nil, cluster.Retention{}); !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("%q publishes: %v", name, err)
		}
	}
}

// TestOneNodeOfAName checks that a second node with the name of a running node does not run, and
// that a handle runs once.
func TestOneNodeOfAName(t *testing.T) {
	hub := New()
	first := hub.Node("a")
	stop := run(t, first, deaf)
	must(t, first.Broker.Subscribe(t.Context(), hall))
	if err := hub.Node("a").Nodes.Run(t.Context(), recorder{deaf}); err == nil {
		t.Error("two nodes of one name run")
	}
	if err := first.Nodes.Run(t.Context(), recorder{deaf}); err == nil {
		t.Error("a handle runs twice")
	}
	must(t, stop())
}

// TestNodeThatDoesNotRun checks which calls of a node fail before and after Run.
func TestNodeThatDoesNotRun(t *testing.T) {
	hub := New()
	c := hub.Node("a")
	must(t, c.Rooms.Create(t.Context(), hall))
	check := func(state string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, callErr := c.Nodes.Call(ctx, "a", nil)
		for what, err := range map[string]error{
			"publish":   c.Broker.Publish(ctx, hall, nil, cluster.Retention{}),
			"subscribe": c.Broker.Subscribe(ctx, hall),
			"add":       c.Presence.Add(ctx, hall, cluster.MemberRecord{ID: "1"}),
			"call":      callErr,
		} {
			if !errors.Is(err, cluster.ErrUnavailable) {
				t.Errorf("%s %s: %v, want unavailable", what, state, err)
			}
		}
		must(t, c.Broker.Unsubscribe(ctx, hall))
		must(t, c.Presence.Remove(ctx, hall, "1"))
	}
	check("before Run")
	stop := run(t, c, deaf)
	must(t, c.Broker.Subscribe(t.Context(), hall))
	must(t, stop())
	check("after Run")
}

// TestKilledNode checks that Run and later calls of a killed node return errors.
func TestKilledNode(t *testing.T) {
	hub := New()
	if err := hub.Kill("a"); !errors.Is(err, cluster.ErrNoNode) {
		t.Errorf("kill nobody: %v", err)
	}
	a := hub.Node("a")
	ran := make(chan error, 1)
	go func() { ran <- a.Nodes.Run(t.Context(), recorder{deaf}) }()
	must(t, a.Broker.Subscribe(t.Context(), hall))
	must(t, hub.Kill("a"))
	if err := <-ran; err == nil {
		t.Error("Run of a killed node returns nil")
	}
	if err := a.Broker.Publish(t.Context(), hall, nil, cluster.Retention{}); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a ghost publishes: %v", err)
	}
}

// TestLateComersOfADeadNode checks that no member and no subscription is left if a goroutine adds
// a member and subscribes after its node has died.
func TestLateComersOfADeadNode(t *testing.T) {
	hub := New()
	a := hub.Node("a")
	stop := run(t, a, deaf)
	must(t, a.Rooms.Create(t.Context(), hall))
	must(t, a.Broker.Subscribe(t.Context(), hall))
	s := hub.find("a")
	must(t, stop())
	if err := hub.directory.add(hall, cluster.MemberRecord{ID: "1"}, s); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("add: %v", err)
	}
	if err := hub.topics.subscribe(hall, s); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("subscribe: %v", err)
	}
	if s.enter() {
		t.Error("the handler of a dead node is called")
	}
}

// TestRoomKeepsItsOrder checks that the next message waits if a node subscribes to a room again
// while the room's last message is still being delivered.
func TestRoomKeepsItsOrder(t *testing.T) {
	a := New().Node("a")
	within, release := make(chan struct{}), make(chan struct{})
	run(t, a, func(payload []byte) {
		if string(payload) == "1" {
			close(within)
			<-release
		}
	})
	must(t, a.Broker.Subscribe(t.Context(), hall))
	sent := make(chan error, 1)
	go func() { sent <- a.Broker.Publish(t.Context(), hall, []byte("1"), cluster.Retention{}) }()
	<-within
	must(t, a.Broker.Unsubscribe(t.Context(), hall))
	must(t, a.Broker.Subscribe(t.Context(), hall))

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := a.Broker.Publish(ctx, hall, []byte("2"), cluster.Retention{})
	if !errors.Is(err, cluster.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a message for a busy room: %v", err)
	}
	close(release)
	must(t, <-sent)
}

// TestHandlerMayLeaveTheRoom checks that a handler may remove members during Deliver.
func TestHandlerMayLeaveTheRoom(t *testing.T) {
	a := New().Node("a")
	heard := 0
	run(t, a, func([]byte) {
		heard++
		must(t, a.Presence.Remove(t.Context(), hall, "1"))
		must(t, a.Broker.Unsubscribe(t.Context(), hall))
	})
	must(t, a.Rooms.Create(t.Context(), hall))
	must(t, a.Broker.Subscribe(t.Context(), hall))
	must(t, a.Presence.Add(t.Context(), hall, cluster.MemberRecord{ID: "1"}))
	for range 2 {
		must(t, a.Broker.Publish(t.Context(), hall, []byte("1"), cluster.Retention{}))
	}
	if heard != 1 {
		t.Errorf("received %d, want 1", heard)
	}
}

// TestNothingIsKeptAfterAllNodesHaveLeft checks that no topic, roster, tenant or node is left when all
// nodes have left.
func TestNothingIsKeptAfterAllNodesHaveLeft(t *testing.T) {
	hub := New()
	a, b := hub.Node("a"), hub.Node("b")
	stopA, stopB := run(t, a, deaf), run(t, b, deaf)
	for _, name := range []string{"1", "2", "3"} {
		room := cluster.RoomID{Tenant: "default", Room: name}
		must(t, a.Rooms.Create(t.Context(), room))
		for i, c := range []cluster.Backend{a, b} {
			must(t, c.Broker.Subscribe(t.Context(), room))
			must(t, c.Presence.Add(t.Context(), room, cluster.MemberRecord{ID: c.Nodes.Self()}))
			must(t, c.Broker.Publish(t.Context(), room, nil, cluster.Retention{}))
			if i == 0 {
				must(t, c.Broker.Unsubscribe(t.Context(), room))
				must(t, c.Presence.Remove(t.Context(), room, "a"))
			}
		}
		must(t, a.Rooms.Destroy(t.Context(), room))
	}
	must(t, stopB())
	must(t, stopA())
	if n := len(hub.topics.byRoom); n != 0 {
		t.Errorf("%d topics are kept", n)
	}
	if n := len(hub.directory.rosters) + len(hub.directory.tenants); n != 0 {
		t.Errorf("%d rosters and tenants are kept", n)
	}
	if n := len(hub.nodes); n != 0 {
		t.Errorf("%d nodes are kept", n)
	}
}

func TestPublishDoesNotAllocate(t *testing.T) {
	a := New().Node("a")
	run(t, a, deaf)
	must(t, a.Broker.Subscribe(t.Context(), hall))
	payload := []byte("quack")
	if n := testing.AllocsPerRun(1000, func() { _ = a.Broker.Publish(t.Context(), hall, payload, cluster.Retention{}) }); n != 0 {
		t.Errorf("a message costs %v allocations", n)
	}
}
