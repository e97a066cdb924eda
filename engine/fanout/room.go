package fanout

import (
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Receiver is a member of a room, for a writer.
type Receiver struct {
	Outbox *Outbox
	Gate   Gate // the zero value is open
}

// Nothing is the value in [Message.Which] for a member that gets no frame.
const Nothing int32 = -1

// Message is one message for the members of a room. If Which is nil, all members get Frame.
// Otherwise each member gets one of Answers or nothing. Frames are shared and immutable.
type Message struct {
	Frame   *wire.Frame
	Answers []*wire.Frame
	Which   []int32       // for each member of the snapshot, in its order: an index in Answers, or Nothing
	Size    int           // bytes of Frame or of the largest answer
	At      wire.Position // in the room's order; zero: outside of the order
	Delay   time.Duration // the time that the message may wait for others, to be sent in one write with them
}

// frameFor returns the frame for member i; nil if the member gets none.
func (m *Message) frameFor(i int) *wire.Frame {
	if m.Which == nil {
		return m.Frame
	}
	if k := m.Which[i]; k >= 0 {
		return m.Answers[k]
	}
	return nil
}

// Snapshot is an immutable copy of the members of a room, grouped by their writers.
type Snapshot struct {
	receivers []*Receiver
	starts    []int // writer w serves receivers[starts[w]:starts[w+1]]
}

// NewSnapshot groups members by their writers. receiver returns the Receiver of a member,
// or nil to leave the member out. It must return the same result in each call. ordered is
// the members in the order of the snapshot.
func NewSnapshot[M any](ws *Writers, members []M, receiver func(M) *Receiver) (s Snapshot, ordered []M) {
	s.starts = make([]int, len(ws.list)+1)
	for _, m := range members {
		if r := receiver(m); r != nil {
			s.starts[r.Outbox.queue.w.index+1]++
		}
	}
	for w := range ws.list {
		s.starts[w+1] += s.starts[w]
	}
	next := append([]int(nil), s.starts...)
	n := s.starts[len(ws.list)]
	s.receivers, ordered = make([]*Receiver, n), make([]M, n)
	for _, m := range members {
		if r := receiver(m); r != nil {
			w := r.Outbox.queue.w.index
			s.receivers[next[w]], ordered[next[w]] = r, m
			next[w]++
		}
	}
	return s, ordered
}

// Room delivers messages to the members of one room. Its methods are safe for concurrent
// use. Members get messages in the order of the calls of Post.
type Room struct{ backlogs []backlog } // one for each writer

// NewRoom returns a room. A room need not be closed.
func (ws *Writers) NewRoom() Room {
	r := Room{make([]backlog, len(ws.list))}
	for i, w := range ws.list {
		r.backlogs[i].w = w
		r.backlogs[i].space.L = &w.mu
	}
	return r
}

// Post passes a message for the members of the snapshot to their writers. It waits while a
// writer has 256 messages of this room. The wait delays senders of this room only.
func (r *Room) Post(to *Snapshot, m Message) {
	which := m.Which
	for w := range r.backlogs {
		from, end := to.starts[w], to.starts[w+1]
		if from == end {
			continue
		}
		if which != nil {
			m.Which = which[from:end]
		}
		r.backlogs[w].post(job{to: to.receivers[from:end], Message: m})
	}
}

// Settled reports whether no message of the room waits at a writer and no outbox of a
// member is filled by more than a quarter of its limit.
func (r *Room) Settled(members *Snapshot) bool {
	for i := range r.backlogs {
		if r.backlogs[i].busy() {
			return false
		}
	}
	for _, m := range members.receivers {
		if m.Outbox.crowded() {
			return false
		}
	}
	return true
}
