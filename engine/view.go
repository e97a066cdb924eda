package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/review"
)

// Operators can read the data of connections on all nodes, and of tenants on this node.

// ConnectionInfo is the data of a connection for operators.
type ConnectionInfo struct {
	ID             string                     `json:"id"`
	Node           string                     `json:"node"`
	Tenant         string                     `json:"tenant"`
	Fingerprint    string                     `json:"fingerprint"`
	User           string                     `json:"user,omitempty"`
	Transport      string                     `json:"transport"`
	RemoteIP       string                     `json:"remoteIP"`
	RemotePort     int                        `json:"remotePort"`
	Locale         string                     `json:"locale,omitempty"`
	ConnectedAt    int64                      `json:"connectedAt" format:"unix-ms"`
	Rooms          []string                   `json:"rooms"`          // in the order of joining
	Away           bool                       `json:"away,omitempty"` // the connection was lost and may be resumed
	OutboxBytes    int                        `json:"outboxBytes"`    // bytes that wait for the connection
	TotalActions   int                        `json:"totalActions"`
	PendingActions int                        `json:"pendingActions"`
	Properties     map[string]json.RawMessage `json:"properties,omitempty"` // left out in lists
	Claims         []string                   `json:"claims,omitempty"`     // names of the properties that come from a token
}

func (c *Connection) info() ConnectionInfo {
	p := c.profile.Load()
	i := ConnectionInfo{ID: p.ID, Node: c.engine.Self(), Tenant: p.Tenant, Fingerprint: p.Fingerprint, User: p.User, Transport: p.Transport,
		RemoteIP: p.RemoteIP, RemotePort: p.RemotePort, Locale: p.Locale, ConnectedAt: p.ConnectedAt, Rooms: c.Rooms(), Away: c.engine.sessions.isAway(c), OutboxBytes: c.out.Bytes()}
	c.mu.Lock()
	defer c.mu.Unlock()
	i.TotalActions, i.PendingActions = c.totalActions, c.pendingActions
	return i
}

func (c *Connection) infoWithProperties() ConnectionInfo {
	i := c.info()
	i.Properties = map[string]json.RawMessage{}
	for _, p := range c.profile.Load().Properties {
		i.Properties[p.Name] = p.Value
		if p.Claim {
			i.Claims = append(i.Claims, p.Name)
		}
	}
	return i
}

// Connection returns the data of a connection.
func (e *Engine) Connection(ctx context.Context, tenant, id string) (i ConnectionInfo, err error) {
	value, err := e.askConnection(ctx, tenant, id, call{Do: callDetails})
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(value, &i)
}

// list is the answer to callList.
type list struct {
	User        string           `json:"user,omitempty"` // as in the call; a node of an earlier version lists all connections and sets none
	Connections []ConnectionInfo `json:"connections"`
}

// listed returns the tenant's connections on this node whose ids follow after, sorted by
// id: those of the user, or all if user is "".
func (e *Engine) listed(t *tenant, user, after string, limit int) list {
	l := list{User: user, Connections: []ConnectionInfo{}}
	limit = min(max(1, limit), maxListed)
	if user == "" {
		for _, c := range e.connectionsAfter(nil, t, after, limit) {
			l.Connections = append(l.Connections, c.info())
		}
		return l
	}
	for _, c := range e.connectionsOfUser(t, user) {
		if c.ID() > after && len(l.Connections) < limit {
			l.Connections = append(l.Connections, c.info())
		}
	}
	return l
}

// connectionsAfter appends the tenant's connections on this node whose ids follow after,
// sorted by id, until page has limit connections.
func (e *Engine) connectionsAfter(page []*Connection, t *tenant, after string, limit int) []*Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.ids.Ascend(after, func(id string, c *Connection) bool {
		if id != after {
			page = append(page, c)
		}
		return len(page) < limit
	})
	return page
}

// TenantStats are the numbers of a tenant on this node.
type TenantStats struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"` // on this node
	Rooms       int    `json:"rooms"`       // with members on this node
	OutboxBytes int    `json:"outboxBytes"` // bytes that wait for its connections
	Messages    uint64 `json:"messages"`    // published by this node since the tenant was configured
	Held        int    `json:"held"`        // held messages that wait for a decision; 0 on a node that does not look after the tenant
	HeldSince   int64  `json:"heldSince"`   // time of the oldest of them, in ms since 1970; 0: there is none

	// Reports and ReportsSince are the same for reports.
	Reports      int   `json:"reports"`
	ReportsSince int64 `json:"reportsSince"`

	ReviewDropped int64 `json:"reviewDropped"` // see review.Summary.Dropped; 0 on a node that does not look after the tenant
}

// waitingSince returns the number of items, and the time of the oldest in ms since 1970; 0: there is none.
func waitingSince(c review.Count) (items int, since int64) {
	if c.Items == 0 {
		return 0, 0
	}
	return c.Items, review.TimeOf(c.Oldest).UnixMilli()
}

// TenantCount returns the number of tenants in the current settings.
func (e *Engine) TenantCount() int { return len(e.settings.Load().names) }

// TenantNames returns at most limit names of tenants in the current settings that contain
// search and follow after, sorted. more reports whether there are further ones.
func (e *Engine) TenantNames(search, after string, limit int) (names []string, more bool) {
	all := e.settings.Load().names
	from, found := slices.BinarySearch(all, after)
	if found {
		from++
	}
	for _, name := range all[from:] {
		switch {
		case !strings.Contains(name, search):
		case len(names) == max(1, limit):
			return names, true
		default:
			names = append(names, name)
		}
	}
	return names, false
}

// Tenants returns the numbers of all tenants of the current settings, sorted by name.
func (e *Engine) Tenants() []TenantStats { return e.TenantsNamed(e.settings.Load().names) }

// TenantsNamed returns the numbers of the named tenants. It leaves out unknown names. The
// cost grows with the number of their connections.
func (e *Engine) TenantsNamed(names []string) []TenantStats {
	tenants := e.settings.Load().tenants
	all := make([]TenantStats, 0, len(names))
	for _, name := range names {
		t := tenants[name]
		if t == nil {
			continue
		}
		s := TenantStats{Name: name, Messages: t.messages.Load()}
		s.Connections, s.OutboxBytes = e.waiting(t)
		if q := t.queued.Load(); q != nil {
			s.Held, s.HeldSince = waitingSince(q.Held)
			s.Reports, s.ReportsSince = waitingSince(q.Reports)
			s.ReviewDropped = q.Dropped
		}
		t.mu.Lock()
		s.Rooms = len(t.rooms)
		t.mu.Unlock()
		all = append(all, s)
	}
	return all
}

// maxLooked is the maximum number of connections that are read while the lock keeps clients
// from connecting and disconnecting.
const maxLooked = 1000

// waiting returns the number of the tenant's connections on this node and of the bytes that
// wait for them.
func (e *Engine) waiting(t *tenant) (connections, bytes int) {
	e.mu.Lock()
	n := t.ids.Len()
	e.mu.Unlock()
	page := make([]*Connection, 0, min(n+1, maxLooked))
	for after := ""; ; {
		page = e.connectionsAfter(page[:0], t, after, maxLooked)
		for _, c := range page {
			bytes += c.out.Bytes()
		}
		if connections += len(page); len(page) < maxLooked {
			return connections, bytes
		}
		after = page[len(page)-1].ID()
	}
}
