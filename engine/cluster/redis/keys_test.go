package redis

import (
	"hash/fnv"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
)

func TestTagsSpreadEvenlyOverTheSlots(t *testing.T) {
	for _, n := range []int{1, 3, 16, 64, 1024} {
		for k, tag := range tags(n) {
			if got := slot(tag) * n / slots; got != k {
				t.Errorf("tag %d of %d, %q, lies in range %d", k, n, tag, got)
			}
		}
	}
	if got := slot("123456789"); got != 0x31c3 { // the check value of Redis' specification
		t.Errorf("slot of 123456789 is %#x, want 0x31c3", got)
	}
}

// TestPartitionsOfRoomsNeverChange checks the hash that selects a room's partition: another hash
// would lose the rooms of a running cluster.
func TestPartitionsOfRoomsNeverChange(t *testing.T) {
	for _, key := range []string{"", "default/hall", "a%2Fb/c", "default/\xc3\xa4\x00"} {
		h := fnv.New32a()
		_, _ = h.Write([]byte(key))
		if got, want := partitionOf(key, 1024), int(h.Sum32()%1024); got != want {
			t.Errorf("%q is in partition %d, want %d", key, got, want)
		}
	}
}

func FuzzRoomKey(f *testing.F) {
	for _, s := range []string{"default/hall", "a%2Fb/c", "a/b/c", "a%2fb/c", "%/", "/", ""} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		id := cluster.RoomID{Tenant: a, Room: b}
		if got, err := parseRoomKey(roomKey(id)); err != nil || got != id {
			t.Errorf("%q became %q, %v", id, got, err)
		}
		if id, err := parseRoomKey(a); err == nil && roomKey(id) != a {
			t.Errorf("%q and %q are the key of one room", a, roomKey(id))
		}
	})
}
