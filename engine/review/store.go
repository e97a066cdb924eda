package review

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Errors of a Store and of the functions of this package. The texts of ErrFull, ErrFullBytes, ErrOwnerFull, ErrDecided and
// ErrNone are for users. Any method may return ErrUnavailable.
var (
	ErrNone     = errors.New("there is no such item, or it was removed")
	ErrExists   = errors.New("the item exists")
	ErrConflict = errors.New("the item has changed")
	ErrDecided  = errors.New("it was decided already")
	ErrNoStore  = errors.New("the node keeps no held messages and reports") // the node has no Store
	ErrUnknown  = errors.New("outcome unknown")                             // the change may have been made, or may be lost

	// ErrUnavailable is the error of a store that does not answer, or whose disk is full or fails: nothing was changed, and a later
	// call may succeed.
	ErrUnavailable = errors.New("the store of held messages and reports is unavailable")

	ErrFull      = errors.New("too many items of the tenant wait for a decision")
	ErrFullBytes = errors.New("the items of the tenant that wait for a decision have too many bytes")
	ErrOwnerFull = errors.New("too many of your items wait for a decision")
)

// Limits bound the items of a tenant. They apply to each kind separately.
type Limits struct {
	Items     int           // items that are not decided; 0: 10,000
	Bytes     int64         // of these items, by Item.Size; 0: 64 MiB
	OfOwner   int           // items of one Item.Owner that are not decided; 0: 100
	Retention time.Duration // time for which decided items are kept; 0: 30 days
	HeldFor   time.Duration // time after which a held message expires, if its rule sets no time; 0: a day. Stores do not use it

	// A store removes decided items before their Retention ends, the oldest first, while there are more than Items of them, or
	// they have more than Bytes. Decided items never make a store refuse an item.
}

// WithDefaults returns l with the default of each field that is 0.
func (l Limits) WithDefaults() Limits {
	l.Items = cmp.Or(l.Items, 10_000)
	l.Bytes = cmp.Or(l.Bytes, 64<<20)
	l.OfOwner = cmp.Or(l.OfOwner, 100)
	l.Retention = cmp.Or(l.Retention, 30*24*time.Hour)
	l.HeldFor = cmp.Or(l.HeldFor, 24*time.Hour)
	return l
}

// Check returns ErrFull, ErrFullBytes or ErrOwnerFull if the undecided items of a kind would exceed the limits with one more,
// and otherwise nil. items and bytes are the number and the bytes of the undecided items of that kind, and ofOwner is the number
// of those that have the same Owner.
func (l Limits) Check(one *Item, items int, bytes int64, ofOwner int) error {
	l = l.WithDefaults()
	switch {
	case items >= l.Items:
		return ErrFull
	case bytes+one.Size() > l.Bytes:
		return ErrFullBytes
	case ofOwner >= l.OfOwner:
		return ErrOwnerFull
	}
	return nil
}

// Store keeps the items of all tenants. The nodes of a cluster share one. Methods may be called concurrently. When ctx ends,
// they return an error that wraps the error of ctx; a change may then have been made. Stores and callers share the slices and
// pointers of items: neither may change their contents.
type Store interface {
	// Put adds an item whose Revision is 0. Otherwise it replaces the stored item with the same ID and Revision. It returns the
	// item with its next Revision. When Put returns, the change is as durable as the store. The limits apply to an item that is
	// added, or that is no longer decided. Errors: ErrExists if another item has the ID or the Unique of a new one, or the
	// Unique of a changed one (Put then returns that item); ErrConflict if the stored item has another Revision; ErrNone if it
	// was removed; ErrFull, ErrFullBytes, ErrOwnerFull, ErrUnknown; that of Item.Validate.
	Put(ctx context.Context, one Item, limits Limits) (Item, error)

	// Get returns an item. Errors: ErrNone.
	Get(ctx context.Context, tenant, id string) (Item, error)

	// List returns a page of the items that a query selects, by ID: the oldest first. next is the Cursor of the next page;
	// "": this is the last one. If a query selects an item throughout, the item is on exactly one page. A page may be
	// shorter than the limit, or empty, even if others follow: a call reads at most MaxScanned items.
	List(ctx context.Context, tenant string, q Query) (page []Item, next string, err error)

	// Due returns at most limit items that are not decided and whose Due is at or before now, in ms, the earliest first. It
	// removes decided items whose Due has passed.
	Due(ctx context.Context, tenant string, now int64, limit int) ([]Item, error)

	// Remove removes an item. It reports whether there was one. Errors: ErrUnknown.
	Remove(ctx context.Context, tenant, id string) (bool, error)

	// Tenants returns the names of the tenants that have items, and perhaps of some that had items lately. They have no order.
	Tenants(ctx context.Context) ([]string, error)

	// Summary returns the numbers of the items of a tenant. The cost does not grow with the items.
	Summary(ctx context.Context, tenant string) (Summary, error)
}

// Query selects a page of items.
type Query struct {
	Decided bool   // decided items; false: those that are open or deciding
	Kind    Kind   // "": both
	Room    string // "": all
	Subject string // only those of this Item.Subject; "": all
	Cursor  string // of the page before; "": the first page
	Limit   int    // size of the page; 1 or more
}

// Selects reports whether the query selects the item, apart from Cursor and Limit.
func (q *Query) Selects(one *Item) bool {
	return q.Decided == (one.State == Decided) && (q.Kind == "" || q.Kind == one.Kind) &&
		(q.Room == "" || q.Room == one.Room) && (q.Subject == "" || q.Subject == one.Subject())
}

// MaxScanned is the maximum number of items that one call of Store.List reads.
const MaxScanned = 1000

// Summary describes the items of a tenant.
type Summary struct {
	Version int64 // grows with each change of an item
	Held    Count // of held messages
	Reports Count // of reports
	Decided int   // number of decided items that are kept
	Dropped int64 // number of decided items that were removed before their time; see Limits
}

// Count describes the items of a kind that are not decided.
type Count struct {
	Items  int
	Bytes  int64
	Oldest string // ID of the oldest; "": there is none. See TimeOf
}
