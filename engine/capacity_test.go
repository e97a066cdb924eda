package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/wire"
)

// heapOf returns the number of heap bytes in use after a garbage collection.
func heapOf() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkCapacity measures the memory of 10,000 tenants without clients, rooms without
// members, rooms with one member each, and members of one room. The engine has no
// transports and no modules. The reported time is the time to create them.
func BenchmarkCapacity(b *testing.B) {
	const many = 10_000
	run := func(b *testing.B, tenants []engine.TenantConfig) {
		for b.Loop() {
			before := heapOf()
			e := enginetest.Start(b, func(c *engine.Config) { c.Tenants = tenants })
			b.ReportMetric((heapOf()-before)/many, "bytes/each")
			e.Stop()
		}
	}
	b.Run("tenants", func(b *testing.B) {
		tenants := make([]engine.TenantConfig, many)
		for i := range tenants {
			tenants[i] = engine.TenantConfig{Name: fmt.Sprint("tenant-", i), Hosts: []string{fmt.Sprint(i, ".example.com")}}
		}
		run(b, tenants)
	})
	rooms := make([]string, many)
	for i := range rooms {
		rooms[i] = fmt.Sprint("room-", i)
	}
	b.Run("rooms", func(b *testing.B) {
		run(b, []engine.TenantConfig{{Name: "default", StartingRooms: rooms, Limits: engine.Limits{Rooms: 2 * many}}})
	})
	for _, each := range []string{"r", ""} { // "r": all members in one room; "": a room for each member
		b.Run("members/"+map[string]string{"r": "one room", "": "room each"}[each], func(b *testing.B) {
			for b.Loop() {
				h := newHall(b, func(c *engine.Config) { c.Tenants[0].StartingRooms = append(slices.Clone(rooms), "r") })
				before := heapOf()
				h.enter(b, many)
				if each == "" {
					for i, c := range h.members {
						c.Do(context.Background(), wire.Request{Verb: "roomLeave", Room: "r", RoomGiven: true})
						c.Do(context.Background(), wire.Request{Verb: "roomAdd", Room: rooms[i], RoomGiven: true})
					}
				}
				b.ReportMetric((heapOf()-before)/many, "bytes/each")
				h.stop()
			}
		})
	}
}
