package memory

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
)

// TestPageOfRoomsCostsAPage checks that a page of a tenant's rooms does not copy all names.
func TestPageOfRoomsCostsAPage(t *testing.T) {
	c := New().Node("a")
	const rooms, pages, limit = 10_000, 100, 10
	for i := range rooms {
		if err := c.Rooms.Create(t.Context(), cluster.RoomID{Tenant: "t", Room: fmt.Sprintf("room %05d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	last := ""
	for range pages {
		names, more, err := c.Rooms.List(t.Context(), "t", cluster.RoomQuery{After: last, Limit: limit})
		if err != nil || len(names) != limit || !more {
			t.Fatal(names, more, err)
		}
		last = names[limit-1]
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / pages; each > 4<<10 {
		t.Errorf("a page of %d of %d rooms allocated %d bytes", limit, rooms, each)
	}
}
