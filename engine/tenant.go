package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/review"
)

// TenantConfig configures a tenant, which has its own rooms and connections.
type TenantConfig struct {
	Name string // [a-z0-9-]{1,63}

	// Hosts and Paths select the tenant of a WebSocket request. Hosts are host names in
	// lower case without a port. Paths are prefixes of whole segments, such as "/acme". Two
	// tenants cannot have the same host or path.
	Hosts, Paths []string

	StartingRooms    []string       // created when the engine starts; they may exist already
	ClientsMayCreate bool           // enables the action createChatRoom
	Rooms            []RoomSettings // the first match applies

	// Tokens checks the tokens of this tenant's clients. nil: tokens are ignored. A client
	// without a token has no user; it is refused if TokenRequired is set.
	Tokens        Tokens
	TokenRequired bool

	// Faulty refuses the tenant's clients ("tenant is not configured correctly"), because its configuration cannot be used. Only Name, Hosts and
	// Paths apply. Connections that are open stay.
	Faulty bool

	Held              review.Limits // limits of held messages and reports. Items 0: Limits.HeldMessages; Bytes 0: Limits.HeldBytes; other zero fields: the defaults of review.Limits
	Limits            Limits        // zero fields: the node's limits apply
	MessagesPerSecond float64       // from clients and modules, on this node, with a burst of twice that; 0: no limit
}

// RoomSettings are the settings of the rooms that Match selects.
type RoomSettings struct {
	Match      func(room string) bool
	MaxMembers int               // on all nodes; joins at the same time may exceed it; 0: no limit
	Retention  cluster.Retention // history that members can ask for; zero: none; Bytes 0: Limits.HistoryBytes
	Presence   bool              // members may ask for notices of joins and leaves
	Users      bool              // messages and lists of members have the users
	JSON       bool              // members may send JSON objects and arrays; without it they send texts

	// AmendmentNotices sends members that did not ask for amendments a message of the system for each
	// retraction and edit.
	AmendmentNotices bool

	// FlushDelay is the time that a message may wait for others, to be sent to each member
	// in one write with them. Messages to one connection do not wait.
	FlushDelay time.Duration
}

func (s *RoomSettings) check(c *cluster.Backend) error {
	switch {
	case s.Retention.Messages < 0 || s.Retention.Messages > 0 && s.Retention.For <= 0:
		return fmt.Errorf("history of %d messages for %v", s.Retention.Messages, s.Retention.For)
	case s.Retention.Messages > 0 && s.Retention.Ephemeral:
		return errors.New("ephemeral messages have no history: set one of the two")
	case s.Retention.Messages > 0 && c.History == nil:
		return errors.New("the cluster backend keeps no history")
	}
	return nil
}

// DefaultTenant is the tenant of clients that no other tenant matches.
const DefaultTenant = "default"

// tenant is a tenant of this node. It outlives changes of its settings.
type tenant struct {
	name    string
	config  atomic.Pointer[TenantConfig] // its limits have the node's values for zero fields
	writers *fanout.Writers

	messages  atomic.Uint64 // published by this node
	sanctions sanctions
	queued    atomic.Pointer[review.Summary] // numbers of the review queue; nil: it has no items, or another node looks after the tenant
	changes   backlog                        // of sanctions, by modules
	removals  backlog                        // of members and connections, by modules
	amends    backlog                        // of messages, by modules
	pages     pageTurns                      // to encode
	reads     pageTurns                      // to read from the backend
	keys      atomic.Int64                   // idempotency keys of its connections
	closed    closedUsers

	mu        sync.Mutex
	rooms     map[string]*room
	published bucket // messages

	// Guarded by Engine.mu.
	quota quota
	ids   btree.Map[string, *Connection] // its connections, in the order of their ids
	users map[string][]*Connection       // the same connections, by user
	gone  chan struct{}                  // not nil: the tenant was removed; closed when its last connection has ended
}

func newTenant(name string, writers *fanout.Writers) *tenant {
	return &tenant{name: name, writers: writers, pages: newEncodeTurns(), reads: newReadTurns(), rooms: map[string]*room{}, users: map[string][]*Connection{}}
}

// cfg returns the tenant's current settings, or the last ones after its removal.
func (t *tenant) cfg() *TenantConfig { return t.config.Load() }

// mayPublish counts a message against MessagesPerSecond; the error is a *LimitError.
func (t *tenant) mayPublish() error {
	limit := t.cfg().MessagesPerSecond
	if limit <= 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.published.take(time.Now(), limit, 1); wait > 0 {
		return &LimitError{wait}
	}
	return nil
}

// empty reports whether this node holds no room of the tenant.
func (t *tenant) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.rooms) == 0
}

// acquire returns the room and creates it if needed. The caller must call release.
func (t *tenant) acquire(name string) *room {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rooms[name]
	if r == nil {
		r = newRoom(cluster.RoomID{Tenant: t.name, Room: name}, t.writers)
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

// lookup returns the room if this node holds it, else nil. The caller must call release for
// a room.
func (t *tenant) lookup(name string) *room {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rooms[name]
	if r != nil {
		r.uses++
	}
	return r
}

func (t *tenant) settings(name string) RoomSettings {
	cfg := t.cfg()
	for _, s := range cfg.Rooms {
		if s.Match == nil || s.Match(name) {
			if s.Retention.Messages > 0 && s.Retention.Bytes == 0 {
				s.Retention.Bytes = cfg.Limits.HistoryBytes
			}
			return s
		}
	}
	return RoomSettings{}
}

// Match selects the tenant of a WebSocket request by its Host header, with or without a
// port, and the path of its URL. rest is the path without the tenant's prefix. A matching
// host or path is enough. A path takes precedence over a host, and a longer path over a
// shorter one. DefaultTenant gets requests that match no other tenant.
func (e *Engine) Match(host, path string) (tenant, rest string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	s := e.settings.Load()
	for p := path; p != ""; p = p[:max(0, strings.LastIndexByte(p, '/'))] {
		if len(p) > s.longest {
			continue // limits the cost of a long path with many segments
		}
		if t := s.paths[p]; t != "" {
			return t, path[len(p):]
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return cmp.Or(s.hosts[host], DefaultTenant), path
}

// exists returns ErrNoRoom if the cluster has no such room.
func (e *Engine) exists(ctx context.Context, id cluster.RoomID) error {
	ok, err := e.cluster.Rooms.Exists(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return cluster.ErrNoRoom
	}
	return nil
}
