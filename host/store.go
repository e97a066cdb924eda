package host

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/host/abi"
)

// Store keeps what modules with the capabilities kv and rate keep. Its methods
// may be called concurrently and return when ctx ends; they keep no value they
// are given, and the caller changes none it gets. A ttl of 0 is no end.
//
// Any error but [ErrFull] is told to the module as unavailable.
type Store interface {
	// Get gives the value of a key; nil: there is none.
	Get(ctx context.Context, key Key) ([]byte, error)

	// Recent is Get from this node's memory alone, without waiting: a value may be
	// as old as the store's copy of it.
	Recent(key Key) []byte

	// Set sets the value, and removes the key if value is nil. It reports whether the
	// key was there.
	Set(ctx context.Context, key Key, value []byte, ttl time.Duration) (had bool, err error)

	// Swap sets the value if the key has the old one; nil is an absent key. It
	// reports whether it did.
	Swap(ctx context.Context, key Key, old, value []byte, ttl time.Duration) (done bool, err error)

	// Add adds to the number that the key holds, in decimal, and gives the sum. An
	// absent key holds 0; ttl counts from when it was absent. ErrNoNumber if what
	// it holds is none, or the sum were none of 64 bits.
	Add(ctx context.Context, key Key, delta int64, ttl time.Duration) (sum int64, err error)

	// List gives at most limit names of a namespace's keys, without its buckets, in
	// the order of their bytes, and the cursor of the next page, "" at the end. The
	// first page's cursor is "", that of any other page the last name before it,
	// which need not exist. A key that exists from the first page to the last is on
	// exactly one of them. A page may be shorter than limit, even empty, though
	// others follow. The cost grows with limit, not with the number of keys.
	List(ctx context.Context, tenant, module, cursor string, limit int) (names []string, next string, err error)

	// Take takes tokens from a bucket that is full with burst of them and gains one
	// each per. It gives the time until they are there, 0 if they were taken.
	Take(ctx context.Context, key Key, tokens, burst int, per time.Duration) (wait time.Duration, err error)
}

// Key is a key in the namespace of one tenant's module.
type Key struct{ Tenant, Module, Name string }

// ErrFull says that a namespace has as many keys, or bytes, as it may have.
var ErrFull = errors.New("too many keys")

// ErrNoNumber says that a key holds what is no number, or one to which that much
// cannot be added.
var ErrNoNumber = errors.New("the key holds no number")

// Bounds of what a store keeps.
const (
	MaxValue = 64 << 10 // bytes of a value
	MaxKeys  = 10_000   // in a namespace, and as many buckets
	MaxSpace = 16 << 20 // bytes of a namespace's values and their names
)

// maxRefill bounds the time in which an empty bucket becomes full.
const maxRefill = 365 * 24 * time.Hour

// key is a key in the module's namespace.
func (in *instance) key(name string, refused int32) (Key, int32) {
	if refused == 0 && name == "" {
		refused = abi.BadPointer
	}
	return Key{in.generation.binding.tenant, in.generation.binding.module, name}, refused
}

// outcome is what a host function returns that waited on others.
func (in *instance) outcome(n int32, err error) int32 {
	in.waited()
	switch {
	case err == nil:
		return n
	case errors.Is(err, ErrFull):
		return abi.OverBudget
	case errors.Is(err, engine.ErrNoRoom):
		return abi.Absent
	}
	in.generation.counters.errors[HostFault].Add(1)
	return abi.Unavailable
}

func ttlOf(ms uint64) time.Duration {
	const forever = 100 * 365 * 24 * time.Hour
	if int64(ms) <= 0 {
		return 0
	}
	return time.Duration(min(int64(ms), forever.Milliseconds())) * time.Millisecond
}

func (in *instance) kvGet(stack []uint64) {
	k, n := in.key(in.question(stack, maxKey))
	var value []byte
	if n == 0 {
		value, n = in.value(k)
	}
	switch {
	case n != 0:
	case value == nil:
		n = abi.Absent
	default:
		n = in.give(value, stack[2], stack[3])
	}
	result(stack, n)
}

// value is the value of a key; at say, this node's copy of it.
func (in *instance) value(k Key) (value []byte, refused int32) {
	if in.readOnly() {
		return in.generation.store.Recent(k), 0
	}
	value, err := in.generation.store.Get(in.wait(), k)
	return value, in.outcome(0, err)
}

func (in *instance) kvSet(stack []uint64) {
	k, refused := in.keyToChange(stack[0], stack[1])
	value, refused2 := in.bytes(stack[2], stack[3], MaxValue)
	if refused = orElse(refused, refused2); refused == 0 {
		_, err := in.generation.store.Set(in.wait(), k, present(value), ttlOf(stack[4]))
		refused = in.outcome(0, err)
	}
	result(stack, refused)
}

func (in *instance) kvDel(stack []uint64) {
	k, refused := in.keyToChange(stack[0], stack[1])
	if refused == 0 {
		had, err := in.generation.store.Set(in.wait(), k, nil, 0)
		refused = in.outcome(oneIf(had), err)
	}
	result(stack, refused)
}

func (in *instance) kvAdd(stack []uint64) {
	k, refused := in.keyToChange(stack[0], stack[1])
	out, ok := in.mem.Read(uint32(stack[4]), 8)
	if refused == 0 && !ok {
		refused = abi.BadPointer
	}
	if refused == 0 {
		sum, err := in.generation.store.Add(in.wait(), k, int64(stack[2]), ttlOf(stack[3]))
		if err == nil {
			binary.LittleEndian.PutUint64(out, uint64(sum))
		}
		refused = in.outcome(0, err)
	}
	result(stack, refused)
}

func (in *instance) kvCAS(stack []uint64) {
	k, refused := in.keyToChange(stack[0], stack[1])
	old, refused2 := in.bytes(stack[2], stack[3], MaxValue)
	value, refused3 := in.bytes(stack[4], stack[5], MaxValue)
	if refused = orElse(refused, orElse(refused2, refused3)); refused == 0 {
		if len(old) == 0 {
			old = nil
		}
		done, err := in.generation.store.Swap(in.wait(), k, old, present(value), ttlOf(stack[6]))
		refused = in.outcome(oneIf(done), err)
	}
	result(stack, refused)
}

func (in *instance) rateTake(stack []uint64) {
	k, refused := in.keyToChange(stack[0], stack[1])
	tokens, per, burst := int32(stack[2]), int32(stack[3]), int32(stack[4])
	if refused == 0 && (tokens <= 0 || per <= 0 || burst < tokens || int64(burst)*int64(per) > maxRefill.Milliseconds()) {
		refused = abi.TooLarge
	}
	if refused == 0 {
		wait, err := in.generation.store.Take(in.wait(), k, int(tokens), int(burst), time.Duration(per)*time.Millisecond)
		ms := (wait + time.Millisecond - 1).Milliseconds()
		refused = in.outcome(int32(min(ms, 1<<31-1)), err)
	}
	result(stack, refused)
}

// keyToChange is key, where something may be changed.
func (in *instance) keyToChange(p, n uint64) (k Key, refused int32) {
	if in.readOnly() {
		return k, abi.NotGranted
	}
	return in.key(in.name(p, n, maxKey))
}

// present is value, not nil.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

func orElse(refused, other int32) int32 {
	if refused != 0 {
		return refused
	}
	return other
}

func oneIf(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
