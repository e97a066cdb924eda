package host

import (
	"sync/atomic"

	"github.com/mootchat/moot/engine/hook"
)

// Revision is a loaded set of rules: [Host.Load] makes it, and [Host.Swap] puts it into use. It is immutable.
type Revision struct {
	host        *Host
	id          string
	tenants     map[string]*tenant
	names       []string // of the tenants, in the order of the rules
	generations []*generation
	faults      []Fault
	memory      int64        // limit for all instances together, in bytes
	chain       int64        // time limit of a chain for one event, in ns
	users       atomic.Int64 // its owners, and calls in flight
}

// ID returns the digest of the rules of all tenants and of their modules, in hex.
func (r *Revision) ID() string { return r.id }

// Faults returns the tenants that could not be loaded, in the order of the rules. The revision has each of them as it was
// in the revision in use, or not at all.
func (r *Revision) Faults() []Fault { return r.faults }

// Fault is a tenant of the rules that cannot be loaded.
type Fault struct {
	Tenant   string
	Problems Problems
}

// Has reports whether the revision has a tenant of this name.
func (r *Revision) Has(tenant string) bool { return r.tenants[tenant] != nil }

// Close releases a revision that is not swapped in, or undoes Keep. Instances that no other revision uses are closed.
func (r *Revision) Close() { r.release() }

// Keep keeps r usable after it is swapped out, so that it can be swapped in again. Each Keep needs one Close. The
// caller must own r, or have kept it.
func (r *Revision) Keep() { r.users.Add(1) }

// retain keeps the revision from closing; false if it is closed.
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
	// The generations are released in the background: the last call of release may be part of a delivery, and closing
	// may wait for an instance that is being made.
	go func() {
		defer r.host.revisions.Done()
		for _, g := range r.generations {
			g.release()
		}
	}()
}

// retire closes the instances that next does not use, so that a revision kept for a rollback uses no memory of guests.
// Instances of calls in flight are closed at the end of the call. r may be nil.
func (r *Revision) retire(next *Revision) {
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

// bindings returns the number of bindings; r may be nil.
func (r *Revision) bindings() int {
	if r == nil {
		return 0
	}
	return len(r.generations)
}

// all returns the tenants; r may be nil.
func (r *Revision) all() map[string]*tenant {
	if r == nil {
		return nil
	}
	return r.tenants
}

// tenant has the chains of a tenant.
type tenant struct {
	name    string
	gate    *gate
	memory  *budget
	share   float64 // of the processors
	chains  [hook.Action + 1]hookChain
	actions map[string]hook.ActionSpec
	doers   map[string][]*entry // by action: the entry that answers it
	entries []*entry            // in the order of calls
	clashes []clash

	recording   Recording
	sum         [32]byte // of the rules; zero: unknown
	digest      [32]byte // of all data that affects decisions of the chains
	generations []*generation
}

// release releases the generations.
func (t *tenant) release() {
	for _, g := range t.generations {
		g.release()
	}
}

// holds returns the generations; t may be nil.
func (t *tenant) holds() []*generation {
	if t == nil {
		return nil
	}
	return t.generations
}

// all returns the entries; t may be nil.
func (t *tenant) all() []*entry {
	if t == nil {
		return nil
	}
	return t.entries
}
