package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// tenants returns settings with tenants of these names. Each tenant has the room "r".
func tenants(names ...string) engine.Settings {
	var s engine.Settings
	for _, name := range names {
		s.Tenants = append(s.Tenants, engine.TenantConfig{Name: name, Paths: []string{"/" + name}, StartingRooms: []string{"r"}})
	}
	return s
}

func (n *node) swap(s engine.Settings) {
	n.w.Helper()
	n.w.must(n.Swap(n.w.Context(), s, nil), nil)
}

func TestARemovedTenantIsClosedAndOthersAreNot(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Tenants = tenants("default", "acme").Tenants })
		var left []string
		for _, h := range []hook.Hook{hook.Leave, hook.Disconnect} {
			n.on(h, func(ev *hook.Event) hook.Verdict {
				left = append(left, fmt.Sprint(ev.Hook, " ", ev.Tenant, " ", ev.Room, ev.Cause))
				return allow()
			})
		}
		stays := n.client().do(roomAdd("r"))
		goes := n.open(wire.WebSocket, engine.ReservationRequest{Tenant: "acme"}).do(roomAdd("r"))
		goes.heard()
		between := false
		err := n.Swap(w.Context(), tenants("default", "bolt"), func() {
			between = true
			if len(left) != 2 {
				w.Errorf("rules are changed before all have left: %v", left)
			}
			if got, _ := n.Match("", "/bolt/ws"); got != "default" {
				w.Errorf("a new tenant is reached before its rules are there: %q", got)
			}
			if _, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "acme"}); err == nil {
				w.Error("a tenant that goes lets somebody in")
			}
		})
		w.must(err, nil)
		if want := "[leave acme rdisconnect disconnect acme ]"; fmt.Sprint(left) != want || !between {
			w.Errorf("left %v, want %s", left, want)
		}
		<-goes.Gone
		if heard := goes.heard(); fmt.Sprint(heard) != "[bye tenant removed (3505)]" {
			w.Errorf("the leaving client received %q", heard)
		}
		if got, _ := n.Match("", "/acme/ws"); got != "default" {
			w.Errorf("the removed tenant is found: %q", got)
		}
		if _, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "acme"}); err == nil {
			w.Error("the removed tenant lets somebody in")
		}
		n.open(wire.WebSocket, engine.ReservationRequest{Tenant: "bolt"}).do(roomAdd("r"))
		stays.heard()
		<-stays.Begin(say("r", "here"))
		if heard := strings.Join(stays.heard(), " "); !strings.Contains(heard, "here") {
			w.Errorf("the remaining client received %q", heard)
		}
		n.swap(tenants("default"))
	})
}

func TestNewLimitsApplyToOpenConnections(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client().do(roomAdd("r"))
		a.heard()
		s := tenants("default")
		s.Tenants[0].StartingRooms = []string{"r", "q"}
		s.Limits = engine.Limits{RoomsPerConnection: 1, MessageBytes: 64, Connections: 1, OutboxBytes: 4 << 10}
		n.swap(s)
		<-a.Begin(roomAdd("q"))
		<-a.Begin(say("r", strings.Repeat("x", 65)))
		heard := strings.Join(a.heard(), " ")
		for _, want := range []string{"too many rooms (at most 1)", "message too large"} {
			if !strings.Contains(heard, want) {
				w.Errorf("received %q, want %q", heard, want)
			}
		}
		if _, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"}); err == nil || err.Error() != "too many connections" {
			w.Errorf("one too many is let in: %v", err)
		}
		a.Sink.Room(0)
		for range 5 {
			w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", []byte(`"`+strings.Repeat("x", 1<<10)+`"`))), nil)
		}
		<-a.Gone
		if n.Stats().SlowReaders != 1 {
			w.Error("the new bound of the outbox does not hold")
		}
	})
}

func TestConnectionsOfAnAddressAreCountedBeforeThereIsALimit(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		from := engine.ReservationRequest{Tenant: "default", RemoteIP: "10.0.0.9"}
		n.open(wire.WebSocket, from)
		s := tenants("default")
		s.Limits.ConnectionsPerIP = 1
		n.swap(s)
		if _, err := n.tryOpen(wire.WebSocket, from); err == nil {
			w.Error("the second is let in")
		}
	})
}

func TestNewStartingRoomsAreMadeAndDestroyedOnesStayAway(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.must(n.DestroyRoom(w.Context(), in("q")), nil)
		s := tenants("default")
		s.Tenants[0].StartingRooms = []string{"r", "q", "new"}
		n.swap(s)
		rooms, _, err := n.Rooms(w.Context(), "default", cluster.RoomQuery{Limit: 10})
		if fmt.Sprint(rooms) != "[new r]" || err != nil {
			w.Errorf("rooms %v, %v", rooms, err)
		}
	})
}

// countedRooms counts the calls of Ensure.
type countedRooms struct {
	cluster.Rooms
	calls, rooms int
}

func (r *countedRooms) Ensure(ctx context.Context, rooms []cluster.RoomID) error {
	r.calls, r.rooms = r.calls+1, r.rooms+len(rooms)
	return r.Rooms.Ensure(ctx, rooms)
}

// TestStartingRoomsOfAllTenantsTakeOneCall checks that the start and a swap create the starting rooms of
// all tenants in one call of the cluster, and that a swap without new rooms makes no call.
func TestStartingRoomsOfAllTenantsTakeOneCall(t *testing.T) {
	inWorld(t, func(w *world) {
		counted := &countedRooms{}
		of := func(n int) (s engine.Settings) {
			for i := range n {
				s.Tenants = append(s.Tenants, engine.TenantConfig{Name: fmt.Sprint("t", i), StartingRooms: []string{"r", "q"}})
			}
			return s
		}
		n := w.node("n", func(c *engine.Config) {
			c.Tenants = of(1000).Tenants
			counted.Rooms, c.Cluster.Rooms = c.Cluster.Rooms, counted
		})
		if counted.calls != 1 || counted.rooms != 2000 {
			w.Errorf("the start created %d rooms in %d calls", counted.rooms, counted.calls)
		}
		n.swap(of(1500))
		n.swap(of(1400))
		if counted.calls != 2 || counted.rooms != 3000 {
			w.Errorf("%d rooms in %d calls after the swaps", counted.rooms, counted.calls)
		}
	})
}

// brokenRooms fails to create rooms.
type brokenRooms struct{ cluster.Rooms }

func (brokenRooms) Ensure(context.Context, []cluster.RoomID) error { return cluster.ErrUnavailable }

func TestASwapThatFailsChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		broken := &brokenRooms{}
		n := w.node("n", func(c *engine.Config) {
			c.Tenants[0].StartingRooms = nil
			broken.Rooms, c.Cluster.Rooms = c.Cluster.Rooms, broken
		})
		a := n.client()
		for want, s := range map[string]engine.Settings{
			`create 1 starting rooms: cluster unavailable`: tenants("acme"),
			"tenant b is configured twice":                 tenants("b", "b"),
		} {
			s.Limits.Connections = 1
			err := n.Swap(w.Context(), s, func() { w.Error("the rules are changed") })
			if err == nil || err.Error() != want {
				w.Errorf("got %v, want %s", err, want)
			}
		}
		if got := n.Limits().Connections; got != 100_000 {
			w.Errorf("the limit is %d", got)
		}
		<-a.Begin(action("nothing", ""))
		if heard := a.heard(); len(heard) != 1 {
			w.Errorf("received %q", heard)
		}
	})
}

func TestATenantThatComesBackSharesTheRoomsThatOthersStillLeave(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Tenants = tenants("default", "acme").Tenants })
		going := make(chan struct{})
		n.on(hook.Leave, func(*hook.Event) hook.Verdict { <-going; return allow() })
		acme := engine.ReservationRequest{Tenant: "acme"}
		goes := n.open(wire.WebSocket, acme).do(roomAdd("r"))
		start := time.Now()
		n.swap(tenants("default")) // stops waiting after retireTime
		if took := time.Since(start); took != 5*time.Second {
			w.Errorf("the swap took %v", took)
		}
		n.swap(tenants("default", "acme"))
		comes := n.open(wire.WebSocket, acme).do(roomAdd("r"))
		close(going)
		<-goes.Gone
		comes.heard()
		w.must(errorOf(n.Broadcast(w.Context(), cluster.RoomID{Tenant: "acme", Room: "r"}, "", []byte(`"still"`))), nil)
		synctest.Wait()
		if heard := comes.heard(); len(heard) != 1 || !strings.Contains(heard[0], "still") {
			w.Errorf("received %q", heard)
		}
	})
}

// TestSwapsDuringTraffic lets the race detector check swaps while clients connect. Places
// that are not released would fail the test at its end.
func TestSwapsDuringTraffic(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Tenants = tenants("default", "acme").Tenants })
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 40 {
					seat, err := n.Reserve(engine.ReservationRequest{Tenant: "acme", RemoteIP: "10.0.0.1"})
					if err != nil {
						continue
					}
					sink := enginetest.NewSink(wire.WebSocket)
					c, err := seat.Open(context.Background(), engine.Info{Dialect: wire.WebSocket}, sink)
					if why := (engine.Close{}); err != nil {
						if !errors.As(err, &why) || why != engine.CloseTenant {
							w.Errorf("Open: %v", err)
						}
						continue
					}
					for _, text := range []string{roomAdd("r"), say("r", "x")} {
						r, _ := wire.ParseRequest([]byte(text))
						c.Do(context.Background(), r)
					}
					c.Close(engine.CloseQuit)
					c.Done(context.Background())
				}
			})
		}
		for i := range 60 {
			s := tenants("default", "acme")
			s.Limits.OutboxBytes = 1<<20 + i
			if i%2 == 1 {
				s = tenants("default")
			}
			n.swap(s)
		}
		all.Wait()
		n.swap(tenants("default"))
	})
}
