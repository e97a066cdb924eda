package node

import (
	"context"
	"sync"
)

// turns gives each tenant one turn at a time, and all tenants together a bounded number. Waiters are served
// in order: a tenant that asks repeatedly delays another tenant by at most one turn. A tenant without a
// turn and without waiters takes no memory.
type turns struct {
	all chan struct{} // one element for each running turn

	mu      sync.Mutex
	tenants map[string]*tenantTurn
}

// tenantTurn is the turn of one tenant.
type tenantTurn struct {
	free  chan struct{} // one element while the turn is taken
	users int           // the holder of the turn and its waiters
}

func newTurns(most int) *turns {
	return &turns{all: make(chan struct{}, most), tenants: make(map[string]*tenantTurn)}
}

// take waits for the turn of the tenant, then for ready, then for one of all turns. The caller calls end
// after its turn. An error is that of ctx or ready, and end is nil.
func (t *turns) take(ctx context.Context, tenant string, ready func(context.Context) error) (end func(), err error) {
	its := t.join(tenant)
	select {
	case its.free <- struct{}{}:
	case <-ctx.Done():
		t.leave(tenant, its)
		return nil, ctx.Err()
	}
	err = ready(ctx)
	if err == nil {
		select {
		case t.all <- struct{}{}:
			return func() { <-t.all; <-its.free; t.leave(tenant, its) }, nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	<-its.free
	t.leave(tenant, its)
	return nil, err
}

func (t *turns) join(tenant string) *tenantTurn {
	t.mu.Lock()
	defer t.mu.Unlock()
	its := t.tenants[tenant]
	if its == nil {
		its = &tenantTurn{free: make(chan struct{}, 1)}
		t.tenants[tenant] = its
	}
	its.users++
	return its
}

func (t *turns) leave(tenant string, its *tenantTurn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if its.users--; its.users == 0 {
		delete(t.tenants, tenant)
	}
}
