package wasi

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

// memory is the memory of a guest. Each access is checked. If the guest has no memory, each access is out of bounds.
type memory struct{ api.Memory }

// bytes returns the n bytes of the memory at p. The slice is not a copy.
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

// put writes all of b or, if it does not fit, nothing.
func (m memory) put(p uint32, b []byte) errno {
	dst, ok := m.bytes(p, uint32(len(b)))
	if !ok {
		return fault
	}
	copy(dst, b)
	return success
}
