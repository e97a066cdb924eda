package wasi

import "encoding/binary"

// pieces returns the parts of the guest's memory that a list of pointers and lengths refers to. total is the sum of the
// lengths, at most 1<<32-1.
func (c *call) pieces(list []byte) (pieces [maxVectors][]byte, total uint32, e errno) {
	sum := uint64(0)
	for i := range len(list) / 8 {
		p, n := binary.LittleEndian.Uint32(list[8*i:]), binary.LittleEndian.Uint32(list[8*i+4:])
		piece, ok := c.memory.bytes(p, n)
		if !ok {
			return pieces, 0, fault
		}
		pieces[i] = piece
		sum += uint64(n)
	}
	return pieces, uint32(min(sum, 1<<32-1)), success
}

// fdRead(fd, vectors, count, read) reports the end of the input.
func fdRead(c *call) errno {
	if Stream(c.u32(0)) != Stdin {
		return badf
	}
	return c.memory.putU32(c.u32(3), 0)
}

// The type of a stream, and its rights.
const (
	characterDevice = 2
	rightRead       = 1 << 1
	rightWrite      = 1 << 6
)

// fdFdstatGet(fd, stat): type u8, flags u16 at 2, rights u64 at 8, inherited rights u64 at 16.
func fdFdstatGet(c *call) errno {
	s := Stream(c.u32(0))
	if s > Stderr {
		return badf
	}
	var stat [24]byte
	stat[0] = characterDevice
	stat[8] = rightWrite
	if s == Stdin {
		stat[8] = rightRead
	}
	return c.memory.put(c.u32(1), stat[:])
}

// fdFilestatGet(fd, stat): 64 bytes, the type u8 at 16, links u64 at 24.
func fdFilestatGet(c *call) errno {
	if Stream(c.u32(0)) > Stderr {
		return badf
	}
	var stat [64]byte
	stat[16] = characterDevice
	stat[24] = 1
	return c.memory.put(c.u32(1), stat[:])
}
