package wasi

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

// memory is the memory of a guest. Each access is checked; if the guest has no memory, each is out of bounds.
type memory struct{ api.Memory }

// bytes returns n bytes of the memory at p, not a copy.
func (m memory) bytes(p, n uint32) ([]byte, bool) {
	if m.Memory == nil {
		return nil, false
	}
	return m.Read(p, n)
}

func (m memory) putU32(p, v uint32) errno {
	b, ok := m.bytes(p, 4)
	if !ok {
		return fault
	}
	binary.LittleEndian.PutUint32(b, v)
	return success
}

func (m memory) putU64(p uint32, v uint64) errno {
	b, ok := m.bytes(p, 8)
	if !ok {
		return fault
	}
	binary.LittleEndian.PutUint64(b, v)
	return success
}

// put writes all of b, or nothing.
func (m memory) put(p uint32, b []byte) errno {
	dst, ok := m.bytes(p, uint32(len(b)))
	if !ok {
		return fault
	}
	copy(dst, b)
	return success
}
