package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

func TestWelcomeIsHeardFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Name = "acme" })
		n.on(hook.Connect, func(ev *hook.Event) hook.Verdict {
			return allow(property("vip", "true"), hook.Effect{Emit: &hook.Emit{Connection: ev.Conn.ID, Message: jsonMessage(`{"hint":1}`)}})
		})
		c := n.client()
		sent, _ := c.Sink.Sent()
		if want := `[{"welcome":"Welcome to the acme api","context":"api"} {"context":"api","hint":1}]`; fmt.Sprint(sent) != want {
			w.Errorf("received %v, want %s", sent, want)
		}
		if got := string(c.Profile().Property("vip")); got != "true" {
			w.Errorf("the property is %q", got)
		}
	})
}

func TestConnectMayBeDenied(t *testing.T) {
	for want, verdict := range map[engine.Close]hook.Verdict{
		{Code: 3501, Reason: "members only"}: deny("members only"),
		{Code: 3501, Reason: "denied"}:       {Outcome: hook.Dropped},
		engine.CloseFailed:                   {Outcome: hook.Failed, Reason: "secret"},
	} {
		inWorld(t, func(w *world) {
			n := w.node("n")
			ended := 0
			n.on(hook.Connect, func(*hook.Event) hook.Verdict { return verdict })
			n.on(hook.Disconnect, func(*hook.Event) hook.Verdict { ended++; return allow() })
			_, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"})
			if err != want {
				w.Errorf("got %v, want %v", err, want)
			}
			if n.Reservations() != 0 || n.Stats().Connections != 0 || ended != 0 {
				w.Errorf("%d seats are taken, disconnect ran %d times", n.Reservations(), ended)
			}
		})
	}
}

func TestDisconnectRunsAfterEveryRoomWasLeft(t *testing.T) {
	for _, verdict := range []hook.Verdict{allow(emit("q", "gone")), deny("stay"), {Outcome: hook.Failed}} {
		inWorld(t, func(w *world) {
			n := w.node("n")
			var log []string
			for _, h := range []hook.Hook{hook.Leave, hook.Disconnect} {
				n.on(h, func(ev *hook.Event) hook.Verdict {
					log = append(log, ev.Hook.String()+" "+ev.Room)
					if h == hook.Disconnect {
						return verdict
					}
					return allow()
				})
			}
			a, b := n.client().do(roomAdd("r"), roomAdd("q")), n.client().do(roomAdd("q"))
			a.HangUp()
			if fmt.Sprint(log) != "[leave r leave q disconnect ]" {
				w.Errorf("hooks ran %v", log)
			}
			if verdict.Outcome == hook.Allowed {
				b.hears(chat("q", "0", "gone"))
			}
			w.must(n.SendMessage(w.Context(), "default", a.ID(), []byte(`{}`)), fmt.Errorf("no such connection: %q", a.ID()))
		})
	}
}

func TestSeatsAreLimited(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) {
			c.Tenants = append(c.Tenants, engine.TenantConfig{Name: "acme", Limits: engine.Limits{Connections: 1}})
			c.Limits.Connections = 4
			c.Limits.ConnectionsPerIP = 1
		})
		seat := func(tenant, ip, refusal string) *engine.Reservation {
			w.Helper()
			s, err := n.Reserve(engine.ReservationRequest{Tenant: tenant, RemoteIP: ip})
			var r *engine.Refusal
			if refusal == "" && err != nil || refusal != "" && (!errors.As(err, &r) || r.Message != refusal || r.RetryAfter != 5*time.Second) {
				w.Errorf("got %+v, want %q", err, refusal)
			}
			return s
		}
		s1 := seat("default", "10.0.0.1", "")
		s2 := seat("acme", "10.0.0.1", "")
		seat("default", "10.0.0.1", "too many connections from this address")
		seat("acme", "10.0.0.2", "too many connections")
		s3 := seat("default", "", "")
		s4 := seat("default", "", "") // connections without an address have no limit for their address
		seat("default", "10.0.0.2", "too many connections")
		if got := n.Stats().Refused; got != 3 {
			w.Errorf("%d were refused, want 3", got)
		}
		s1.Release()
		s1.Release() // the second call does nothing
		seat("default", "10.0.0.1", "").Release()
		if s2.Tenant() != "acme" {
			w.Errorf("the tenant is %s", s2.Tenant())
		}
		for _, s := range []*engine.Reservation{s2, s3, s4} {
			s.Release()
		}
		if n.Reservations() != 0 {
			w.Errorf("%d seats are taken", n.Reservations())
		}
	})
}

func TestReleaseAfterOpenDoesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		s, err := n.Reserve(engine.ReservationRequest{Tenant: "default"})
		w.must(err, nil)
		sink := enginetest.NewSink(wire.WebSocket)
		c, err := s.Open(w.Context(), engine.Info{Fingerprint: "f"}, sink)
		w.must(err, nil)
		s.Release()
		if n.Reservations() != 1 || c.Profile().Fingerprint != "f" {
			w.Errorf("%d seats, fingerprint %s", n.Reservations(), c.Profile().Fingerprint)
		}
		c.Done(w.Context())
	})
}

func TestShutdownClosesInBatches(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		var clients []*client
		for range 100 {
			clients = append(clients, n.client().do(roomAdd("r")))
		}
		begun := time.Now()
		over := make(chan error, 1)
		go func() { over <- n.Shutdown(w.Context(), 20*time.Second) }()
		for second := range 20 {
			synctest.Wait()
			if left := n.Stats().Connections; left != 95-5*second {
				w.Errorf("after %d s %d connections are left, want %d", second, left, 95-5*second)
			}
			time.Sleep(time.Second)
		}
		w.must(<-over, nil)
		if took := time.Since(begun); took > 20*time.Second {
			w.Errorf("it took %v", took)
		}
		times := map[string]int{}
		for _, c := range clients {
			times[strings.Join(c.heard(), "\n")]++
		}
		for _, after := range []string{"10ms", "20ms", "30ms", "40ms", "50ms"} { // a batch has five clients
			if bye := "bye shutdown (3001) after " + after; times[bye] != 20 {
				w.Errorf("%q reached %d clients, want 20 of %v", bye, times[bye], times)
			}
		}
		_, err := n.Reserve(engine.ReservationRequest{Tenant: "default"})
		var r *engine.Refusal
		if !errors.As(err, &r) || r.Message != "the server is shutting down" || r.RetryAfter == 0 {
			w.Errorf("a seat after the end: %v", err)
		}
	})
}

// TestManyClientsComeBackWithinASecond checks that clients that are closed at once come back at
// different times, none later than a second.
func TestManyClientsComeBackWithinASecond(t *testing.T) {
	for _, many := range []int{100, 8000} {
		inWorld(t, func(w *world) {
			n := w.node("n")
			var clients []*client
			for range many {
				clients = append(clients, n.client())
			}
			w.must(n.Shutdown(w.Context(), 0), nil)
			times := map[time.Duration]int{}
			for _, c := range clients {
				text, _ := strings.CutPrefix(strings.Join(c.heard(), "\n"), "bye shutdown (3001) after ")
				after, err := time.ParseDuration(text)
				w.must(err, nil)
				times[after.Truncate(100*time.Millisecond)]++
			}
			for after := time.Duration(0); after < time.Second; after += 100 * time.Millisecond {
				if share := times[after] * 80 / many; share < 7 || share > 8 {
					w.Errorf("%d of %d clients come back within 100ms after %v", times[after], many, after)
				}
			}
		})
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := n.slowActions()
		a := n.client().do(action("slow", ""))
		ctx, cancel := context.WithTimeout(w.Context(), 3*time.Second)
		defer cancel()
		w.must(n.Shutdown(ctx, time.Second), context.DeadlineExceeded)
		close(gate)
		<-a.Gone
		w.must(n.Shutdown(w.Context(), time.Second), nil)
	})
}

func TestSeatTakenBeforeShutdownDoesNotOpenAfterIt(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		s, err := n.Reserve(engine.ReservationRequest{Tenant: "default"})
		w.must(err, nil)
		w.must(n.Shutdown(w.Context(), 0), nil)
		_, err = s.Open(w.Context(), engine.Info{}, enginetest.NewSink(wire.WebSocket))
		w.must(err, engine.CloseShutdown)
	})
}

func TestRunFailsWithItsNode(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("n")
		e, err := engine.New(engine.Config{Cluster: w.hub.Node("n")})
		w.must(err, nil)
		w.must(e.Run(w.Context()), errors.New(`a node named "n" is running`))
	})
}

func TestNewErrors(t *testing.T) {
	for want, tenants := range map[string][]engine.TenantConfig{
		"tenant a is configured twice":                     {{Name: "a"}, {Name: "a"}},
		`tenant a: starting room "": invalid room name`:    {{Name: "a", StartingRooms: []string{""}}},
		`tenant a: starting room "x\n": invalid room name`: {{Name: "a", StartingRooms: []string{"x\n"}}},
	} {
		_, err := engine.New(engine.Config{Tenants: tenants, Cluster: memory.New().Node("n")})
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestQuitDeliversEarlierMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := n.slowActions()
		a := n.client().do(roomAdd("r"))
		<-a.Begin(action("slow", ""))
		<-a.Begin(say("r", "one"))
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", []byte(`"two"`))), nil)
		quit := a.Begin(event("quit"))
		synctest.Wait()
		close(gate)
		<-quit
		<-a.Gone
		heard := a.heard()
		if last := len(heard) - 1; len(heard) != 5 || heard[last] != "bye quit (1000)" {
			w.Errorf("received %q, want three answers and messages of before, then the farewell", heard)
		}
	})
}

// lateNodes joins the cluster when goOn is closed, like a node whose name is still in use.
type lateNodes struct {
	cluster.Nodes
	goOn chan struct{}
}

func (l *lateNodes) Run(ctx context.Context, h cluster.Handler) error {
	<-l.goOn
	return l.Nodes.Run(ctx, h)
}

// TestNodeIsReadyWhenItIsInTheCluster checks that a node accepts clients once it is in the
// cluster, with and without starting rooms.
func TestNodeIsReadyWhenItIsInTheCluster(t *testing.T) {
	for _, rooms := range [][]string{nil, {"r"}} {
		inWorld(t, func(w *world) {
			cluster := w.hub.Node("late")
			late := &lateNodes{cluster.Nodes, make(chan struct{})}
			cluster.Nodes = late
			e, err := engine.New(engine.Config{Tenants: []engine.TenantConfig{{Name: "default", StartingRooms: rooms}}, Cluster: cluster})
			if err != nil {
				w.Fatal(err)
			}
			ctx, stop := context.WithCancel(w.Context())
			ran := make(chan error, 1)
			go func() { ran <- e.Run(ctx) }()
			synctest.Wait()
			if e.Accepting() == nil {
				w.Errorf("with the starting rooms %q clients are let in before the node is in the cluster", rooms)
			}
			close(late.goOn)
			<-e.Ready()
			if names, err := cluster.Nodes.List(w.Context()); err != nil || len(names) != 1 {
				w.Errorf("a node that is ready lists %q, %v", names, err)
			}
			stop()
			w.must(<-ran, nil)
		})
	}
}
