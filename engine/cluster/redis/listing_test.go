package redis

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// trips counts round trips: single commands and pipelines.
type trips struct{ made atomic.Int64 }

func (*trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.made.Add(1)
		return next(ctx, cmd)
	}
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.made.Add(1)
		return next(ctx, cmds)
	}
}

// during returns the number of round trips of f.
func (h *trips) during(f func()) int64 {
	before := h.made.Load()
	f()
	return h.made.Load() - before
}

// listed returns a node with rooms, and a counter of its round trips.
func listed(t *testing.T, cfg Config, rooms int) (*Node, *trips) {
	t.Helper()
	h := &trips{}
	cfg.Node, cfg.Instrument = "a", func(c redis.UniversalClient) error { c.AddHook(h); return nil }
	n := open(t, cfg)
	for i := range rooms {
		if err := n.Cluster().Rooms.Create(t.Context(), cluster.RoomID{Tenant: "t", Room: fmt.Sprintf("room %04d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	return n, h
}

// TestPageOfRoomsCostsAPage checks that a page of rooms takes one round trip, and the counts of
// their members another, for any number of rooms.
func TestPageOfRoomsCostsAPage(t *testing.T) {
	server := redistest.Start(t)
	n, h := listed(t, Config{Addresses: []string{server.Address()}}, 1000)
	n.page(t, "", 1) // this loads the script into Redis
	var names []string
	if made := h.during(func() { names = n.page(t, "room 0499", 100) }); made != 1 || len(names) != 100 || names[0] != "room 0500" {
		t.Errorf("a page of %d rooms was %d round trips", len(names), made)
	}
	if text := server.Info("cmdstat_hkeys", "INFO", "commandstats"); text != "" {
		t.Errorf("all names were read: cmdstat_hkeys:%s", text)
	}
	var ids []cluster.RoomID
	for _, name := range names {
		ids = append(ids, cluster.RoomID{Tenant: "t", Room: name})
	}
	counted := func(ids []cluster.RoomID) int64 {
		return h.during(func() {
			if counts, err := n.Counts(t.Context(), ids); err != nil || len(counts) != len(ids) {
				t.Fatal(counts, err)
			}
		})
	}
	counted(ids[:1])
	if made := counted(ids); made != 1 {
		t.Errorf("%d rooms were counted in %d round trips", len(ids), made)
	}
	roomsOf := func() {
		if counts, err := n.Cluster().Rooms.Count(t.Context(), "t", "u", "v"); err != nil || !slices.Equal(counts, []int{1000, 0, 0}) {
			t.Fatal(counts, err)
		}
	}
	roomsOf() // the client may dial first
	if made := h.during(roomsOf); made != 1 {
		t.Errorf("the rooms of three tenants were counted in %d round trips", made)
	}
}

// TestEnsureTakesOneRoundTripForAThousandRooms checks that the starting rooms of many tenants take few
// round trips, also when a node creates its rooms again because Redis has lost its data.
func TestEnsureTakesOneRoundTripForAThousandRooms(t *testing.T) {
	server := redistest.Start(t)
	n, h := listed(t, Config{Addresses: []string{server.Address()}, Partitions: 4}, 1)
	var rooms []cluster.RoomID
	for i := range 3000 {
		rooms = append(rooms, cluster.RoomID{Tenant: fmt.Sprint("t", i), Room: "hall"})
	}
	ensure := func(rooms []cluster.RoomID) {
		if err := n.Cluster().Rooms.Ensure(t.Context(), rooms); err != nil {
			t.Fatal(err)
		}
	}
	ensure(rooms[:1]) // the client may dial first
	if made := h.during(func() { ensure(rooms) }); made != 3 {
		t.Errorf("3,000 rooms took %d round trips", made)
	}
	if err := server.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	if made := h.during(func() {
		for _, p := range n.parts {
			if err := p.restoreRooms(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}); made != 5 { // and one for the secret of the nodes
		t.Errorf("3,001 rooms in 4 partitions were created again in %d round trips", made)
	}
	if counts, err := n.Cluster().Rooms.Count(t.Context(), "t", "t0", "t2999"); err != nil || !slices.Equal(counts, []int{1, 1, 1}) {
		t.Errorf("the rooms are not there again: %v, %v", counts, err)
	}
}

// page returns a page of the tenant's rooms.
func (n *Node) page(t *testing.T, after string, limit int) []string {
	t.Helper()
	names, _, err := n.Cluster().Rooms.List(t.Context(), "t", cluster.RoomQuery{After: after, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestListFindsRoomsThatHaveNoIndex checks the listing of rooms that a version without the index
// has created or destroyed.
func TestListFindsRoomsThatHaveNoIndex(t *testing.T) {
	server := redistest.Start(t)
	n, _ := listed(t, Config{Addresses: []string{server.Address()}}, 0)
	key := n.parts[0].roomsKey("t")
	is := func(want string) {
		t.Helper()
		if got := n.page(t, "", 10); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("listed %q, want %s", got, want)
		}
	}
	do := func(args ...any) {
		t.Helper()
		if err := server.Do(args...); err != nil {
			t.Fatal(err)
		}
	}
	do("HSET", key, "b", "1", "a", "1")
	is("a b")
	do("HSET", key, "c", "1")
	is("a b c")
	do("HDEL", key, "a")
	is("b c")
	do("HDEL", key, "b")
	do("HSET", key, "d", "1") // the number of rooms does not change
	is("c d")
	if err := n.Cluster().Rooms.Destroy(t.Context(), cluster.RoomID{Tenant: "t", Room: "d"}); err != nil {
		t.Fatal(err)
	}
	is("c")
}
