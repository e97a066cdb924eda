package fanout

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine/wire"
)

// States of a gate.
const (
	open     uint32 = iota // frames pass
	holding                // frames are held back
	released               // frames after a position pass
	closed                 // no frame passes
)

// Gate decides which frames of a room a receiver gets. The zero Gate admits all frames. Its
// methods are safe for concurrent use.
//
// A gate holds frames back while the receiver reads missed messages from the room's
// history. Release then admits the frames that were not part of the history, which it knows
// by their positions. No message is lost, because the history contains a message before any
// node receives it.
//
// History may be read in another epoch than the one of the frames, because a node may be
// behind, or the epoch may end after the read. The receiver has a message of a former epoch
// if the former epoch contains it to its end in the present one: its offset is then the same
// there. A message of a later epoch is new if its offset is larger than that of the receiver.
// Otherwise it is unclear whether the receiver has the message: a server was lost, and the
// message may be one that was published again. The receiver is then given up like a slow
// reader, so that it comes back and reads history again.
type Gate struct {
	state atomic.Uint32

	mu    sync.Mutex
	held  []heldFrame
	bytes int
	over  bool            // the held frames exceeded the limit and were dropped; no frame is held now
	at    wire.Position   // the position of the last message that the receiver has; set by Release
	past  []wire.Position // the last positions of the epochs before at
}

type heldFrame struct {
	frame *wire.Frame
	at    wire.Position
}

// Hold holds back new frames until Release is called.
func (g *Gate) Hold() { g.state.Store(holding) }

// Close admits no more frames, even if a batch is being written to other members.
func (g *Gate) Close() { g.state.Store(closed) }

// Holding reports whether frames are held back.
func (g *Gate) Holding() bool { return g.state.Load() == holding }

// takes reports whether a receiver whose gate is not open gets the frame now. It may hold
// the frame back.
func (r *Receiver) takes(f *wire.Frame, at wire.Position) bool {
	is := r.admit(f, at)
	if is == unclear {
		r.Outbox.follow(r.Outbox.refuse())
	}
	return is == later || is == apart
}

// admit returns known for a frame that it holds back.
func (r *Receiver) admit(f *wire.Frame, at wire.Position) relation {
	g := &r.Gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state.Load() {
	case holding:
		g.hold(f, at, r.Outbox.bound()/4)
		return known
	case released:
		is := g.relation(at)
		if is == later { // frames without a position are outside of the order
			g.state.CompareAndSwap(released, open)
			g.past = nil
		}
		return is
	case closed:
		return known
	}
	return later
}

// hold holds back the frame. If the held frames exceed limit bytes, it drops all of them.
func (g *Gate) hold(f *wire.Frame, at wire.Position, limit int) {
	if g.over {
		return
	}
	g.held = append(g.held, heldFrame{f, at})
	g.bytes += f.Len() + perFrame
	if g.bytes > limit {
		g.over = true
		g.held, g.bytes = nil, 0
	}
}

// relation is the relation of a message to the last message that the receiver has.
type relation uint8

const (
	apart   relation = iota // the message has no position
	later                   // the receiver does not have it
	known                   // the receiver has it
	unclear                 // the receiver may have it
)

// relation returns the relation of the message at a position. The lock is held.
func (g *Gate) relation(at wire.Position) relation {
	switch {
	case at == (wire.Position{}):
		return apart
	case at.Epoch == g.at.Epoch && at.Offset <= g.at.Offset:
		return known
	case at.Epoch == g.at.Epoch:
		return later
	}
	for _, end := range g.past {
		if at.Epoch == end.Epoch && at.Offset <= end.Offset {
			return known
		}
		if at.Epoch == end.Epoch {
			return unclear
		}
	}
	if at.Offset > g.at.Offset {
		return later
	}
	return unclear
}

// Release sends the held frames after the position and admits new frames. past has the last
// positions of the epochs before, as cluster.Page.Former; Release keeps it. It returns false
// if the held frames exceeded a quarter of the outbox's limit. The caller then sends the
// messages after the position itself and calls Release again. Frames are held back
// until Release returns true.
func (r *Receiver) Release(at wire.Position, past []wire.Position) bool {
	f, ok := r.release(at, past)
	r.Outbox.follow(f)
	return ok
}

func (r *Receiver) release(at wire.Position, past []wire.Position) (f followUp, ok bool) {
	g := &r.Gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		g.over = false
		return nothing, false
	}
	g.at, g.past = at, past
	for _, h := range g.held {
		switch g.relation(h.at) {
		case later, apart:
			f = max(f, r.Outbox.enqueue(parcel{r.Outbox.sink.Bytes(h.frame), h.frame}))
		case unclear:
			f = max(f, r.Outbox.refuse())
		}
	}
	g.held, g.bytes = nil, 0
	g.state.CompareAndSwap(holding, released)
	return f, true
}

// Before returns the position before the first held frame of the epoch of top, or top if no such
// frame is at or before top: a receiver that is released there gets all held frames of the epoch.
func (g *Gate) Before(top wire.Position) wire.Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.held {
		if h.at.Epoch == top.Epoch && h.at.Offset <= top.Offset {
			return wire.Position{Epoch: top.Epoch, Offset: h.at.Offset - 1}
		}
	}
	return top
}

// HoldsUnclear reports whether the gate holds a frame that a receiver with the history up to
// the position may have or not: history must be read again.
func (g *Gate) HoldsUnclear(at wire.Position, past []wire.Position) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at, g.past = at, past
	return slices.ContainsFunc(g.held, func(h heldFrame) bool { return g.relation(h.at) == unclear })
}
