package engine

import (
	"context"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// HeldRooms returns the number of rooms of a tenant on this node: 0 if nobody is in
// one and nothing is under way.
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

// Reservations are how many places are taken.
func (e *Engine) Reservations() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, t := range e.allTenants {
		n += t.quota.taken
	}
	return n
}

// TenantQueues are how many queues of tenants the writers have.
func (e *Engine) TenantQueues() int { return e.writers.Queues() }

// MaxQueued is how many messages wait in a room's queue.
const MaxQueued = maxQueued

// Claim gives a connection a property as a token would.
func Claim(c *Connection, name, value string) {
	_ = c.set(hook.Property{Name: name, Value: []byte(value)})
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.profile.Load()
	for i := range p.Properties {
		p.Properties[i].Claim = p.Properties[i].Claim || p.Properties[i].Name == name
	}
}

// Begin is what is done for traces before a verb is carried out.
func Begin(ctx context.Context, c *Connection, r *wire.Request) { c.begin(ctx, r) }

// ObserveVerb counts a verb, as each one that is carried out is counted.
func (e *Engine) ObserveVerb(name string, err error, took time.Duration) {
	e.stats.verbs.observe(name, err, took)
}

// MaxLooked is mostLooked.
const MaxLooked = maxLooked
