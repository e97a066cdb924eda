package api

import (
	"net/http"
	"sync"
)

// mostStreams is how many answers of a key may go on at once: each holds one of the
// port's sockets, and has every call of a module written down.
const mostStreams = 8

// streamCount counts the answers that go on, by key.
type streamCount struct {
	mu   sync.Mutex
	open map[scope]int
}

// begin takes a place, which end gives back.
func (c *streamCount) begin(who scope) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[who] >= mostStreams {
		return fault(http.StatusTooManyRequests, CodeRateLimited, "this key listens to %d recordings already: end one of them", mostStreams)
	}
	if c.open == nil {
		c.open = map[scope]int{}
	}
	c.open[who]++
	return nil
}

func (c *streamCount) end(who scope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[who]--; c.open[who] == 0 {
		delete(c.open, who)
	}
}
