package meter

// Room is how many bytes the frames of a call chain may take, by estimate, between two times that the host looks at
// the stack. The first time comes after FirstRoom.
const (
	Room      = 4 << 20
	FirstRoom = 1 << 20
)

// frameSize is what bounds the stack that one call of a function takes. The compiler gives a place of its own to each
// value that has to leave its register, and values do not share places. So a function may take much, and take it without
// running, and without paying for, the code that the values are of. The estimate is of the values there may be: about ten
// times what ordinary functions take.
type frameSize struct {
	values  uint64 // computed, or passed into and out of calls and blocks
	sets    uint64 // of locals
	globals uint64 // uses of globals
	merges  uint64 // one for each variable that may be one of two values at the end of a block or the head of a loop
	reloads uint64 // blocks with calls in them: each global may be one of two values there
	calls   uint64
}

// add counts one instruction.
func (f *frameSize) add(in *instr) {
	switch in.op {
	case opLocalSet, opLocalTee:
		f.sets++
	case opGlobalGet, opGlobalSet:
		f.globals++
	case opCall, opCallIndirect:
		f.calls++
	case opLocalGet, opI32Const, opI64Const, opF32Const, opF64Const, opBlock, opLoop, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn:
	default:
		f.values++
	}
}

// merge counts a block that ends, which began when there were so many sets and calls.
func (f *frameSize) merge(b *frame, locals int) {
	n := min(uint64(locals), f.sets-b.sets)
	if b.op == opLoop {
		n *= 3 // there will be three blocks
	}
	f.merges += n
	if f.calls > b.calls {
		f.reloads++
	}
}

// frameBytes is what each call of the function takes from the room: 16 bytes for each value, or nothing where that is little.
func (s *scan) frameBytes(globals int) int64 {
	f := &s.size
	variables := min(f.globals, uint64(globals)) + 2 // and where the memory is, and how large
	values := uint64(s.locals) + f.values + s.effort.values + f.merges + f.reloads*variables
	bytes := int64(min(16*values, Room))
	if bytes < largeLeaf && !s.calls || bytes < largeFrame {
		return 0
	}
	return bytes
}

// The least frames that count by their bytes: a chain of smaller ones is short enough by their number, and of functions that
// call nothing there is one in a chain.
const (
	largeFrame = 4 << 10
	largeLeaf  = 256 << 10
)
