// Package store is the contract of module storage: the values and the token buckets of modules with
// the capabilities kv and rate. The packages memory and redis implement it; package storetest tests
// an implementation.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store has one namespace for each module of a tenant. A namespace has keys, each with a value of
// bytes, and separate token buckets.
//
// Methods may be called concurrently and return when ctx ends. Each is atomic. An implementation
// copies the values that it receives; the caller must not change the values that it gets. A ttl of
// 0 means that a value does not expire; a value with a negative ttl has expired already.
//
// Callers respect [MaxValueBytes] and [MaxRefill]. A module receives [ErrFull] as "over budget",
// and any other error as "unavailable".
type Store interface {
	// Get returns the value of a key, nil if there is none.
	Get(ctx context.Context, key Key) ([]byte, error)

	// Cached is Get from this node's memory: it does not wait. The documentation of an
	// implementation has the maximum age of the value.
	Cached(key Key) []byte

	// Set sets the value of a key, or removes the key if value is nil. It reports
	// whether the key existed.
	Set(ctx context.Context, key Key, value []byte, ttl time.Duration) (had bool, err error)

	// Swap sets the value like Set, if the key has the value old; nil means that there is no key.
	// It reports whether it has set the value.
	Swap(ctx context.Context, key Key, old, value []byte, ttl time.Duration) (swapped bool, err error)

	// Add adds delta to the number in a key's value (decimal, 64 bits, signed) and returns the sum.
	// A key that does not exist counts as 0 and gets the ttl; an existing key keeps its own. The
	// error is ErrNotNumber if the value or the sum is not such a number.
	Add(ctx context.Context, key Key, delta int64, ttl time.Duration) (sum int64, err error)

	// List returns a page of the names of a namespace's keys, in the order of their bytes:
	// at most limit names after cursor, "" for the first page, and the cursor of the next
	// page, "" after the last. A cursor is a name; the key may be gone. A key that exists
	// from the first page to the last is on exactly one of them. A page may have
	// fewer names than limit, or none, although others follow. The cost of a page depends
	// on limit, not on the number of keys.
	List(ctx context.Context, tenant, module, cursor string, limit int) (names []string, next string, err error)

	// Take takes tokens from a bucket. The bucket has room for burst tokens, starts full and
	// gains one token each per. Take returns 0 if it took the tokens, else the time until
	// there are enough, and takes none.
	Take(ctx context.Context, bucket Key, tokens, burst int, per time.Duration) (wait time.Duration, err error)
}

// Key names a value or a bucket in the namespace of a tenant's module.
type Key struct{ Tenant, Module, Name string }

// ErrFull means that a namespace has reached [MaxKeys] or [MaxNamespaceBytes].
var ErrFull = fmt.Errorf("the module's storage is full: at most %d keys and %d MiB", MaxKeys, MaxNamespaceBytes>>20)

// ErrNotNumber means that [Store.Add] cannot add to the value of a key.
var ErrNotNumber = errors.New("the value is not a 64-bit number, or the sum would not be one")

// Limits.
const (
	MaxValueBytes     = 64 << 10             // of one value
	MaxKeys           = 10_000               // of a namespace; also its number of buckets
	MaxNamespaceBytes = 16 << 20             // of a namespace's values and their names
	MaxRefill         = 365 * 24 * time.Hour // until an empty bucket is full: burst times per
)
