package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// In these tests the tenant acme tries to observe, reach, slow down or exhaust the tenant
// default.

// twoTenants gives the node a second tenant, acme, with the settings of the first.
func twoTenants(change ...func(acme *engine.TenantConfig)) func(*engine.Config) {
	return func(c *engine.Config) {
		acme := c.Tenants[0]
		acme.Name = "acme"
		for _, f := range change {
			f(&acme)
		}
		c.Tenants = append(c.Tenants, acme)
	}
}

func (n *node) of(tenant string) *client {
	n.w.Helper()
	return n.open(wire.WebSocket, engine.ReservationRequest{Tenant: tenant})
}

func TestRoomsOfTwoTenantsMayHaveOneName(t *testing.T) {
	inWorld(t, func(w *world) {
		n, other := w.node("n", twoTenants()), w.node("m", twoTenants())
		ours, far, theirs := n.of("default"), other.of("default"), n.of("acme")
		for _, c := range []*client{ours, far, theirs} {
			c.do(roomAdd("r"))
		}
		theirs.says(say("r", "hello"), ok, chat("r", theirs.ID(), "hello"))
		ours.hears()
		far.hears()
		n.has("r", ours, far)
		if s, err := n.RoomStatus(w.Context(), cluster.RoomID{Tenant: "acme", Room: "r"}, "", 0); err != nil || s.MembersCount != 1 || s.Members[0].ID != theirs.ID() {
			w.Errorf("acme's room is %+v, %v", s, err)
		}
		w.must(n.DestroyRoom(w.Context(), cluster.RoomID{Tenant: "acme", Room: "r"}), nil)
		theirs.hears(chat("r", "0", "this room has been deleted"))
		n.has("r", ours, far)
		ours.hears()
		w.must(n.CreateRoom(w.Context(), cluster.RoomID{Tenant: "acme", Room: "secret"}), nil)
		ours.says(roomAdd("secret"), failed("room does not exist"))
		if rooms, _, err := n.Rooms(w.Context(), "default", cluster.RoomQuery{Limit: 100}); err != nil || fmt.Sprint(rooms) != "[q r]" {
			w.Errorf("the rooms are %v, %v", rooms, err)
		}
	})
}

// TestConnectionsAreOutOfReachOfOtherTenants checks that a tenant that knows the id of
// another tenant's connection cannot reach it: not by the server API, not by a module, and
// not from another node.
func TestConnectionsAreOutOfReachOfOtherTenants(t *testing.T) {
	inWorld(t, func(w *world) {
		n, other := w.node("n", twoTenants()), w.node("m", twoTenants())
		victim := n.of("default").do(roomAdd("r"))
		theirs := n.of("acme").do(roomAdd("r"))
		room := cluster.RoomID{Tenant: "acme", Room: "r"}
		for _, node := range []*node{n, other} {
			for name, reach := range map[string]func() error{
				"details":    func() error { _, err := node.Connection(w.Context(), "acme", victim.ID()); return err },
				"message":    func() error { return node.SendMessage(w.Context(), "acme", victim.ID(), []byte(`1`)) },
				"property":   func() error { return node.SetProperty(w.Context(), "acme", victim.ID(), "p", []byte(`1`)) },
				"add":        func() error { return node.AddMember(w.Context(), room, victim.ID()) },
				"remove":     func() error { return node.RemoveMember(w.Context(), room, victim.ID()) },
				"disconnect": func() error { return node.Disconnect(w.Context(), "acme", victim.ID()) },
				"speak":      func() error { return errorOf(node.Broadcast(w.Context(), room, victim.ID(), []byte(`"x"`))) },
			} {
				if err := reach(); !errors.Is(err, engine.ErrNoConnection) {
					w.Errorf("%s: %v", name, err)
				}
			}
		}
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Caused {
				return allow()
			}
			return allow(hook.Effect{Emit: &hook.Emit{Connection: victim.ID(), Message: wire.Message{Text: "psst"}}}, emit("r", "from a module"))
		})
		theirs.says(say("r", "x"), ok, chat("r", theirs.ID(), "x"), chat("r", "0", "from a module"))
		victim.hears()
		if got := n.Stats().EmitsDropped; got != 1 {
			w.Errorf("%d effects were dropped, want the one to another tenant", got)
		}
		victim.says(roomAdd("r"), failed("connection already in this room (r)"))
	})
}

func TestATenantOfThatNameIsNeeded(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		_, err := n.Reserve(engine.ReservationRequest{Tenant: "acme"})
		w.must(err, errors.New(`there is no tenant "acme" here`))
		w.must(n.CreateRoom(w.Context(), cluster.RoomID{Tenant: "acme", Room: "r"}), errors.New(`no such tenant: "acme"`))
	})
}

// TestATenantCannotTakeAllConnections checks that a tenant that opens many connections
// leaves the other tenant its guaranteed places.
func TestATenantCannotTakeAllConnections(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", twoTenants(), func(c *engine.Config) { c.Limits.Connections = 20 })
		seats := map[string][]*engine.Reservation{}
		fill := func(tenant string) int {
			for {
				s, err := n.Reserve(engine.ReservationRequest{Tenant: tenant})
				if err != nil {
					return len(seats[tenant])
				}
				seats[tenant] = append(seats[tenant], s)
			}
		}
		if theirs, ours := fill("acme"), fill("default"); theirs != 15 || ours != 5 {
			w.Errorf("acme has %d places and default %d, want 15 and 5", theirs, ours)
		}
		for _, s := range seats["acme"] {
			s.Release()
		}
		seats["acme"] = nil
		if ours, theirs := fill("default"), fill("acme"); ours != 15 || theirs != 5 {
			w.Errorf("default has %d places and acme %d, want 15 and 5", ours, theirs)
		}
		for _, all := range seats {
			for _, s := range all {
				s.Release()
			}
		}
	})
}

// TestNoPlacesAreReservedAboveALimit checks that no places are reserved above a tenant's limit,
// and that the only tenant of a node may use all places.
func TestNoPlacesAreReservedAboveALimit(t *testing.T) {
	for want, change := range map[int]func(*engine.Config){
		20: func(*engine.Config) {},
		18: twoTenants(func(acme *engine.TenantConfig) { acme.Limits.Connections = 2 }),
	} {
		inWorld(t, func(w *world) {
			n := w.node("n", change, func(c *engine.Config) { c.Limits.Connections = 20 })
			var seats []*engine.Reservation
			for {
				s, err := n.Reserve(engine.ReservationRequest{Tenant: "default"})
				if err != nil {
					break
				}
				seats = append(seats, s)
			}
			if len(seats) != want {
				w.Errorf("%d places, want %d", len(seats), want)
			}
			for _, s := range seats {
				s.Release()
			}
		})
	}
}

// TestAddressesAreCountedByTenant checks that the limit for one address counts the
// connections of each tenant separately.
func TestAddressesAreCountedByTenant(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", twoTenants(), func(c *engine.Config) { c.Limits.ConnectionsPerIP = 1 })
		from := func(tenant string) (*engine.Reservation, error) {
			return n.Reserve(engine.ReservationRequest{Tenant: tenant, RemoteIP: "10.0.0.1"})
		}
		a, err := from("acme")
		w.must(err, nil)
		_, err = from("acme")
		w.must(err, errors.New("too many connections from this address"))
		b, err := from("default")
		w.must(err, nil)
		a.Release()
		b.Release()
	})
}

func TestATenantHasLimitsOfItsOwn(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", twoTenants(func(acme *engine.TenantConfig) {
			acme.Limits = engine.Limits{RoomsPerConnection: 1, MessageBytes: 5}
		}))
		ours, theirs := n.of("default").do(roomAdd("r"), roomAdd("q")), n.of("acme").do(roomAdd("r"))
		theirs.says(roomAdd("q"), failed("too many rooms (at most 1)"))
		n.has("q", ours)
		theirs.says(say("r", "123456"), `{"status":"Error: message too large","error":"Error: message too large","context":"response","data":{"message":"123456"},"messageId":1}`)
		ours.says(say("r", "123456"), ok, chat("r", ours.ID(), "123456"))
	})
}

func TestATenantSaysOnlySoMuch(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", twoTenants(func(acme *engine.TenantConfig) { acme.MessagesPerSecond = 2 }))
		ours, a, b := n.of("default").do(roomAdd("r")), n.of("acme").do(roomAdd("r")), n.of("acme").do(roomAdd("q"))
		for range 2 {
			a.do(say("r", "x"))
			b.do(say("q", "x"))
		}
		const limited = `{"status":"Error: rate limit exceeded","error":"Error: rate limit exceeded","context":"response","data":{"message":"x"},"retryAfter":500,"messageId":1}`
		a.says(say("r", "x"), limited)
		b.says(say("q", "x"), limited)
		if got := n.Stats(); got.RateLimited != 2 || got.Messages != 4 {
			w.Errorf("%d messages, %d refused", got.Messages, got.RateLimited)
		}
		ours.says(say("r", "x"), ok, chat("r", ours.ID(), "x"))
		time.Sleep(500 * time.Millisecond)
		a.says(say("r", "y"), ok, `{"message":"y","room":"r","from":"`+a.ID()+`","context":"user","sentAt":946684800500}`)
	})
}

// TestMessagesOfModulesAreLimited checks that messages that modules emit count against the
// tenant's rate limit.
func TestMessagesOfModulesAreLimited(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Tenants[0].MessagesPerSecond = 2 })
		n.on(hook.Join, func(*hook.Event) hook.Verdict {
			return allow(emit("q", "1"), emit("q", "2"), emit("q", "3"), emit("q", "4"), emit("q", "5"), emit("q", "6"))
		})
		n.client().do(roomAdd("r"))
		if got := n.Stats(); got.Messages != 4 || got.EmitsDropped != 2 {
			w.Errorf("%d were said, %d dropped", got.Messages, got.EmitsDropped)
		}
	})
}

// TestABlockedRoomDoesNotDelayOtherTenants checks that a rule of one tenant that does not return
// does not delay a room of another tenant.
func TestABlockedRoomDoesNotDelayOtherTenants(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", twoTenants())
		stop := make(chan struct{})
		n.mw.On(hook.OnSayReceive, func(_ context.Context, ev *hook.Event) hook.Verdict {
			if ev.Tenant == "acme" {
				<-stop
			}
			return allow()
		})
		theirs, ours := n.of("acme").do(roomAdd("r")), n.of("default").do(roomAdd("r"))
		stuck := theirs.Begin(say("r", "x"))
		ours.says(say("r", "y"), ok, chat("r", ours.ID(), "y"))
		close(stop)
		<-stuck
	})
}

// TestSlowReadersDoNotAffectOtherTenants checks that slow readers of one tenant do not affect
// another tenant.
func TestSlowReadersDoNotAffectOtherTenants(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", twoTenants(func(acme *engine.TenantConfig) { acme.Limits.OutboxBytes = 1000 }))
		slow, speaker := n.of("acme").do(roomAdd("r")), n.of("acme").do(roomAdd("r"))
		ours := n.of("default").do(roomAdd("r"))
		slow.Sink.Room(0)
		for range 5 {
			speaker.do(say("r", strings.Repeat("x", 300)))
			ours.says(say("r", "y"), ok, chat("r", ours.ID(), "y"))
		}
		<-slow.Gone
		if got := n.Stats().SlowReaders; got != 1 {
			w.Errorf("%d slow readers", got)
		}
	})
}
