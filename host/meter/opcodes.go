package meter

// unknown is the form of opcodes that do not exist in WebAssembly 2.0.
const unknown form = 0xff

// formOf returns the form of an opcode. It lists all supported instructions; any other opcode is unknown and refused.
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
	case opBr, opBrIf, opCall, opLocalGet, opLocalSet, opLocalTee, opGlobalGet, opGlobalSet, opTableGet, opTableSet, opRefFunc:
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
	case opDataDrop, opElemDrop, opTableGrow, opTableSize, opTableFill:
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

// refuse fails with the name of the feature that op belongs to.
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
