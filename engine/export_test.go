package engine

import (
	"context"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// HeldRooms returns the number of a tenant's rooms that this node holds. It is 0 if no room
// has a member or a running call.
func (e *Engine) HeldRooms(tenant string) int {
	e.mu.Lock()
	t := e.allTenants[tenant]
	e.mu.Unlock()
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.rooms)
}

// Reservations returns the number of places that are taken.
func (e *Engine) Reservations() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, t := range e.allTenants {
		n += t.quota.taken
	}
	return n
}

// TenantQueues returns the number of tenant queues of the writers.
func (e *Engine) TenantQueues() int { return e.writers.Queues() }

// MaxQueued is the number of messages that may wait in a room's queue.
const MaxQueued = maxQueued

// Claim gives a connection a property that counts as a claim of its token.
func Claim(c *Connection, name, value string) {
	_ = c.set(hook.Property{Name: name, Value: []byte(value)})
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.profile.Load()
	for i := range p.Properties {
		p.Properties[i].Claim = p.Properties[i].Claim || p.Properties[i].Name == name
	}
}

// Begin calls the tracer as it is called before a verb.
func Begin(ctx context.Context, c *Connection, r *wire.Request) { c.begin(ctx, r) }

// ObserveVerb counts a verb that has ended.
func (e *Engine) ObserveVerb(name string, err error, took time.Duration) {
	e.stats.verbs.observe(name, err, took)
}

// MaxLooked is the maximum number of connections that are read under one lock.
const MaxLooked = maxLooked

// PageTurns limits the pages of a tenant that are encoded at once.
type PageTurns = pageTurns

// NewPageTurns returns the turns of a new tenant to encode pages.
func NewPageTurns() PageTurns { return newEncodeTurns() }

// MaxReads is the number of reads of pages of a tenant that run at once.
const MaxReads = maxReads

// Take calls take.
func (t pageTurns) Take(ctx context.Context, encode func()) error { return t.take(ctx, encode) }

// Keys returns the numbers of idempotency keys that this node remembers for the connection, for its tenant and for all
// tenants.
func Keys(c *Connection) (ofConnection, ofTenant, ofNode int) {
	return len(c.keys.all()), int(c.tenant.keys.Load()), int(c.engine.keys.Load())
}

// AddKeys counts n keys of other connections.
func AddKeys(c *Connection, n int) {
	c.tenant.keys.Add(int64(n))
	c.engine.keys.Add(int64(n))
}

// MaxNodeKeys and MinKeys are limits of idempotency keys.
const (
	MaxNodeKeys = maxNodeKeys
	MinKeys     = minKeys
)

// Moderate starts to carry out the sanctions and removals of effects, and returns the other effects.
func (e *Engine) Moderate(tenant string, effects []hook.Effect) []hook.Effect {
	return e.moderate(e.settings.Load().tenants[tenant], effects)
}
