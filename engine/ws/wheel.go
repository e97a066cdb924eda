package ws

import (
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// slots is how many parts an interval between heartbeats has. Each connection
// has its turn in one of them, so that their pings, and the answers to them,
// spread over the whole of it.
const slots = 30

// wheel knows all open connections, and gives them their heartbeats: one ticker
// in place of a timer for each.
type wheel struct {
	patience int // pings that a client may leave unanswered

	mu      sync.Mutex
	slots   [slots][]*conn
	newest  int // the slot of the last connection
	turn    int // the slot of the last beat
	stopped bool

	visiting []*conn // beat's own
}

// place is where a connection is in the wheel.
type place struct {
	slot, index int // under wheel.mu
	unanswered  int // pings since the client was heard last; beat's own
}

// add reports false if the wheel has stopped.
func (w *wheel) add(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	w.newest = (w.newest + 1) % slots
	c.slot, c.index = w.newest, len(w.slots[w.newest])
	w.slots[c.slot] = append(w.slots[c.slot], c)
	return true
}

func (w *wheel) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[c.slot]
	last := len(s) - 1
	s[c.index] = s[last]
	s[c.index].index = c.index
	s[last] = nil
	w.slots[c.slot] = s[:last]
}

// beat visits the connections of the next slot. It is called by one goroutine.
func (w *wheel) beat(now time.Time) {
	w.mu.Lock()
	w.turn = (w.turn + 1) % slots
	w.visiting = append(w.visiting[:0], w.slots[w.turn]...)
	w.mu.Unlock()
	var ping *wire.Frame
	for i, c := range w.visiting {
		w.visiting[i] = nil
		if c.Active() {
			c.unanswered = 0
		}
		switch {
		case c.unanswered >= w.patience:
			c.peer.Close(engine.CloseIdle)
			continue
		case !c.primus:
			c.peer.SendRaw(controlPing[:])
		default:
			if ping == nil {
				ping = primusPing(now)
			}
			c.peer.Send(ping)
		}
		c.unanswered++
	}
}

// controlPing is a ping frame without a payload. Nobody writes to it.
var controlPing = [...]byte{fin | opPing, 0}

// stop returns all connections. None is added after it.
func (w *wheel) stop() []*conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	var all []*conn
	for _, s := range w.slots {
		all = append(all, s...)
	}
	return all
}
