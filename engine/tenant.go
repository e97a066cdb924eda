package engine

import (
	"context"
	"strings"
	"sync"
)

// TenantConfig is an isolated world: its own rooms and connections.
type TenantConfig struct {
	Name string // [a-z0-9-]{1,63}

	// Hosts and Paths are what a WebSocket client asks for when it belongs
	// here: a host name without a port, a path prefix such as "/acme". A tenant
	// with both needs both. The tenant "default" takes the rest.
	Hosts, Paths []string

	StartingRooms    []string       // created when the engine starts; they may exist
	ClientsMayCreate bool           // the action createChatRoom
	Rooms            []RoomSettings // the first that matches counts
	Connections      int            // limit; 0: only the node's
	MaxRooms         int            // limit of rooms that exist; 0: none
}

// RoomSettings are those of the rooms that match.
type RoomSettings struct {
	Match      func(room string) bool
	MaxMembers int // on all nodes; 0: no limit
}

// DefaultTenant is the tenant of clients that no other tenant matches.
const DefaultTenant = "default"

type tenant struct {
	cfg     TenantConfig
	writers []*writer

	mu          sync.Mutex
	rooms       map[string]*room
	connections int
}

func newTenant(cfg TenantConfig, writers []*writer) *tenant {
	return &tenant{cfg: cfg, writers: writers, rooms: map[string]*room{}}
}

// hold gives the room as this node knows it, to be given back by release.
func (t *tenant) hold(name string) *room {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rooms[name]
	if r == nil {
		r = newRoom(RoomID{t.cfg.Name, name}, t.writers)
		t.rooms[name] = r
	}
	r.uses++
	return r
}

func (t *tenant) release(r *room) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.uses--; r.uses == 0 {
		delete(t.rooms, r.id.Room)
	}
}

// known is the room if this node has members of it or is at work on it, to be
// given back by release; nil if not.
func (t *tenant) known(name string) *room {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rooms[name]
	if r != nil {
		r.uses++
	}
	return r
}

func (t *tenant) settings(name string) RoomSettings {
	for _, s := range t.cfg.Rooms {
		if s.Match == nil || s.Match(name) {
			return s
		}
	}
	return RoomSettings{}
}

// specificity is how well a WebSocket request fits the tenant: 0 not at all. A
// host counts more than any path.
func (c *TenantConfig) specificity(host, path string) int {
	score := 0
	if len(c.Hosts) > 0 {
		for _, h := range c.Hosts {
			if strings.EqualFold(h, host) {
				score = 1 << 16
			}
		}
		if score == 0 {
			return 0
		}
	}
	if len(c.Paths) > 0 {
		prefix, ok := c.prefix(path)
		if !ok {
			return 0
		}
		score += 1 + len(prefix)
	}
	return score
}

// prefix is the longest of the tenant's path prefixes that path has.
func (c *TenantConfig) prefix(path string) (longest string, ok bool) {
	for _, p := range c.Paths {
		p = strings.TrimSuffix(p, "/")
		if rest, has := strings.CutPrefix(path, p); has && (rest == "" || rest[0] == '/') {
			if !ok || len(p) > len(longest) {
				longest, ok = p, true
			}
		}
	}
	return longest, ok
}

// Match finds the tenant of a WebSocket request, and the path that is left
// without the tenant's prefix. host may have a port.
func (e *Engine) Match(host, path string) (tenant, rest string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	best, rest := 0, path
	tenant = DefaultTenant
	for name, t := range e.tenants {
		if s := t.cfg.specificity(host, path); s > best {
			prefix, _ := t.cfg.prefix(path)
			best, tenant, rest = s, name, path[len(prefix):]
		}
	}
	return tenant, rest
}

// exists says whether there is such a room in the cluster.
func (e *Engine) exists(ctx context.Context, id RoomID) error {
	ok, err := e.cluster.Rooms.Exists(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNoRoom
	}
	return nil
}
