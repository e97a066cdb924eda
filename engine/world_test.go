package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// world is a test with a cluster and the nodes and clients that it starts. It runs in a
// synctest bubble, whose clock starts at [now] and advances only while all goroutines wait.
type world struct {
	*testing.T
	hub *memory.Hub
}

const now = "946684800000" // the start time of a bubble, in ms since 1970

func inWorld(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) { test(&world{t, memory.New()}) })
}

// node is a running engine.
type node struct {
	*enginetest.Engine
	w        *world
	mw       *enginetest.Middleware
	presence cluster.Presence
	sessions cluster.Sessions
}

// node starts a node with the rooms "r" and "q". The node ends with the test, and must then
// hold no rooms and no places.
func (w *world) node(name string, change ...func(*engine.Config)) *node {
	w.Helper()
	n := &node{w: w, mw: &enginetest.Middleware{}}
	var tenants []engine.TenantConfig
	w.Cleanup(func() {
		if n.Engine != nil {
			n.holdsNothing(name, tenants)
		}
	})
	n.Engine = enginetest.Start(w, func(c *engine.Config) {
		c.Tenants[0].StartingRooms = []string{"r", "q"}
		c.Middleware, c.Cluster = n.mw, w.hub.Node(name)
		n.presence, n.sessions = c.Cluster.Presence, c.Cluster.Sessions
		for _, f := range change {
			f(c)
		}
		tenants = c.Tenants
	})
	synctest.Wait()
	return n
}

func (n *node) holdsNothing(name string, tenants []engine.TenantConfig) {
	for _, t := range tenants {
		if held := n.HeldRooms(t.Name); held != 0 {
			n.w.Errorf("%s holds %d rooms of %s at the end", name, held, t.Name)
		}
	}
	if seats := n.Reservations(); seats != 0 {
		n.w.Errorf("%d seats are taken at the end", seats)
	}
	if queues := n.TenantQueues(); queues != 0 {
		n.w.Errorf("the writers have %d queues of tenants at the end", queues)
	}
}

// in returns the id of a room of the tenant "default".
func in(room string) cluster.RoomID { return cluster.RoomID{Tenant: "default", Room: room} }

// members returns the ids of the members of the room in the cluster.
func (n *node) members(room string) []string {
	n.w.Helper()
	s, err := n.RoomStatus(n.w.Context(), in(room), "", 0)
	if err != nil {
		n.w.Fatal(err)
	}
	var ids []string
	for _, m := range s.Members {
		ids = append(ids, m.ID)
	}
	if s.MembersCount != len(ids) {
		n.w.Errorf("%d members are counted, %d are there", s.MembersCount, len(ids))
	}
	return ids
}

// has checks the members of a room.
func (n *node) has(room string, want ...*client) {
	n.w.Helper()
	var ids []string
	for _, c := range want {
		ids = append(ids, c.ID())
	}
	if got := n.members(room); !slices.Equal(got, ids) {
		n.w.Errorf("in %s are %v, want %v", room, got, ids)
	}
}

// on sets the function of a hook of the node.
func (n *node) on(h hook.Hook, f func(ev *hook.Event) hook.Verdict) {
	n.mw.On(h, func(_ context.Context, ev *hook.Event) hook.Verdict { return f(ev) })
}

func deny(reason string) hook.Verdict {
	return hook.Verdict{Outcome: hook.Denied, Reason: reason}
}

func emit(room, text string) hook.Effect {
	return hook.Effect{Emit: &hook.Emit{Room: room, Message: wire.Message{Text: text}}}
}

func property(name, value string) hook.Effect {
	return hook.Effect{Property: &hook.Property{Name: name, Value: json.RawMessage(value)}}
}

func destroy(room string) hook.Effect {
	return hook.Effect{Room: &hook.RoomEffect{Name: room, Destroy: true}}
}

func allow(effects ...hook.Effect) hook.Verdict { return hook.Verdict{Effects: effects} }

// must fails the test if err is not the wanted error. A nil error means that none is
// wanted.
func (w *world) must(err, want error) {
	w.Helper()
	if fmt.Sprint(err) != fmt.Sprint(want) {
		w.Errorf("got the error %v, want %v", err, want)
	}
}

// errorOf returns the error of a call that also returns the id of a message.
func errorOf(_ string, err error) error { return err }

func jsonMessage(value string) wire.Message { return wire.Message{Text: value, JSON: true} }

// isEmpty checks that a room, which may have been destroyed, has no members.
func (n *node) isEmpty(room string) {
	n.w.Helper()
	if count, err := n.presence.Count(n.w.Context(), in(room)); count != 0 || err != nil {
		n.w.Errorf("%d ghosts in %s, %v", count, room, err)
	}
}
