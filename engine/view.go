package engine

import (
	"context"
	"encoding/json"
	"slices"
)

// What operators see of connections, wherever they are.

// ConnectionInfo is a connection as operators see it.
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
	Rooms          []string                   `json:"rooms"`          // in the order it joined them
	Away           bool                       `json:"away,omitempty"` // it was lost, and may be resumed
	OutboxBytes    int                        `json:"outboxBytes"`    // that wait for it
	TotalActions   int                        `json:"totalActions"`
	PendingActions int                        `json:"pendingActions"`
	Properties     map[string]json.RawMessage `json:"properties,omitempty"` // not in lists
	Claims         []string                   `json:"claims,omitempty"`     // names of the properties that a token gave
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

// Connection gives what is known of a connection.
func (e *Engine) Connection(ctx context.Context, tenant, id string) (i ConnectionInfo, err error) {
	value, err := e.askConnection(ctx, tenant, id, call{Do: callDetails})
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(value, &i)
}

// list is what callList answers.
type list struct {
	Connections []ConnectionInfo `json:"connections"`
}

// listed gives this node's connections of the tenant whose ids come after one, in
// the order of their ids.
func (e *Engine) listed(t *tenant, after string, limit int) list {
	l := list{Connections: []ConnectionInfo{}}
	for _, c := range e.connectionsAfter(nil, t, after, min(max(1, limit), maxListed)) {
		l.Connections = append(l.Connections, c.info())
	}
	return l
}

// connectionsAfter appends the tenant's connections here whose ids come after one, in
// the order of their ids, at most limit.
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

// TenantStats are a tenant as this node knows it.
type TenantStats struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"` // on this node
	Rooms       int    `json:"rooms"`       // with members on this node
	OutboxBytes int    `json:"outboxBytes"` // that wait for its connections
	Messages    uint64 `json:"messages"`    // published by this node since the tenant was configured
}

// TenantNames gives at most limit names of the tenants of the settings in use, after
// one, in their order, and whether others follow.
func (e *Engine) TenantNames(after string, limit int) (names []string, more bool) {
	all := e.settings.Load().names
	from, found := slices.BinarySearch(all, after)
	if found {
		from++
	}
	all = all[from:]
	names = all[:min(len(all), max(1, limit))]
	return slices.Clone(names), len(names) < len(all)
}

// Tenants are all tenants of the settings in use, in the order of their names.
func (e *Engine) Tenants() []TenantStats { return e.TenantsNamed(e.settings.Load().names) }

// TenantsNamed are those tenants, without names that no tenant has. The cost grows with
// their connections.
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
		t.mu.Lock()
		s.Rooms = len(t.rooms)
		t.mu.Unlock()
		all = append(all, s)
	}
	return all
}

// maxLooked is how many connections are looked up while clients cannot come or go.
const maxLooked = 1000

// waiting counts the tenant's connections here and the bytes that wait for them.
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
