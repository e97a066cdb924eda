package meter

// What instructions cost, in units of fuel. A price is not the time that an instruction takes as a rule but a share of
// the time that it can be made to take: the host multiplies the fuel of a slice by the dearest unit there is to know
// how long the slice may last. An access to memory takes 0.3 ns in a cache, 200 ns where it misses all of them and the
// page table's, and 2 us at the first touch of a page.
const (
	costPlain  = 1
	costBranch = 4   // may be mispredicted, and go to code that is in no cache
	costFloat  = 4   // denormal numbers take some processors 50 ns; vectors, of integers too
	costSlow   = 8   // a division or a square root
	costCall   = 8   // as a branch, and back
	costMemory = 16  // a load or a store
	costHost   = 64  // leaves the compiled code: the host's functions, and what the runtime does in Go
	costBulk   = 64  // a bulk operation, besides its size: some calls of memmove, even for a few bytes
	costTable  = 128 // an element of a table: tables are up to 8 MiB, are no part of the memory, and nobody is in need of them
)

// MaxCharge is the most that is paid at once, but for what growing may cost and the ends of blocks within blocks: where
// more instructions follow each other than that, they pay in between.
const MaxCharge = 1 << 12

func (w *rewriter) cost(in *instr) int64 {
	switch in.form {
	case access, accessLn:
		return costMemory
	}
	if in.op>>8 == prefixVector {
		return costOfVector(in.op)
	}
	switch in.op {
	case opBr, opBrIf, opIf:
		return costBranch
	case opBrTable:
		return 2 * costBranch
	case opCallIndirect, opRefFunc, opMemoryGrow, opTableGrow:
		return costHost // an indirect call may be one of the host's functions
	case opTableGet, opTableSet, opTableInit, opTableCopy, opTableFill:
		return costTable
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return costBulk
	case opCall:
		if int(in.a) < w.imported {
			return costHost
		}
		return costCall
	}
	return costOfNumbers(in.op)
}

// costOfNumbers is what arithmetic costs.
func costOfNumbers(op uint16) int64 {
	switch op {
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3:
		return costSlow
	case opI64ExtendS, opI64ExtendU:
		return costPlain
	}
	switch {
	case op >= 0x8b && op <= 0xa6, op >= 0xa8 && op <= 0xbb, op >= 0xfc00 && op <= 0xfc07: // floats, and to and from them
		return costFloat
	}
	return costPlain
}

func costOfVector(op uint16) int64 {
	switch op {
	case 0xfdcc, 0xfde3, 0xfde7, 0xfdef, 0xfdf3: // i64x2.shr_s, divisions, square roots
		return costSlow
	}
	return costFloat
}

// bulkShift says whether op moves as much as its last operand says, and by how many bits to shift that to get what it
// costs.
func bulkShift(op uint16) (shift int64, ok bool) {
	switch op {
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return bytesShift, true
	case opTableInit, opTableCopy, opTableFill:
		return 1, true
	}
	return 0, false
}

// bytesShift makes 16 bytes of memory cost a unit.
const bytesShift = 4

// growCost is what the largest growth the limits allow costs. Every growth pays that much, which is some slices, so
// the host looks at the clock after each, and at what a slice may be in a larger memory; what growing really takes is
// the allocator's secret.
func (w *rewriter) growCost(op uint16) int64 {
	switch op {
	case opMemoryGrow:
		return int64(w.budget.max[memoryPages]) << 12
	case opTableGrow:
		return int64(w.budget.max[tableElements]) >> 1
	}
	return 0
}
