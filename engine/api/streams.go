package api

import (
	"net/http"
	"sync"
)

// How many answers may go on at once: each holds one of the port's sockets, and has every
// call of a module written down.
const (
	mostStreams       = 8               // of a key
	mostTenantStreams = mostSockets / 4 // of all tenants' keys: what is left serves requests that end
)

// streamCount counts the answers that go on, by key.
type streamCount struct {
	mu      sync.Mutex
	open    map[scope]int
	tenants int // of all tenants' keys
}

// begin takes a place, which end gives back.
func (c *streamCount) begin(who scope) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open[who] >= mostStreams:
		return fault(http.StatusTooManyRequests, CodeRateLimited, "this key listens to %d recordings already: end one of them", mostStreams)
	case who.tenant != "" && c.tenants >= mostTenantStreams:
		return fault(http.StatusTooManyRequests, CodeRateLimited, "keys of tenants listen to %d recordings of this node already: wait for one to end", mostTenantStreams)
	}
	if c.open == nil {
		c.open = map[scope]int{}
	}
	c.count(who, 1)
	return nil
}

// count is called with mu held.
func (c *streamCount) count(who scope, n int) {
	c.open[who] += n
	if who.tenant != "" {
		c.tenants += n
	}
}

func (c *streamCount) end(who scope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count(who, -1); c.open[who] == 0 {
		delete(c.open, who)
	}
}
