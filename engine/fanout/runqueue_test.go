package fanout

import "testing"

func TestQueuesAreInOrderAndCostNoMemory(t *testing.T) {
	for _, length := range []int{1, 2, 3, 7, 1000} {
		var q fifo[*int]
		values := make([]int, length)
		for i := range values {
			q.push(&values[i])
		}
		next := 0
		round := func() {
			for range length {
				if v := q.pop(); v != &values[next%length] {
					t.Fatalf("%d values: number %d was another's", length, next)
				} else {
					q.push(v)
				}
				next++
			}
		}
		round()
		if n := testing.AllocsPerRun(10, round); n > 0 {
			t.Errorf("%d values: %v allocations for a round", length, n)
		}
		if q.waiting() != length {
			t.Errorf("%d wait, want %d", q.waiting(), length)
		}
		for range length {
			q.pop()
		}
		if q.pop() != nil || q.waiting() != 0 {
			t.Errorf("%d values: there is one more", length)
		}
	}
}
