package events

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Store keeps events until they are delivered. Nodes of a cluster share one. Methods may be called concurrently. They return
// an error that wraps ctx's when ctx ends; a change may then have been made.
//
// A sink's events have an order: that of Append. At most one caller has a claim on a sink's oldest events at a time.
type Store interface {
	// Partition returns the partition of a tenant: a small number, always the same. A partition may fail while others work, so
	// callers write the events of different partitions by different calls of Append.
	Partition(tenant string) int

	// Append adds events in their order, and gives each a Sequence. It neither changes nor retains records. When it returns,
	// the events are as durable as the store. If the events of the tenant, or of all tenants, exceed Limits, the
	// sink with most bytes, of the tenant or of all, gives up its oldest events, which become dead letters. If the dead
	// letters exceed Limits, the sink with most bytes of them loses its oldest ones.
	Append(ctx context.Context, records []Record) error

	// Due returns up to limit sinks whose events can be claimed now: they have events, no claim, and no time to wait. After an error it
	// returns those of the partitions that work.
	Due(ctx context.Context, limit int) ([]Sink, error)

	// Claim returns the oldest events of a sink, from 1 to limit. The data of several have together at most about
	// Limits.ClaimBytes. It returns nil if the sink has no events or has to wait, or if another caller has a claim on them. A claim ends with Settle, or after lease. Events that have waited for Limits.Age
	// become dead letters.
	Claim(ctx context.Context, sink Sink, limit int, lease time.Duration) (*Claim, error)

	// Settle ends a claim. It reports whether more events of the sink are due. It does nothing if the claim has ended.
	Settle(ctx context.Context, c *Claim, result Result) (more bool, err error)

	// States returns the sinks of a tenant that have events or dead letters, ordered by name.
	States(ctx context.Context, tenant string) ([]State, error)

	// Dead returns a page of the dead letters of a sink, oldest first. next is the cursor of the next page; "" after the last.
	Dead(ctx context.Context, sink Sink, cursor string, limit int) (page []Letter, next string, err error)

	// Retry moves the dead letters at places to the end of the sink's events; if places is empty, the oldest ones, at most
	// MaxMoved. It returns the number of moved dead letters.
	Retry(ctx context.Context, sink Sink, places []string) (int, error)

	// Drop removes the dead letters at places; if places is empty, the oldest ones, at most MaxMoved. It returns their number.
	Drop(ctx context.Context, sink Sink, places []string) (int, error)

	// Erase removes the events and dead letters of a user of the tenant, and returns their number.
	// It reads all events of the tenant.
	Erase(ctx context.Context, tenant, user string) (int, error)

	// Usage returns what waits for all sinks. It is called every 15 s.
	Usage(ctx context.Context) (Usage, error)
}

// Usage is what waits for all sinks, and how many events have left the store without a delivery. The nodes of a cluster have the same
// numbers.
type Usage struct {
	Bytes     int64 // of the events
	DeadBytes int64 // of the dead letters
	Oldest    int64 // since when the oldest event waits, ms since 1970; 0: none waits

	// Numbers that grow, until the store begins anew.
	Aged    uint64 // events that became dead letters because they had waited for Limits.Age
	Crowded uint64 // events that became dead letters because too many waited
	Dropped uint64 // dead letters that were removed because of Limits, and events that nodes could not write
}

// Taker takes events for the sinks of tenants; [Dispatcher] implements it. Its methods are called concurrently.
type Taker interface {
	// Wants returns the kinds of events that the tenant's sinks receive. It is called for each message and must be fast.
	Wants(tenant string) Kinds
	// Begin takes an event, without waiting. The caller waits for its Write before it answers a client.
	Begin(tenant string, kind Kind, e Event) *Write
}

// MaxMoved is the largest number of dead letters that one call of Retry or Drop changes.
const MaxMoved = 1000

// Claim is a right to deliver events of a sink.
type Claim struct {
	Sink     Sink
	Token    string // of the store
	Failures int    // failed deliveries since the last that succeeded
	Dropped  uint64 // events of the sink that were lost since the last delivery that succeeded
	Records  []Record
	Places   []string // of Records, in the store
}

// Result is the result of a claim. The zero Result returns the events; they are due at once.
type Result struct {
	Delivered int           // number of records that the sink has accepted: the first ones
	Dead      int           // number of records after these that become dead letters
	Wait      time.Duration // time until the remaining records are due; if it is not 0, the claim counts as a failure
	Error     string        // of the failure, or of the dead letters; at most MaxError bytes
}

// MaxError is the largest size of the text of an error, in bytes.
const MaxError = 256

// State is the state of a sink.
type State struct {
	Sink     string
	Events   int    // that wait
	Bytes    int64  // of them
	Oldest   int64  // the time of the oldest one, ms since 1970; 0: none waits
	Dead     int    // dead letters
	Dropped  uint64 // see Claim
	Failures int    // see Claim
	Error    string // of the last delivery that failed; "" after one that succeeded
	Next     int64  // the earliest time of the next delivery, ms since 1970; 0: none waits
}

// Letter is a dead letter.
type Letter struct {
	Place string // for Retry and Drop
	Record
}

// ErrUnknown is the error of a change that was made or not: the store does not know.
var ErrUnknown = errors.New("outcome unknown")

// Limits are the bounds of what waits.
type Limits struct {
	TenantBytes int64         // of a tenant's events, and as much of its dead letters; 0: 64 MiB
	TotalBytes  int64         // of all tenants' events, and as much of their dead letters; 0: 1 GiB. On Redis each of 16 partitions has a 16th
	Age         time.Duration // that an event waits until it becomes a dead letter, and a dead letter until it is dropped; 0: 24 h
	ClaimBytes  int64         // of the data of a claim with several events; 0: 512 KiB
}

// WithDefaults returns l with its defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	l.TenantBytes = cmp.Or(l.TenantBytes, 64<<20)
	l.TotalBytes = cmp.Or(l.TotalBytes, 1<<30)
	l.Age = cmp.Or(l.Age, 24*time.Hour)
	l.ClaimBytes = cmp.Or(l.ClaimBytes, 512<<10)
	return l
}
