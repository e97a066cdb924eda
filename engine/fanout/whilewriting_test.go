package fanout

import (
	"testing"
	"testing/synctest"
)

func TestWritersLookUpBetweenSlices(t *testing.T) {
	atDesk(t, func(d *desk) {
		ws := &Writers{}
		d.w.polling = &ws.polling
		first, second := 0, 0
		end := ws.WhileWriting(func() { first++ })
		defer ws.WhileWriting(func() { second++ })()
		h := d.hall(3*slice + 1)
		say := func() {
			h.post("to many")
			synctest.Wait()
		}
		say()
		if first != 3 || second != 3 {
			t.Errorf("looked up %d and %d times in a room of more than three slices, want 3", first, second)
		}
		end()
		say()
		if first != 3 || second != 6 {
			t.Errorf("looked up %d and %d times, want 3 and 6: the first had ended", first, second)
		}
	})
}
