package redis

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// Bounds of dropped.
const (
	droppedRooms = 4096             // in a generation of rooms; there are two generations
	droppedAge   = 20 * time.Minute // age of a generation; shorter than half of producerTTL
)

// dropped has the last message of each room in the batches that a publisher no longer keeps, for
// at least 20 minutes or 4,096 rooms. A master may lack that message, because two masters existed
// at the same time or the data is a backup. Then messages of the room are lost, and a gap takes
// their place.
type dropped struct {
	rooms, older map[string]droppedMessage
	since        time.Time // the beginning of rooms
	last         uint64    // number of the last batch in rooms
	olderLast    uint64    // number of the last batch in older
	forgotten    uint64    // number of the last batch that was forgotten
}

// droppedMessage is a message without its payload.
type droppedMessage struct {
	seq    uint64 // number of its batch
	order  int64
	number uint64
	keep   cluster.Retention
}

func (d *dropped) add(s *sent, now time.Time) {
	if d.rooms == nil {
		d.rooms, d.since = map[string]droppedMessage{}, now
	}
	for _, m := range s.messages {
		d.rooms[m.room] = droppedMessage{s.seq, s.order, m.number, m.keep}
	}
	d.last = s.seq
	if len(d.rooms) >= droppedRooms {
		d.turn(now)
	}
}

// turn begins a new generation of rooms and drops the older one.
func (d *dropped) turn(now time.Time) {
	d.forgotten = max(d.forgotten, d.olderLast)
	d.older, d.olderLast = d.rooms, d.last
	d.rooms, d.last, d.since = map[string]droppedMessage{}, 0, now
}

func (d *dropped) expire(now time.Time) {
	if len(d.rooms)+len(d.older) > 0 && now.Sub(d.since) > droppedAge {
		d.turn(now)
	}
}

// after returns batches of gaps, in order, for the rooms that have messages in batches after seq.
// forgotten reports that there may be more such rooms. fill makes the entries.
func (d *dropped) after(seq uint64) (gaps []sent, forgotten bool) {
	all := maps.Clone(d.older)
	if all == nil {
		all = map[string]droppedMessage{}
	}
	maps.Copy(all, d.rooms)
	maps.DeleteFunc(all, func(_ string, m droppedMessage) bool { return m.seq <= seq })
	rooms := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[a].seq, all[b].seq), cmp.Compare(all[a].number, all[b].number))
	})
	for _, room := range rooms {
		m, last := all[room], len(gaps)-1
		if last < 0 || len(gaps[last].messages) >= batchCount && gaps[last].seq != m.seq {
			gaps = append(gaps, sent{})
			last++
		}
		g := &gaps[last]
		g.seq, g.order = m.seq, m.order
		g.messages = append(g.messages, message{room: room, number: m.number, keep: m.keep})
	}
	return gaps, d.forgotten > seq
}

// fill makes the entries of a batch of gaps.
func (s *sent) fill(l *publisher) {
	for i := range s.messages {
		m := &s.messages[i]
		m.entry = entry{id: l.id(m.number), gap: true}.String()
		s.bytes += int64(len(m.entry))
	}
}
