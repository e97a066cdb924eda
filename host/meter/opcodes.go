package meter

// unknown is the form of what is no instruction of WebAssembly 2.0.
const unknown form = 0xff

// formOf is the list of all instructions there are: what is not in it is refused.
func formOf(op uint16) form {
	switch {
	case op>>8 == prefixBulk:
		return formOfBulk(op)
	case op>>8 == prefixVector:
		return formOfVector(op & 0xff)
	}
	switch op {
	case 0x00, 0x01, opElse, opEnd, opReturn, 0x1a, 0x1b, 0xd1:
		return plain
	case opBlock, opLoop, opIf:
		return block
	case opBr, opBrIf, opCall, opLocalGet, opLocalSet, opLocalTee, opGlobalGet, opGlobalSet, 0x25, 0x26, opRefFunc:
		return index
	case opBrTable:
		return table
	case opCallIndirect:
		return pair
	case 0x1c: // select with a type
		return typed
	case 0x3f, opMemoryGrow:
		return reserved
	case opI32Const:
		return const32
	case opI64Const:
		return const64
	case opF32Const:
		return raw4
	case opF64Const:
		return raw8
	case opRefNull:
		return reference
	}
	switch {
	case op >= 0x28 && op <= 0x3e: // loads and stores
		return access
	case op >= 0x45 && op <= 0xc4: // arithmetic
		return plain
	}
	return unknown
}

func formOfBulk(op uint16) form {
	switch op {
	case 0xfc00, 0xfc01, 0xfc02, 0xfc03, 0xfc04, 0xfc05, 0xfc06, 0xfc07: // saturating truncations
		return plain
	case opMemoryInit:
		return indexed
	case opMemoryCopy:
		return reserved2
	case opMemoryFill:
		return reserved
	case opTableInit, opTableCopy:
		return pair
	case 0xfc09, 0xfc0d, opTableGrow, 0xfc10, opTableFill: // data.drop, elem.drop, table.size
		return index
	}
	return unknown
}

func formOfVector(n uint16) form {
	switch n {
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee:
		return unknown
	}
	switch {
	case n <= 11, n == 92, n == 93: // loads and a store
		return access
	case n == 12, n == 13: // a constant, a shuffle
		return raw16
	case n >= 21 && n <= 34:
		return lane
	case n >= 84 && n <= 91:
		return accessLn
	}
	return plain
}

// refuse ends the rewriting with the name of the feature that op belongs to.
func (r *reader) refuse(op uint16) {
	r.p--
	feature := ""
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		feature = "exceptions"
	case 0x12, 0x13:
		feature = "tail calls"
	case 0x14, 0x15, 0xd3, 0xd4, 0xd5, 0xd6:
		feature = "typed function references"
	case 0xfb:
		feature = "garbage collected types"
	case 0xfe:
		feature = "threads"
	}
	if feature != "" {
		r.fail(ErrNotAllowed, "instruction %#x: %s are not supported", op, feature)
	}
	r.fail(ErrNotAllowed, "instruction %#x: not in WebAssembly 2.0", op)
}

// What instructions cost, in units of fuel.
const (
	costPlain = 1
	costSlow  = 8  // a division or a square root
	costHost  = 64 // leaves the compiled code: the host's functions, and what the runtime does in Go
)

func (w *rewriter) cost(in *instr) int64 {
	switch in.op {
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3, 0xfde3, 0xfde7, 0xfdef, 0xfdf3:
		return costSlow
	case opCallIndirect, opRefFunc, opMemoryGrow, opTableGrow:
		return costHost // an indirect call may be one of the host's functions
	case opCall:
		if int(in.a) < w.imported {
			return costHost
		}
	}
	return costPlain
}

// bulkShift says whether op moves as much as its last operand says, and by how many bits to shift that to get what it
// costs.
func bulkShift(op uint16) (shift int64, ok bool) {
	switch op {
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return 4, true
	case opTableInit, opTableCopy, opTableFill:
		return 1, true
	}
	return 0, false
}

// growCost is what the largest growth the limits allow costs. Every growth pays that much, which is about a slice, so
// the host looks at the clock before each; what it really takes is the allocator's secret.
func (w *rewriter) growCost(op uint16) int64 {
	switch op {
	case opMemoryGrow:
		return int64(w.budget.max[memoryPages]) << 12
	case opTableGrow:
		return int64(w.budget.max[tableElements]) >> 1
	}
	return 0
}
