package engine

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
)

// TenantConfig is an isolated world: its own rooms and connections.
type TenantConfig struct {
	Name string // [a-z0-9-]{1,63}

	// Hosts and Paths are what a WebSocket client asks for when it belongs
	// here: host names without a port, in lower case, and whole segments that
	// paths begin with, such as "/acme". No two tenants share one.
	Hosts, Paths []string

	StartingRooms    []string       // created when the engine starts; they may exist
	ClientsMayCreate bool           // the action createChatRoom
	Rooms            []RoomSettings // the first that matches counts
	Connections      int            // limit; 0: only the node's
	MaxRooms         int            // limit of rooms that exist, passed at most by those made at once; 0: none
}

// RoomSettings are those of the rooms that match.
type RoomSettings struct {
	Match      func(room string) bool
	MaxMembers int // on all nodes; joins at the same moment may pass it; 0: no limit
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

// Match finds the tenant of a WebSocket request by its Host header, with or
// without a port, and the path of its URL; rest is the path without the tenant's
// prefix. A host or a path is enough; a path is more specific than a host, and a
// longer path than a shorter one. What matches nothing is DefaultTenant's.
func (e *Engine) Match(host, path string) (tenant, rest string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	tenant, rest = DefaultTenant, path
	longest := 0
	for name, t := range e.tenants {
		for _, p := range t.cfg.Paths {
			if after, ok := strings.CutPrefix(path, p); ok && len(p) > longest && (after == "" || after[0] == '/') {
				tenant, rest, longest = name, after, len(p)
			}
		}
		if longest == 0 && slices.Contains(t.cfg.Hosts, host) {
			tenant = name
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
