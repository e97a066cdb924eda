package host

import (
	"sync/atomic"

	"github.com/mootchat/moot/engine/hook"
)

// Revision is a loaded set of rules: what [Host.Load] makes, and [Host.Swap] puts
// into use. It does not change.
type Revision struct {
	host        *Host
	id          string
	tenants     map[string]*tenant
	names       []string // of the tenants, in the order of the rules
	generations []*generation
	memory      int64        // bytes that all instances may use together
	chain       int64        // ns for all entries of a chain, about one event
	users       atomic.Int64 // who loaded or swapped it, and calls in flight
}

// ID is the digest of the rules and of all the modules in them, in hex.
func (r *Revision) ID() string { return r.id }

// Close lets go of a revision that is not swapped in, or undoes Keep. Instances that
// no other revision uses are closed.
func (r *Revision) Close() { r.release() }

// Keep has r outlast its being swapped out, so that it can be swapped in again: until
// as many calls of Close. It is called by who has r, or has kept it.
func (r *Revision) Keep() { r.users.Add(1) }

// retain keeps the revision from closing; false: it is closed.
func (r *Revision) retain() bool {
	for {
		n := r.users.Load()
		if n == 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *Revision) release() {
	if r.users.Add(-1) > 0 {
		return
	}
	// Not here: the last to let go is a message, and closing may wait for an
	// instance that is being made.
	go func() {
		defer r.host.revisions.Done()
		for _, g := range r.generations {
			g.release()
		}
	}()
}

// rest closes the instances that are of no use while next is in place of r: one that
// is kept for a swap back holds no memory of guests. Calls in flight have theirs closed
// when they end. r may be nil.
func (r *Revision) rest(next *Revision) {
	stays := make(map[*generation]bool, len(next.generations))
	for _, g := range next.generations {
		stays[g] = true
		g.pool.wake()
	}
	if r == nil {
		return
	}
	for _, g := range r.generations {
		if !stays[g] {
			g.pool.rest()
		} else {
			g.pool.shrink()
		}
	}
}

// all are the tenants; r may be nil.
func (r *Revision) all() map[string]*tenant {
	if r == nil {
		return nil
	}
	return r.tenants
}

// tenant is a tenant's chains.
type tenant struct {
	name    string
	gate    *gate
	memory  *budget
	share   float64 // of the processors
	chains  [hook.Action + 1]hookChain
	actions map[string]hook.ActionSpec
	doers   map[string][]*entry // by action: the entry that answers it
	entries []*entry            // in the order they are asked
	clashes []clash

	recording Recording
}

// all are the entries; t may be nil.
func (t *tenant) all() []*entry {
	if t == nil {
		return nil
	}
	return t.entries
}
