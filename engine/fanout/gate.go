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

// Gate decides whether a receiver is sent the frames of its room that come. The zero
// Gate lets them pass. Its methods may be called concurrently.
//
// A gate holds frames back for a member that reads what it missed from the room's
// history first: once that is sent, Release lets those frames pass that were not part
// of it, by their positions. A node is told of a message only after it is in history,
// so that nothing lies between.
type Gate struct {
	state atomic.Uint32

	mu    sync.Mutex
	held  []heldFrame
	bytes int
	over  bool          // more came than may be held; nothing is held then
	at    wire.Position // what the receiver has had, once it is released
}

type heldFrame struct {
	frame *wire.Frame
	at    wire.Position
}

// Hold holds back the frames that come, until Release.
func (g *Gate) Hold() { g.state.Store(holding) }

// Close lets no frame pass any more, also of those on their way.
func (g *Gate) Close() { g.state.Store(closed) }

// Holding reports whether frames are held back.
func (g *Gate) Holding() bool { return g.state.Load() == holding }

// takes reports whether a receiver whose gate is not open is to be sent the frame now.
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
		if at != (wire.Position{}) { // a frame without one says nothing of where the room is
			g.state.CompareAndSwap(released, open)
		}
	case closed:
		return false
	}
	return true
}

// hold keeps the frame. With more than limit bytes nothing is held.
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

// passed reports whether a message at that position is among what the receiver has
// had. In another epoch it is not: only newer messages come with it.
func (g *Gate) passed(at wire.Position) bool {
	return at.Epoch == g.at.Epoch && at.Offset <= g.at.Offset
}

// Release sends the frames that were held back from after the position on, and lets
// those that come pass. It returns false if more came than a quarter of the outbox:
// the caller sends the receiver the messages after the position in another way, and
// calls Release again. Frames are held back until it returns true.
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

// HoldsOther reports whether a frame is held back that is not of the epoch.
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
