package engine

import "testing"

func TestTurnsAreInOrderAndCostNoMemory(t *testing.T) {
	for _, rooms := range []int{1, 2, 3, 7, 1000} {
		streams := make([]stream, rooms)
		var q turns
		for i := range streams {
			q.push(&streams[i])
		}
		next := 0
		round := func() {
			for range rooms {
				if s := q.pop(); s != &streams[next%rooms] {
					t.Fatalf("%d rooms: turn %d was another's", rooms, next)
				} else {
					q.push(s)
				}
				next++
			}
		}
		round()
		if n := testing.AllocsPerRun(10, round); n > 0 {
			t.Errorf("%d rooms: %v allocations for a turn of each", rooms, n)
		}
		if q.waiting() != rooms {
			t.Errorf("%d wait, want %d", q.waiting(), rooms)
		}
		for range rooms {
			q.pop()
		}
		if q.pop() != nil || q.waiting() != 0 {
			t.Errorf("%d rooms: one has a turn that is not there", rooms)
		}
	}
}
