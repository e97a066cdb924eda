package meter

// appendBody reads a body that scanBody has accepted, and writes it with its charges:
//
//	pay for the function                    | fuel -= cost; if fuel < 0 { fuel = refuel(fuel) }
//	count the frames                        | if it calls functions
//	count the bytes of the frame            | if it calls functions and they may be many, or they may be very many
//	block (results of the function)         | if the epilogue has work: a return becomes a branch to its end
//	  ... loop (type of the guest's loop)   | iterates where the guest's loop calls refuel
//	        if fuel < 0 { fuel = refuel(fuel) + cost }
//	        loop (its type)                 | the guest's loop
//	          fuel -= cost
//	          if (its type) fuel >= 0
//	            ...
//	          else br to the loop around it |
//	  ... pay for n; memory.copy ...        |
//	end
//	restore depth and stack budget          | to their values at entry
//
// The code has this shape because of the compiler. If a loop contains a call, the compiler keeps the variables of the
// loop in memory, and each iteration waits for them. Therefore refuel is called beside the loop, not in it. The fuel is
// in a local, because a load after a store also makes a loop wait. A function that calls others stores the fuel in the
// global with each charge and loads it after each call. Any other function stores it in its epilogue.
func (w *rewriter) appendBody(b []byte, r *reader, results int64) []byte {
	s := &w.scan
	e := emitter{w: w, b: b, fuel: uint32(s.locals), blocks: append(w.blocks[:0], openBlock{})}
	e.depth = e.fuel + 1
	e.size = e.depth
	if s.calls {
		e.size++
	}
	e.stack = e.size
	if s.bulk {
		e.stack++
	}
	e.storeAtEnd = !s.calls && (len(s.costs) > 1 || s.bulk || s.grows)
	e.wrapped = s.calls || e.storeAtEnd || s.stackBytes > 0
	e.locals(r)
	e.prologue(results)
	e.code(r)
	e.epilogue()
	w.blocks = e.blocks
	return append(e.b, opEnd)
}

// localsPerFrame is the number of locals for which a function counts one more frame.
const localsPerFrame = 32

// emitter writes one body.
type emitter struct {
	w                 *rewriter
	b                 []byte
	fuel, depth, size uint32      // indices of the locals that the rewriter adds after those of the guest
	stack             uint32      // index of the last of these locals
	storeAtEnd        bool        // the fuel is stored in the epilogue, not with each charge
	wrapped           bool        // the code of the guest is in a block, which a return branches out of
	blocks            []openBlock // the open blocks of the guest, the body first
}

// openBlock is an open block of the guest and its counterpart in the output.
type openBlock struct {
	inside int // number of open blocks of the output inside of it
	target int // number of open blocks inside of the block of the output that a branch to it goes to
	kind   uint16
}

func (e *emitter) op(op byte, i uint32)       { e.b = appendU32(append(e.b, op), i) }
func (e *emitter) constant(v int64)           { e.b = appendSigned(append(e.b, opI64Const), v) }
func (e *emitter) plain(ops ...byte)          { e.b = append(e.b, ops...) }
func (e *emitter) begin(op byte, types int64) { e.b = appendSigned(append(e.b, op), types) }

// locals copies the declarations of the guest's locals and adds those of the rewriter.
func (e *emitter) locals(r *reader) {
	s := &e.w.scan
	n := r.count()
	hidden := uint32(1)
	if s.bulk {
		hidden++
	}
	if s.stackBytes > 0 {
		hidden++
	}
	e.b = appendU32(e.b, n+hidden)
	for ; n > 0; n-- {
		e.b = appendU32(e.b, r.u32())
		e.plain(r.valueType())
	}
	if s.calls {
		e.plain(2, i64)
	} else {
		e.plain(1, i64)
	}
	if s.bulk {
		e.plain(1, i32)
	}
	if s.stackBytes > 0 {
		e.plain(1, i64)
	}
}

// prologue pays for the function, counts its frames and the bytes of its frame, and opens the block around the code of
// the guest. If the code reaches a loop before anything else, the check of the loop covers both charges.
func (e *emitter) prologue(results int64) {
	s := &e.w.scan
	e.op(opGlobalGet, e.w.fuelGlobal())
	e.constant(s.costs[0])
	if s.loopFirst {
		e.plain(opI64Sub)
		e.op(opLocalSet, e.fuel)
	} else {
		e.pay()
	}
	if s.calls {
		e.takeFrames(1 + int64(s.locals)/localsPerFrame)
	}
	if s.stackBytes > 0 {
		e.takeStack(s.stackBytes)
	}
	if e.wrapped {
		e.begin(opBlock, results)
	}
}

// takeFrames subtracts frames from the depth, and traps if fewer are left.
func (e *emitter) takeFrames(frames int64) {
	e.take(e.w.depthGlobal(), e.depth, frames)
	e.plain(opUnreachable, opEnd)
}

// take subtracts n from a global and keeps the previous value in a local, for the epilogue. It begins an if for the
// case that the value was less than n; the caller writes the body of the if.
func (e *emitter) take(global, local uint32, n int64) {
	e.op(opGlobalGet, global)
	e.op(opLocalTee, local)
	e.constant(n)
	e.plain(opI64Sub)
	e.op(opGlobalSet, global)
	e.op(opLocalGet, local)
	e.constant(n)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
}

// takeStack subtracts bytes from the stack budget. If that leaves the budget below zero, it calls the host, which may
// set the budget again. If the budget is still below zero, the guest traps.
func (e *emitter) takeStack(bytes int64) {
	e.take(e.w.stackGlobal(), e.stack, bytes)
	e.op(opLocalGet, e.fuel)
	e.op(opCall, e.w.refuelFunc())
	e.op(opLocalTee, e.fuel)
	e.op(opGlobalSet, e.w.fuelGlobal())
	e.op(opGlobalGet, e.w.stackGlobal())
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.plain(opUnreachable, opEnd, opEnd)
}

// epilogue ends the block of prologue and writes the globals. It restores the depth and the stack budget to their
// values at entry.
func (e *emitter) epilogue() {
	if e.wrapped {
		e.plain(opEnd)
	}
	if e.storeAtEnd {
		e.store()
	}
	if e.w.scan.calls {
		e.op(opLocalGet, e.depth)
		e.op(opGlobalSet, e.w.depthGlobal())
	}
	if e.w.scan.stackBytes > 0 {
		e.op(opLocalGet, e.stack)
		e.op(opGlobalSet, e.w.stackGlobal())
	}
}

// store stores the fuel in its global.
func (e *emitter) store() {
	e.op(opLocalGet, e.fuel)
	e.op(opGlobalSet, e.w.fuelGlobal())
}

// code writes the instructions of the guest up to the end of the body.
func (e *emitter) code(r *reader) {
	s := &e.w.scan
	regions, cuts := s.costs[1:], s.cuts
	reload := s.calls && (len(regions) > 0 || s.bulk || s.grows)
	for {
		start := r.p
		r.next(&s.in)
		if len(cuts) > 0 && cuts[0] == start {
			e.cut(regions[0])
			regions, cuts = regions[1:], cuts[1:]
		}
		switch s.in.op {
		case opEnd:
			if len(e.blocks) == 1 {
				return
			}
			e.popBlock()
		case opLoop:
			e.loop(s.in.v, regions[0])
			regions = regions[1:]
		case opBlock, opIf:
			e.pushBlock(s.in.op, 1, 1)
			e.b = s.in.append(e.b)
		case opCall, opCallIndirect:
			e.instr(&s.in)
			if reload {
				e.op(opGlobalGet, e.w.fuelGlobal())
				e.op(opLocalSet, e.fuel)
			}
		default:
			e.instr(&s.in)
		}
	}
}

// pushBlock records that a block of the guest begins, as n blocks of the output. A branch to the block goes to the
// target-th of them.
func (e *emitter) pushBlock(kind uint16, n, target int) {
	around := e.blocks[len(e.blocks)-1].inside
	e.blocks = append(e.blocks, openBlock{inside: around + n, target: around + target, kind: kind})
}

// popBlock ends the innermost block of the guest.
func (e *emitter) popBlock() {
	last := len(e.blocks) - 1
	if e.blocks[last].kind == opLoop {
		e.plain(opElse)
		e.op(opBr, 2)
		e.plain(opEnd, opEnd)
	}
	e.plain(opEnd)
	e.blocks = e.blocks[:last]
}

// label translates the label of a branch of the guest to a label of the output.
func (e *emitter) label(l uint32) uint32 {
	last := len(e.blocks) - 1
	return uint32(e.blocks[last].inside - e.blocks[last-int(l)].target)
}

// loop begins a loop of the guest whose iterations cost cost each.
func (e *emitter) loop(types, cost int64) {
	e.pushBlock(opLoop, 3, 2)
	e.begin(opLoop, types)
	e.op(opLocalGet, e.fuel)
	e.refuel(cost)
	e.begin(opLoop, types)
	e.op(opLocalGet, e.fuel)
	e.constant(cost)
	e.plain(opI64Sub)
	e.op(opLocalTee, e.fuel)
	e.constant(0)
	e.plain(opI64GeS)
	e.begin(opIf, types)
	if !e.storeAtEnd {
		e.store()
	}
}

// cut pays for a region that begins in the middle of a block.
func (e *emitter) cut(cost int64) {
	e.op(opLocalGet, e.fuel)
	e.constant(cost)
	e.pay()
}

// pay subtracts the cost on the operand stack from the fuel below it. If the result is below zero, it calls refuel.
func (e *emitter) pay() {
	e.plain(opI64Sub)
	e.op(opLocalTee, e.fuel)
	e.refuel(0)
	if !e.storeAtEnd {
		e.store()
	}
}

// refuel takes the fuel from the operand stack. If the fuel is below zero, it calls refuel, and sets the fuel to the
// result plus credit.
func (e *emitter) refuel(credit int64) {
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.op(opLocalGet, e.fuel)
	e.op(opCall, e.w.refuelFunc())
	if credit != 0 {
		e.constant(credit)
		e.plain(opI64Add)
	}
	e.op(opLocalSet, e.fuel)
	e.plain(opEnd)
}

// instr writes one instruction of the guest, with its indices and labels renumbered.
func (e *emitter) instr(in *instr) {
	switch in.op {
	case opReturn:
		if e.wrapped {
			e.op(opBr, e.label(uint32(len(e.blocks)-1)))
			return
		}
	case opBr, opBrIf:
		in.a = e.label(in.a)
	case opBrTable:
		in.a = e.label(in.a)
		for i, l := range in.labels {
			in.labels[i] = e.label(l)
		}
	case opCall:
		in.a = e.w.funcIndex(in.a)
	case opRefFunc:
		e.reference(in.a)
		return
	}
	if shift, ok := bulkShift(in.op); ok {
		e.op(opLocalSet, e.size)
		if shift == bytesShift {
			e.inPieces(in)
		}
		e.op(opLocalGet, e.fuel)
		e.op(opLocalGet, e.size)
		e.plain(opI64ExtendU)
		e.constant(shift)
		e.plain(opI64ShrU)
		e.pay()
		e.op(opLocalGet, e.size)
	}
	e.b = in.append(e.b)
	if cost := e.w.growCost(in.op); cost > 0 {
		e.cut(cost)
	}
}
