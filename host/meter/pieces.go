package meter

// A memory.fill, memory.copy or memory.init may move all of a memory, and nothing can stop it meanwhile. Therefore the
// rewriter inserts code before each of them. If the size is over a piece, this code calls a helper function. The helper
// moves all pieces but the last one, pays for each piece before it moves it, and returns the operands for the last one.
// The guest sees a single instruction: an operation that is out of bounds traps before it writes a byte, and a copy of
// overlapping ranges is correct.

// piece is the maximum number of bytes that one instruction moves. In the worst case, pages that are accessed for the
// first time, it takes 0.1 ms.
const piece = 64 << 10

// mover is a helper function of type (to, from or value, size) -> (to, from or value); the results are those of the
// last piece.
type mover struct {
	op      uint16
	segment uint32 // for memory.init
}

// mover returns the index of the helper function for an instruction. It adds the function if it does not exist.
func (w *rewriter) mover(in *instr) uint32 {
	m := mover{op: in.op}
	if in.op == opMemoryInit {
		m.segment = in.a
	}
	k, ok := w.moverIndex[m]
	if !ok {
		if w.moverIndex == nil {
			w.moverIndex = make(map[mover]uint32)
		}
		k = uint32(len(w.movers))
		w.movers, w.moverIndex[m] = append(w.movers, m), k
		w.compileTime += moverCompileCost.estimate(3)
	}
	return w.funcIndex(uint32(len(w.funcs))) + k
}

// moverCompileCost is the compile cost of one helper function.
var moverCompileCost = compileCost{instrs: 60, blocks: 14, values: 6}

func (w *rewriter) moverType() uint32    { return w.refuelType() + 1 + uint32(len(w.wide)) }
func (w *rewriter) operandsType() uint32 { return w.moverType() + 1 }

// appendMover writes the body of a helper function.
func (w *rewriter) appendMover(b []byte, m mover) []byte {
	const to, from, size = 0, 1, 2
	e := emitter{w: w}
	op := func(ops ...byte) {
		e.plain(ops...)
		in := instr{op: m.op, form: formOf(m.op), a: m.segment}
		e.b = in.append(e.b)
	}
	get := func(locals ...uint32) {
		for _, l := range locals {
			e.op(opLocalGet, l)
		}
	}
	add := func(l uint32) { get(l, size); e.plain(opI32Add) }
	second := func(at func(uint32)) { // the second operand: an address, but a value for memory.fill
		if m.op == opMemoryFill {
			at = func(l uint32) { get(l) }
		}
		at(from)
	}
	e.plain(0) // no locals

	// If the end does not fit in 32 bits, it is out of bounds, and the instruction itself traps.
	add(to)
	get(to)
	e.plain(opI32LtU)
	if m.op != opMemoryFill {
		add(from)
		get(from)
		e.plain(opI32LtU, opI32Or)
	}
	e.begin(opIf, emptyBlock)
	get(to, from, size)
	op()
	e.plain(opEnd)

	// This moves 0 bytes at the end of the ranges, which traps if the ranges are out of bounds.
	add(to)
	second(add)
	op(opI32Const, 0)

	if m.op == opMemoryCopy { // from the end, where a piece could overwrite the source of the next
		get(from, to)
		e.plain(opI32LtU)
		e.begin(opIf, emptyBlock)
		w.appendPieces(&e, func() { add(to); add(from); e.pieceSize(); op() }, nil, true)
		get(to, from)
		e.plain(opReturn, opEnd)
	}
	w.appendPieces(&e, func() { get(to, from); e.pieceSize(); op() }, func() {
		for _, l := range []uint32{to, from} {
			if l == to || m.op != opMemoryFill {
				get(l)
				e.pieceSize()
				e.plain(opI32Add)
				e.op(opLocalSet, l)
			}
		}
	}, false)
	get(to, from)
	e.plain(opEnd)
	return append(appendU32(b, uint32(len(e.b))), e.b...)
}

func (e *emitter) pieceSize() { e.b = appendSigned(append(e.b, opI32Const), piece) }

// appendPieces writes a loop that pays for a piece and moves it, while more than one piece remains.
func (w *rewriter) appendPieces(e *emitter, move, advance func(), downwards bool) {
	const size = 2
	shrink := func() {
		e.op(opLocalGet, size)
		e.pieceSize()
		e.plain(opI32Sub)
		e.op(opLocalSet, size)
	}
	e.begin(opLoop, emptyBlock)
	e.op(opGlobalGet, w.fuelGlobal())
	e.constant(costBulk + piece>>bytesShift)
	e.plain(opI64Sub)
	e.op(opGlobalSet, w.fuelGlobal())
	e.op(opGlobalGet, w.fuelGlobal())
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.op(opGlobalGet, w.fuelGlobal())
	e.op(opCall, w.refuelFunc())
	e.op(opGlobalSet, w.fuelGlobal())
	e.plain(opEnd)
	if downwards {
		shrink()
	}
	move()
	if !downwards {
		advance()
		shrink()
	}
	e.op(opLocalGet, size)
	e.pieceSize()
	e.plain(opI32GtU)
	e.op(opBrIf, 0)
	e.plain(opEnd)
}

// inPieces writes the code before a bulk operation on memory whose size is in a local. The code leaves the operands of
// the last piece.
func (e *emitter) inPieces(in *instr) {
	e.op(opLocalGet, e.size)
	e.pieceSize()
	e.plain(opI32GtU)
	e.begin(opIf, int64(e.w.operandsType()))
	if e.storeAtEnd {
		e.store()
	}
	e.op(opLocalGet, e.size)
	e.op(opCall, e.w.mover(in))
	e.op(opGlobalGet, e.w.fuelGlobal())
	e.op(opLocalSet, e.fuel)
	e.op(opLocalGet, e.size)
	e.b = appendSigned(append(e.b, opI32Const), 1)
	e.plain(opI32Sub)
	e.b = appendSigned(append(e.b, opI32Const), piece-1)
	e.plain(opI32And)
	e.b = appendSigned(append(e.b, opI32Const), 1)
	e.plain(opI32Add)
	e.op(opLocalSet, e.size)
	e.plain(opEnd)
}
