package api

import (
	"net/http"
	"sync"
)

// Limits of concurrent recordings. Each recording occupies a socket of the port and makes the host record calls of modules.
const (
	maxStreams       = 8              // of a key
	maxTenantStreams = maxSockets / 4 // of the keys of all tenants; other requests need the remaining sockets
)

// streamCount counts recordings by key.
type streamCount struct {
	mu      sync.Mutex
	open    map[string]int // by the name of the key
	tenants int            // of the keys that do not reach all tenants
}

// begin counts a recording until end is called. It returns a fault if a limit is reached.
func (c *streamCount) begin(k *key) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open[k.name] >= maxStreams:
		return fault(http.StatusTooManyRequests, CodeRateLimited, "this key has %d recordings running: end one of them", maxStreams)
	case !k.ofAll() && c.tenants >= maxTenantStreams:
		return fault(http.StatusTooManyRequests, CodeRateLimited, "the keys of tenants have %d recordings running on this node: wait for one to end", maxTenantStreams)
	}
	if c.open == nil {
		c.open = map[string]int{}
	}
	c.count(k, 1)
	return nil
}

// count is called with mu held.
func (c *streamCount) count(k *key, n int) {
	c.open[k.name] += n
	if !k.ofAll() {
		c.tenants += n
	}
}

func (c *streamCount) end(k *key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count(k, -1); c.open[k.name] == 0 {
		delete(c.open, k.name)
	}
}
