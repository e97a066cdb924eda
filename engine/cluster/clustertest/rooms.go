package clustertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mootchat/moot/engine/cluster"
)

func rooms() []promise {
	return []promise{
		{"RoomIsThereFromCreateToDestroy", roomIsThereFromCreateToDestroy},
		{"RoomIsCreatedOnce", roomIsCreatedOnce},
		{"EnsureCreatesTheRoomsThatAreMissing", ensureCreatesMissing},
		{"ListIsInOrderAndOfOneTenant", listIsInOrderAndOfOneTenant},
		{"ListKnowsRoomsOfAnyName", listKnowsRoomsOfAnyName},
		{"ListHasPrefixes", listHasPrefixes},
		{"PagesHoldStillForRoomsThatStay", pagesHoldStill},
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
	w.mustBe("destroy a missing room", peers[0].Rooms.Destroy(w.ctx, hall), cluster.ErrNoRoom)
	for range 2 { // a room can be created again
		w.create(peers[0], hall)
		exists(true)
		w.mustBe("create an existing room", peers[1].Rooms.Create(w.ctx, hall), cluster.ErrRoomExists)
		exists(true)
		w.must(peers[1].Rooms.Destroy(w.ctx, hall))
		exists(false)
		w.mustBe("destroy a room again", peers[0].Rooms.Destroy(w.ctx, hall), cluster.ErrNoRoom)
	}
}

// roomIsCreatedOnce checks that one of many concurrent calls of Create or Destroy succeeds.
func roomIsCreatedOnce(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	one := func(what string, otherwise error, do func(r cluster.Rooms) error) {
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
		one("create", cluster.ErrRoomExists, func(r cluster.Rooms) error { return r.Create(w.ctx, hall) })
		one("destroy", cluster.ErrNoRoom, func(r cluster.Rooms) error { return r.Destroy(w.ctx, hall) })
	}
}

// ensureCreatesMissing checks that Ensure creates rooms of several tenants, and leaves existing rooms
// with their members as they are.
func ensureCreatesMissing(w *world) {
	peers := w.nodes("a", "b")
	var all []cluster.RoomID
	for i := range 2100 { // more than one round trip of any backend
		all = append(all, cluster.RoomID{Tenant: fmt.Sprintf("t%02d", i%30), Room: fmt.Sprintf("room %04d", i)})
	}
	w.create(peers[1], all[7])
	w.must(peers[1].Presence.Add(w.ctx, all[7], cluster.MemberRecord{ID: "b-1", JoinedAt: 1}))
	w.must(peers[0].Rooms.Ensure(w.ctx, nil))
	for _, p := range peers { // the second call creates nothing
		w.must(p.Rooms.Ensure(w.ctx, all))
	}
	counts, err := peers[1].Rooms.Count(w.ctx, "t00", "t07", "t29", "t30")
	if w.must(err); !slices.Equal(counts, []int{70, 70, 70, 0}) {
		w.Errorf("the tenants have %v rooms", counts)
	}
	if names := w.listRooms(peers[1], "t07", "", 50); len(names) != 70 || names[0] != "room 0007" || names[69] != "room 2077" {
		w.Errorf("t07 has %d rooms: %q", len(names), names)
	}
	if n, err := peers[0].Presence.Count(w.ctx, all[7]); err != nil || n != 1 {
		w.Errorf("the room that existed has %d members, %v", n, err)
	}
	w.must(peers[0].Rooms.Destroy(w.ctx, all[8]))
	w.must(peers[1].Rooms.Ensure(w.ctx, all[8:9]))
	w.mustBe("create what Ensure created", peers[0].Rooms.Create(w.ctx, all[8]), cluster.ErrRoomExists)
}

func listIsInOrderAndOfOneTenant(w *world) {
	peers := w.nodes("a", "b")
	list := func(tenant string, want ...string) {
		w.Helper()
		for _, p := range peers {
			if got := w.listRooms(p, tenant, "", 7); !slices.Equal(got, want) {
				w.Errorf("%s lists %q of %q, want %q", p.name, got, tenant, want)
			}
			counts, err := p.Rooms.Count(w.ctx, tenant, "nobody's")
			w.must(err)
			if !slices.Equal(counts, []int{len(want), 0}) {
				w.Errorf("%s counts %v rooms of %q, want %d", p.name, counts, tenant, len(want))
			}
		}
	}
	list("one")
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("room %02d", i))
	}
	for i := range want {
		w.create(peers[i%2], cluster.RoomID{Tenant: "one", Room: want[(i*7)%30]})
	}
	w.create(peers[0], cluster.RoomID{Tenant: "two", Room: want[0]})
	list("one", want...)
	list("two", want[0])
	list("three")
	w.must(peers[0].Rooms.Destroy(w.ctx, cluster.RoomID{Tenant: "one", Room: want[0]}))
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
		if got := w.listRooms(p, tenant, "", 3); !slices.Equal(got, sorted(names)) {
			w.Errorf("listed %q of %q, want %q", got, tenant, sorted(names))
		}
	}
}

// listRooms reads all pages of the tenant's rooms with the prefix. It calls between after each
// page except the last.
func (w *world) listRooms(p *peer, tenant, prefix string, limit int, between ...func()) (all []string) {
	w.Helper()
	for after := ""; ; {
		page, more, err := p.Rooms.List(w.ctx, tenant, cluster.RoomQuery{Prefix: prefix, After: after, Limit: limit})
		w.must(err)
		if len(page) > limit || more && len(page) == 0 {
			w.Fatalf("a page of %d rooms of %d at most, others follow: %v", len(page), limit, more)
		}
		if all = append(all, page...); !more {
			return all
		}
		after = page[len(page)-1]
		for _, f := range between {
			f()
		}
	}
}

func listHasPrefixes(w *world) {
	p := w.node("a")
	names := []string{"a", "ab", "abc", "b", "b\u00ff", "b\U0010ffff", "ba", "c", "é"}
	for _, name := range names {
		w.create(p, room(name))
	}
	for _, prefix := range []string{"", "a", "ab", "b", "b\u00ff", "b\U0010ffff", "z", "é", "\xff"} {
		var want []string
		for _, name := range sorted(names) {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		if got := w.listRooms(p, room("").Tenant, prefix, 2); !slices.Equal(got, want) {
			w.Errorf("with prefix %q are %q, want %q", prefix, got, want)
		}
	}
	if _, _, err := p.Rooms.List(w.ctx, room("").Tenant, cluster.RoomQuery{}); err == nil {
		w.Error("a page of no rooms has no error")
	}
}

// pagesHoldStill checks that a room that exists from the first page to the last is on exactly one
// of them, while others are created and destroyed.
func pagesHoldStill(w *world) {
	peers := w.nodes("a", "b")
	id := func(kind string, i int) cluster.RoomID { return room(fmt.Sprintf("%02d %s", i, kind)) }
	var want []string
	for i := range 20 {
		w.create(peers[0], id("goes", i))
		w.create(peers[1], id("stays", i))
		want = append(want, id("stays", i).Room)
	}
	i := 0
	got := w.listRooms(peers[0], room("").Tenant, "", 3, func() {
		if i < 20 {
			w.must(peers[1].Rooms.Destroy(w.ctx, id("goes", i)))
			w.create(peers[1], id("comes", i))
		}
		i++
	})
	if !slices.IsSorted(got) {
		w.Errorf("pages are not in order: %q", got)
	}
	got = slices.DeleteFunc(got, func(name string) bool { return !strings.HasSuffix(name, "stays") })
	if !slices.Equal(got, want) {
		w.Errorf("of those that stay pages had %q, want %q", got, want)
	}
}
