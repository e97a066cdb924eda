package meter

// StackBudget is how many bytes the stack may grow by, as estimated, until the host looks at its size again. A new
// instance begins with FirstStackBudget.
const (
	StackBudget      = 4 << 20
	FirstStackBudget = 1 << 20
)

// frameSize is what an upper estimate of the stack frame of a function is made from. The compiler gives each value that
// it cannot keep in a register a slot in the frame, and does not share slots. So a frame may be large, and a call takes
// all of it, even if the code that the values belong to is neither run nor paid for. The estimate counts all values: it
// is about ten times the frame of an ordinary function.
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

// frameBytes returns what each call of the function takes from the stack budget: 16 bytes for each value, or 0 if that
// is little.
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

// The smallest frames that count by their bytes. A stack of smaller ones is bounded by their number. A function that
// calls no other has only one frame in a stack, so it counts only if that one is very large.
const (
	largeFrame = 4 << 10
	largeLeaf  = 256 << 10
)
