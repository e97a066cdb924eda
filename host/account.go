package host

import (
	"context"
	"time"
)

// Account is the budget of a tenant in a host: its share of the processors and its part of the
// memory. A second host with the account in [Config].Account charges all use of its modules to the
// account, and shares the compiled code. So a tenant pays for trials of its modules. It is safe for
// concurrent use.
type Account struct {
	host   *Host
	gate   *gate
	memory *budget
}

// Account returns the account of a tenant of the rules in use; nil if there is no such tenant.
// Close of the host waits until Release is called.
func (h *Host) Account(tenant string) *Account {
	r := h.running()
	if r == nil {
		return nil
	}
	defer r.release()
	t := r.tenants[tenant]
	if t == nil {
		return nil
	}
	h.revisions.Add(1)
	return &Account{h, t.gate, t.memory}
}

// Release must be called once, after every host with the account is closed.
func (a *Account) Release() { a.host.revisions.Done() }

// Wait waits while the tenant's modules have used more than their share of the processors. The
// error is that of ctx.
func (a *Account) Wait(ctx context.Context) error {
	for wait := a.gate.wait(now()); wait > 0; wait = a.gate.wait(now()) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// charge charges the host's own work since begin to the account; calls of modules are charged
// elsewhere. Without an account the work is free.
func (h *Host) charge(begin int64) {
	if a := h.cfg.Account; a != nil {
		end := now()
		a.gate.spend(end, end-begin)
	}
}

// aborted reports whether calls must end at once.
func (h *Host) aborted() bool {
	select {
	case <-h.cfg.Abort: // nil: never
		return true
	default:
		return false
	}
}

// nap sleeps, at most until Abort is closed.
func (h *Host) nap(d time.Duration) {
	if h.cfg.Abort == nil {
		time.Sleep(d)
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.cfg.Abort:
	}
}
