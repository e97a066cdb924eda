package moderation

import "context"

// Store keeps the sanctions of all tenants. Nodes of a cluster share one. Methods may be called
// concurrently. They return an error that wraps ctx's when ctx ends; a change may then have
// been made.
type Store interface {
	// Set adds a sanction, or replaces the one with its ID, and returns what it stored: At is
	// the time of the store's clock. s.Identify has succeeded. When Set returns, the sanction
	// is as durable as the store; the followers of this Store have it, and those of other nodes
	// receive it within a moment. Errors: ErrFull, ErrModulesFull, ErrSubjectFull, ErrUnknown.
	Set(ctx context.Context, s Sanction) (Sanction, error)

	// Remove removes a sanction. It reports whether there was one that had not ended. Errors:
	// ErrUnknown.
	Remove(ctx context.Context, tenant, id string) (bool, error)

	// List returns a page of the sanctions that have not ended, ordered by subject and ID. The
	// cost depends on the size of the page, except for sanctions that have ended. A sanction
	// that exists from the first page to the last is on exactly one of them. A page may be
	// shorter than the limit even if others follow.
	List(ctx context.Context, tenant string, q Query) (page []Sanction, next string, err error)

	// Follow passes the sanctions of a tenant to f, and then each change until stop is called.
	// It returns when f has received the sanctions that existed before the call. f is called
	// from one goroutine at a time, never after stop has returned, and must not call the store
	// or stop. After a failure of the connection between node and store f receives all
	// sanctions anew.
	Follow(ctx context.Context, tenant string, f func(Change)) (stop func(), err error)
}

// Query selects a page of sanctions.
type Query struct {
	Subject string // only those of this Sanction.Subject; "": all
	Cursor  string // of the page before; "": the first page
	Limit   int    // size of the page; 1 or more
}

// Change is a change of the sanctions of a tenant. The receiver must not change the slices.
type Change struct {
	All     bool       // Set has all sanctions; others do not exist
	Set     []Sanction // new or replaced
	Removed []string   // IDs
}

// Apply makes the change in a list.
func (c *Change) Apply(to *List) {
	if c.All {
		to.Replace(c.Set)
		return
	}
	for i := range c.Set {
		to.Set(c.Set[i])
	}
	for _, id := range c.Removed {
		to.Remove(id)
	}
}
