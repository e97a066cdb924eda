package ws

import (
	"math/rand/v2"
	"testing"
)

// TestWheelSpreadsConnections checks that connections are spread over the slots, and
// that a removal does not change the positions of the others.
func TestWheelSpreadsConnections(t *testing.T) {
	var w wheel
	var all []*conn
	for range 4 * slots {
		c := &conn{}
		if !w.add(c) {
			t.Fatal("add returned false before stop")
		}
		all = append(all, c)
	}
	for i, s := range w.slots {
		if len(s) != 4 {
			t.Errorf("slot %d has %d connections, want 4", i, len(s))
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, c := range all {
		w.remove(c)
		for _, rest := range all[i+1:] {
			if w.slots[rest.slot][rest.index] != rest {
				t.Fatal("a connection is not at its position")
			}
		}
	}
	if left := w.stop(); len(left) > 0 || w.add(&conn{}) {
		t.Errorf("%d connections are left, or add returned true after stop", len(left))
	}
}
