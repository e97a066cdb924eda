package host

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/store"
)

// key returns a key in the module's namespace. refused is the error of an earlier check, or 0; key sets it
// if the name is empty.
func (in *instance) key(name string, refused int32) (store.Key, int32) {
	if refused == 0 && name == "" {
		refused = abi.BadPointer
	}
	return store.Key{Tenant: in.generation.binding.tenant, Module: in.generation.binding.module, Name: name}, refused
}

// outcome returns the result of a host function that has waited for storage or rooms: n, or the error.
func (in *instance) outcome(n int32, err error) int32 {
	in.waited()
	switch {
	case err == nil:
		return n
	case errors.Is(err, store.ErrFull):
		return abi.OverBudget
	case errors.Is(err, cluster.ErrNoRoom):
		return abi.Absent
	}
	in.generation.counters.errors[HostFault].Add(1)
	return abi.Unavailable
}

// ttlOf returns a time to live; 0 does not expire.
func ttlOf(ms uint64) time.Duration {
	const forever = 100 * 365 * 24 * time.Hour
	if int64(ms) <= 0 {
		return 0
	}
	return time.Duration(min(int64(ms), forever.Milliseconds())) * time.Millisecond
}

func (in *instance) kvGet(stack []uint64) {
	k, n := in.key(in.readQuery(stack, maxKey))
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

// value returns the value of a key; at say, this node's copy of it.
func (in *instance) value(k store.Key) (value []byte, refused int32) {
	if in.readOnly() {
		return in.generation.store.Cached(k), 0
	}
	value, err := in.generation.store.Get(in.wait(), k)
	return value, in.outcome(0, err)
}

func (in *instance) kvSet(stack []uint64) {
	k, refused := in.keyToChange(stack[0], stack[1])
	value, refused2 := in.bytes(stack[2], stack[3], store.MaxValueBytes)
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
	old, refused2 := in.bytes(stack[2], stack[3], store.MaxValueBytes)
	value, refused3 := in.bytes(stack[4], stack[5], store.MaxValueBytes)
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
	if refused == 0 && (tokens <= 0 || per <= 0 || burst < tokens || int64(burst)*int64(per) > store.MaxRefill.Milliseconds()) {
		refused = abi.TooLarge
	}
	if refused == 0 {
		wait, err := in.generation.store.Take(in.wait(), k, int(tokens), int(burst), time.Duration(per)*time.Millisecond)
		ms := (wait + time.Millisecond - 1).Milliseconds()
		refused = in.outcome(int32(min(ms, 1<<31-1)), err)
	}
	result(stack, refused)
}

// keyToChange is key for functions that change values. They are refused at say.
func (in *instance) keyToChange(p, n uint64) (k store.Key, refused int32) {
	if in.readOnly() {
		return k, abi.NotGranted
	}
	return in.key(in.name(p, n, maxKey))
}

// present returns value, or an empty value for nil.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// orElse returns the first of two errors.
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
