package bench

import "slices"

// order is what one member knows of one sender's messages.
type order struct {
	next      uint32 // all below were heard, or are in a gap
	gaps      []gap  // oldest first
	forgotten int    // messages of gaps that were too many to keep
}

// gap is a run of messages that were passed over: from first to before end.
type gap struct{ first, end uint32 }

// mostGaps bounds what an order remembers. A message that comes after its gap
// was forgotten counts as doubled, and as lost.
const mostGaps = 1024

// arrival is what a message turned out to be.
type arrival int

const (
	onTime arrival = iota // with none before it missing, or some: they are lost unless they still come
	late                  // after one that was sent later
	again
)

// heard takes the next message. settled is how many messages need not be waited
// for any more: itself and those that were passed over, or none.
func (o *order) heard(seq uint32) (a arrival, settled int) {
	if seq >= o.next {
		settled = int(seq-o.next) + 1
		if seq > o.next {
			o.passOver(gap{o.next, seq})
		}
		o.next = seq + 1
		return onTime, settled
	}
	for i, g := range o.gaps {
		if seq < g.first || seq >= g.end {
			continue
		}
		rest := slices.DeleteFunc([]gap{{g.first, seq}, {seq + 1, g.end}}, func(g gap) bool { return g.first == g.end })
		o.gaps = slices.Replace(o.gaps, i, i+1, rest...)
		return late, 0
	}
	return again, 0
}

func (o *order) passOver(g gap) {
	if len(o.gaps) >= mostGaps {
		o.forgotten += int(o.gaps[0].end - o.gaps[0].first)
		o.gaps = o.gaps[1:]
	}
	o.gaps = append(o.gaps, g)
}

// lost is how many of the sender's messages were not heard.
func (o *order) lost(sent int) int {
	n := o.forgotten + sent - int(o.next)
	for _, g := range o.gaps {
		n += int(g.end - g.first)
	}
	return n
}
