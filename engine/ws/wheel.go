package ws

import (
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// slots is the number of parts of the time between two heartbeats. Each connection gets
// its heartbeat in one of them, so that pings and their answers are spread over time.
const slots = 30

// wheel holds all open connections and sends their heartbeats. It has one ticker
// instead of one timer per connection.
type wheel struct {
	maxUnanswered int // a client with more unanswered pings is closed

	mu      sync.Mutex
	slots   [slots][]*conn
	newest  int // the slot of the connection that was added last
	current int // the slot of the last beat
	stopped bool

	batch []*conn // used by beat
}

// position is the position of a connection in the wheel.
type position struct {
	slot, index int // under wheel.mu
	unanswered  int // pings since the client last sent something; used by beat
}

// add adds a connection. It returns false if the wheel has stopped.
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

// beat sends the heartbeats of the next slot, and closes clients that do not answer.
// It is called by one goroutine.
func (w *wheel) beat(now time.Time) {
	w.mu.Lock()
	w.current = (w.current + 1) % slots
	w.batch = append(w.batch[:0], w.slots[w.current]...)
	w.mu.Unlock()
	var ping *wire.Frame
	for i, c := range w.batch {
		w.batch[i] = nil
		if c.Active() {
			c.unanswered = 0
		}
		switch {
		case c.unanswered >= w.maxUnanswered:
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

// controlPing is a ping frame without a payload. Do not change it.
var controlPing = [...]byte{fin | opPing, 0}

// stop returns all connections. Afterwards add returns false.
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
