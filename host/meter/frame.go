package meter

// StackBudget is the number of bytes by which the stack may grow, as estimated, before the host checks its size again.
// A new instance begins with FirstStackBudget.
const (
	StackBudget      = 4 << 20
	FirstStackBudget = 1 << 20
)

// frameSize counts the values from which the stack frame of a function is estimated. The compiler gives each value that
// it cannot keep in a register a slot in the frame, and does not share slots. Therefore a frame may be large. A call
// needs all of it, even if the code of the values neither runs nor is paid for. The estimate counts all values: it is
// about ten times the frame of an ordinary function.
type frameSize struct {
	values  uint64 // results of instructions other than those of variables, constants, calls and blocks
	sets    uint64 // of locals
	globals uint64 // uses of globals
	merges  uint64 // variables that may have one of several values at the end of a block or the head of a loop, summed over the blocks
	reloads uint64 // blocks with calls in them: each global may have one of several values at their ends
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

// merge counts the end of block b in a function with locals locals.
func (f *frameSize) merge(b *scannedBlock, locals int) {
	n := min(uint64(locals), f.sets-b.sets)
	if b.op == opLoop {
		n *= 3 // the emitter writes three blocks for a loop
	}
	f.merges += n
	if f.calls > b.calls {
		f.reloads++
	}
}

// frameBytes returns the bytes that each call of the function takes from the stack budget: 16 for each value and at
// most StackBudget, or 0 if the sum is small.
func (s *scan) frameBytes(globals int) int64 {
	f := &s.size
	variables := min(f.globals, uint64(globals)) + 2 // and the address and the size of the memory
	values := uint64(s.locals) + f.values + s.compile.values + f.merges + f.reloads*variables
	bytes := int64(min(16*values, StackBudget))
	if bytes < largeLeaf && !s.calls || bytes < largeFrame {
		return 0
	}
	return bytes
}

// Minimum sizes of frames that count by their bytes. The number of frames bounds a stack of smaller ones. A function
// that calls no other function has only one frame in a stack, so its frame counts only if it is very large.
const (
	largeFrame = 4 << 10
	largeLeaf  = 256 << 10
)
