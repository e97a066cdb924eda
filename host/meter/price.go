package meter

// The costs of instructions, in units of fuel. A cost is not proportional to the usual time of an instruction, but to
// its maximum time. Therefore the fuel of a slice times the maximum time of one unit bounds the time of the slice. An
// access to memory takes 0.3 ns in a cache, 200 ns if it misses all caches and the TLB, and 2 us if it is the first one
// to a page.
const (
	costPlain  = 1
	costBranch = 4   // may be mispredicted, and its target in no cache
	costFloat  = 4   // denormal numbers take some processors 50 ns; also all vector instructions
	costSlow   = 8   // division and square root
	costCall   = 8   // two branches: to the function and back
	costMemory = 16  // load and store
	costHost   = 64  // leaves the compiled code, for a host function or for the runtime, which is Go
	costBulk   = 64  // a bulk operation, in addition to its size: several calls of memmove, also for a few bytes
	costTable  = 128 // an access to a table: tables may take 8 MiB outside of the memory, and few guests need these instructions
)

// MaxCharge is the maximum that a region charges for its instructions. It does not include the ends of nested blocks (1
// unit each), and half a unit for each local at the entry of a function. A region that would cost more is divided. The
// size of an operation is charged separately: at most a piece at a time for memory operations, all elements at once for
// table operations, and growCost for growth.
const MaxCharge = 1 << 12

// cost returns the cost of an instruction, without the size of a bulk operation or of growth.
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
	case opCallIndirect, opMemoryGrow, opTableGrow:
		return costHost // an indirect call may reach a host function
	case opTableGet, opTableSet, opRefFunc, opTableInit, opTableCopy, opTableFill:
		return costTable
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return costBulk
	case opCall:
		if int(in.a) < w.imported {
			return costHost
		}
		return costCall
	}
	return costOfNumeric(in.op)
}

// costOfNumeric returns the cost of a numeric instruction.
func costOfNumeric(op uint16) int64 {
	switch op {
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3:
		return costSlow
	case opI64ExtendS, opI64ExtendU:
		return costPlain
	}
	switch {
	case op >= 0x8b && op <= 0xa6, op >= 0xa8 && op <= 0xbb, op >= 0xfc00 && op <= 0xfc07: // floating point, and conversions from and to it
		return costFloat
	}
	return costPlain
}

// costOfVector returns the cost of a vector instruction that does not access memory.
func costOfVector(op uint16) int64 {
	switch op {
	case 0xfdcc, 0xfde3, 0xfde7, 0xfdef, 0xfdf3: // i64x2.shr_s, divisions, square roots
		return costSlow
	}
	return costFloat
}

// bulkShift reports whether op pays for its size, which is its last operand. The cost is the size, shifted to the right
// by shift bits.
func bulkShift(op uint16) (shift int64, ok bool) {
	switch op {
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return bytesShift, true
	case opTableInit, opTableCopy, opTableFill:
		return 1, true
	}
	return 0, false
}

// bytesShift is the shift for bytes: 16 bytes of memory cost 1 unit.
const bytesShift = 4

// growCost returns the charge for op after it has run. For growth, this is the cost of the largest growth that the
// limits allow, regardless of the actual size, because the time of growth depends on the allocator. With a limit of 32
// pages or more, the cost of memory.grow is at least a Slice, so the guest calls the host after each growth. The host
// can then give less fuel for the larger memory.
func (w *rewriter) growCost(op uint16) int64 {
	switch op {
	case opMemoryGrow:
		return int64(w.budget.max[memoryPages]) << 12
	case opTableGrow:
		return int64(w.budget.max[tableElements]) >> 1
	}
	return 0
}
