package fanout

import (
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
type Gate struct {
	state atomic.Uint32

	mu    sync.Mutex
	held  []heldFrame
	bytes int
	over  bool          // the held frames exceeded the limit and were dropped; no frame is held now
	at    wire.Position // the position of the last message that the receiver has; set by Release
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
	g := &r.Gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state.Load() {
	case holding:
		g.hold(f, at, r.Outbox.bound()/4)
		return false
	case released:
		if g.passed(at) {
			return false
		}
		if at != (wire.Position{}) { // frames without a position are outside of the order
			g.state.CompareAndSwap(released, open)
		}
	case closed:
		return false
	}
	return true
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

// passed reports whether the receiver already has the message at that position. Messages of
// another epoch are newer.
func (g *Gate) passed(at wire.Position) bool {
	return at.Epoch == g.at.Epoch && at.Offset <= g.at.Offset
}

// Release sends the held frames after the position and admits new frames. It returns false
// if the held frames exceeded a quarter of the outbox's limit. The caller then sends the
// messages after the position itself and calls Release again. Frames are held back
// until Release returns true.
func (r *Receiver) Release(at wire.Position) bool {
	f, ok := r.release(at)
	r.Outbox.follow(f)
	return ok
}

func (r *Receiver) release(at wire.Position) (f followUp, ok bool) {
	g := &r.Gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		g.over = false
		return nothing, false
	}
	g.at = at
	for _, h := range g.held {
		if !g.passed(h.at) {
			f = max(f, r.Outbox.enqueue(r.Outbox.sink.Bytes(h.frame)))
		}
	}
	g.held, g.bytes = nil, 0
	g.state.CompareAndSwap(holding, released)
	return f, true
}

// HoldsOther reports whether a frame of another epoch is held back.
func (g *Gate) HoldsOther(epoch string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.held {
		if h.at.Epoch != epoch {
			return true
		}
	}
	return false
}
