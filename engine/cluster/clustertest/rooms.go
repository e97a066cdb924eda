package clustertest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/mootchat/moot/engine"
)

func rooms() []promise {
	return []promise{
		{"RoomIsThereFromCreateToDestroy", roomIsThereFromCreateToDestroy},
		{"RoomIsCreatedOnce", roomIsCreatedOnce},
		{"ListIsInOrderAndOfOneTenant", listIsInOrderAndOfOneTenant},
		{"ListKnowsRoomsOfAnyName", listKnowsRoomsOfAnyName},
	}
}

func roomIsThereFromCreateToDestroy(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	exists := func(want bool) {
		w.Helper()
		for _, p := range peers {
			got, err := p.Rooms.Exists(w.ctx, hall)
			w.must(err)
			if got != want {
				w.Errorf("on %s the room exists: %v, want %v", p.name, got, want)
			}
		}
	}
	exists(false)
	w.mustBe("destroy what is not there", peers[0].Rooms.Destroy(w.ctx, hall), engine.ErrNoRoom)
	for range 2 { // who goes can come back
		w.create(peers[0], hall)
		exists(true)
		w.mustBe("create what is there", peers[1].Rooms.Create(w.ctx, hall), engine.ErrRoomExists)
		exists(true)
		w.must(peers[1].Rooms.Destroy(w.ctx, hall))
		exists(false)
		w.mustBe("destroy what was destroyed", peers[0].Rooms.Destroy(w.ctx, hall), engine.ErrNoRoom)
	}
}

// roomIsCreatedOnce: of many who create or destroy it at once, one succeeds.
func roomIsCreatedOnce(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	one := func(what string, otherwise error, do func(r engine.Rooms) error) {
		w.Helper()
		var done atomic.Int64
		w.together(12, func(i int) error {
			err := do(peers[i%3].Rooms)
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, otherwise) {
				return err
			}
			return nil
		})
		if done.Load() != 1 {
			w.Errorf("%d could %s the room, want 1", done.Load(), what)
		}
	}
	for range 20 {
		one("create", engine.ErrRoomExists, func(r engine.Rooms) error { return r.Create(w.ctx, hall) })
		one("destroy", engine.ErrNoRoom, func(r engine.Rooms) error { return r.Destroy(w.ctx, hall) })
	}
}

func listIsInOrderAndOfOneTenant(w *world) {
	peers := w.nodes("a", "b")
	list := func(tenant string, want ...string) {
		w.Helper()
		for _, p := range peers {
			got, err := p.Rooms.List(w.ctx, tenant)
			w.must(err)
			if !slices.Equal(got, want) {
				w.Errorf("%s lists %q of %q, want %q", p.name, got, tenant, want)
			}
		}
	}
	list("one")
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("room %02d", i))
	}
	for i := range want {
		w.create(peers[i%2], engine.RoomID{Tenant: "one", Room: want[(i*7)%30]})
	}
	w.create(peers[0], engine.RoomID{Tenant: "two", Room: want[0]})
	list("one", want...)
	list("two", want[0])
	list("three")
	w.must(peers[0].Rooms.Destroy(w.ctx, engine.RoomID{Tenant: "one", Room: want[0]}))
	list("one", want[1:]...)
	list("two", want[0])
}

func listKnowsRoomsOfAnyName(w *world) {
	p := w.node("a")
	want := map[string][]string{}
	for _, r := range oddRooms() {
		w.create(p, r)
		want[r.Tenant] = append(want[r.Tenant], r.Room)
	}
	for tenant, names := range want {
		got, err := p.Rooms.List(w.ctx, tenant)
		w.must(err)
		if !slices.Equal(got, sorted(names)) {
			w.Errorf("listed %q of %q, want %q", got, tenant, sorted(names))
		}
	}
}
