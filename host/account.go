package host

import (
	"context"
	"time"
)

// Account is what a tenant's modules may use of a host: its share of the processors and
// its part of the memory. Another host that has it as [Config].Account charges all that its modules
// use to it, and finds what the first has compiled: so a module is tried at its tenant's
// expense. Its methods may be called concurrently.
type Account struct {
	host   *Host
	gate   *gate
	memory *budget
}

// Account is that of a tenant of the rules in use, nil if there is none of the name. The
// host does not close until Release.
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

// Release is called once, when every host that has the account is closed.
func (a *Account) Release() { a.host.revisions.Done() }

// Wait waits while the tenant's modules have used more than their share of the
// processors. The error is that of ctx.
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

// charge books what the host itself has done for the account's tenant since begin: calls
// of modules are booked where they are made. Without an account
// the operator pays.
func (h *Host) charge(begin int64) {
	if a := h.cfg.Account; a != nil {
		end := now()
		a.gate.spend(end, end-begin)
	}
}

// aborted reports whether calls are to end at once.
func (h *Host) aborted() bool {
	select {
	case <-h.cfg.Abort: // nil: never
		return true
	default:
		return false
	}
}

// nap sleeps, but not longer than until calls are to end.
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
