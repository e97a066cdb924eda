package bench

import "slices"

// order records which messages of one sender one member has received.
type order struct {
	next      uint32 // all lower numbers were received or are in a gap
	gaps      []gap  // oldest first
	forgotten int    // messages of replaced gaps
}

// gap is a range of messages, from first to end-1, that were not received.
type gap struct{ first, end uint32 }

// maxGaps is the limit of gaps of an order. Further gaps replace the oldest ones. A message of a replaced gap counts as
// lost, and also as duplicated if it arrives.
const maxGaps = 1024

// arrival is the kind of an arrival.
type arrival int

const (
	onTime arrival = iota // the messages before it have arrived, or are in a gap
	late                  // after a message that was sent later
	duplicate
)

// add counts an arrival. settled is the number of messages that the sender no longer waits for: this one and the missing
// ones before it, or 0 if a later message has arrived before.
func (o *order) add(seq uint32) (a arrival, settled int) {
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
	return duplicate, 0
}

func (o *order) passOver(g gap) {
	if len(o.gaps) >= maxGaps {
		o.forgotten += int(o.gaps[0].end - o.gaps[0].first)
		o.gaps = o.gaps[1:]
	}
	o.gaps = append(o.gaps, g)
}

// countLost returns the number of messages of the sender that did not arrive.
func (o *order) countLost(sent int) int {
	n := o.forgotten + sent - int(o.next)
	for _, g := range o.gaps {
		n += int(g.end - g.first)
	}
	return n
}
