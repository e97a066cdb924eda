package meter

// One memory.fill, memory.copy or memory.init may move all of a memory, and nothing can stop it. So one that moves more
// than a piece calls a hidden function first, which moves all but the last piece of it, pays before each piece, and
// leaves the last one to the instruction. To the guest it is one instruction all the same: what is out of bounds traps
// before a byte is written, and overlapping copies are right.

// piece is the most bytes that one instruction moves. At worst, on pages that were never touched, it takes 0.1 ms.
const piece = 64 << 10

// mover is a hidden function: (to, from or value, size) -> (to, from or value), of the last piece.
type mover struct {
	op      uint16
	segment uint32 // of memory.init
}

// mover is the index of the function for in; it is made where there is none.
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
		w.compile += effortOfMover.duration(3)
	}
	return w.funcIndex(uint32(len(w.funcs))) + k
}

// effortOfMover is what one takes to compile.
var effortOfMover = effort{instrs: 60, blocks: 14, values: 6}

func (w *rewriter) moverType() uint32    { return w.refuelType() + 1 + uint32(len(w.wide)) }
func (w *rewriter) operandsType() uint32 { return w.moverType() + 1 }

// appendMover writes the body of one.
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
	second := func(at func(uint32)) { // the second operand, a place in all but memory.fill
		if m.op == opMemoryFill {
			at = func(l uint32) { get(l) }
		}
		at(from)
	}
	e.plain(0) // no locals

	// A size that leads beyond the 32 bits of an address is out of bounds: the instruction says so.
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

	// Nothing at the end of what is to be moved: it traps where that is out of bounds.
	add(to)
	second(add)
	op(opI32Const, 0)

	if m.op == opMemoryCopy { // downwards where the pieces could overlap upwards
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

// appendPieces writes the loop: it pays, moves, and goes on while there is more than a piece.
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

// inPieces writes what goes before a bulk operation on memory, of which the size is in a hidden local: it leaves a
// piece of it at most.
func (e *emitter) inPieces(in *instr) {
	e.op(opLocalGet, e.size)
	e.pieceSize()
	e.plain(opI32GtU)
	e.begin(opIf, int64(e.w.operandsType()))
	if e.late {
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
