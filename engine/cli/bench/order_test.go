package bench

import (
	"slices"
	"testing"
)

func TestOrderTellsLossDuplicationAndReordering(t *testing.T) {
	for _, c := range []struct {
		name                  string
		heard                 []uint32
		sent                  int
		lost, late, duplicate int
	}{
		{"nothing was sent", nil, 0, 0, 0, 0},
		{"all in order", []uint32{0, 1, 2}, 3, 0, 0, 0},
		{"the first lost", []uint32{1, 2}, 3, 1, 0, 0},
		{"some lost within", []uint32{0, 4, 5, 7}, 8, 4, 0, 0},
		{"the last lost", []uint32{0, 1}, 5, 3, 0, 0},
		{"all lost", nil, 5, 5, 0, 0},
		{"two swapped", []uint32{0, 2, 1, 3}, 4, 0, 1, 0},
		{"backwards", []uint32{3, 2, 1, 0}, 4, 0, 3, 0},
		{"one late within a gap", []uint32{0, 5, 3}, 6, 3, 1, 0},
		{"doubled at once", []uint32{0, 0, 1}, 2, 0, 0, 1},
		{"doubled much later", []uint32{0, 1, 2, 0}, 3, 0, 0, 1},
		{"late and doubled", []uint32{0, 2, 1, 1}, 3, 0, 1, 1},
		{"doubled, and one lost", []uint32{0, 2, 2}, 3, 1, 0, 1},
	} {
		var o order
		times := map[arrival]int{}
		settled := 0
		for _, seq := range c.heard {
			a, n := o.add(seq)
			times[a]++
			settled += n
		}
		if lost := o.countLost(c.sent); lost != c.lost || times[late] != c.late || times[duplicate] != c.duplicate {
			t.Errorf("%s: %d lost, %d late, %d duplicate; want %d, %d, %d", c.name, lost, times[late], times[duplicate], c.lost, c.late, c.duplicate)
		}
		if settled != int(o.next) { // the number that a sender waits for
			t.Errorf("%s: %d settled; want %d", c.name, settled, o.next)
		}
	}
}

// TestOrderForgetsTheOldestGaps checks that an order keeps a bounded number of gaps if a server loses
// every second message.
func TestOrderForgetsTheOldestGaps(t *testing.T) {
	var o order
	const n = 3 * maxGaps
	for i := range uint32(n) {
		o.add(2*i + 1)
	}
	if len(o.gaps) != maxGaps || o.countLost(2*n) != n {
		t.Fatalf("%d gaps are kept, %d lost; want %d and %d", len(o.gaps), o.countLost(2*n), maxGaps, n)
	}
	if a, _ := o.add(2*n - 2); a != late {
		t.Errorf("the message of the last gap is %v; want it late", a)
	}
	if a, _ := o.add(0); a != duplicate {
		t.Errorf("the message of a forgotten gap is %v; want a duplicate", a)
	}
	if slices.Contains(o.gaps, gap{2*n - 2, 2*n - 1}) {
		t.Error("the gap is still there after its message came")
	}
}
