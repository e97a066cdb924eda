package meter

// appendBody reads a body that scanBody has accepted once more and writes it with its charges:
//
//	pay for the function                    | pay: fuel -= cost; if fuel < 0 { fuel = refuel(fuel) }
//	count the frames                        | if it calls anything
//	block (its results)                     | a return becomes a branch out of this block, and a branch out of
//	  ... loop  pay for the loop ...        | the body ends here by itself: it has the same label as before
//	  ... pay for n; memory.copy ...        |
//	end
//	put the count of frames back            | the value it had on entry, whatever happened since
//
// The fuel is kept in a hidden local as well as in the global, because reading back what was just
// stored makes a tight loop wait; every charge stores, and after a call the local is read again.
func (w *rewriter) appendBody(b []byte, r *reader, results int64) []byte {
	s := &w.scan
	e := emitter{w: w, b: b, fuel: uint32(s.locals)}
	e.depth = e.fuel + 1
	e.size = e.depth
	if s.calls {
		e.size++
	}
	e.locals(r)
	e.op(opGlobalGet, w.fuelGlobal())
	e.payConst(s.costs[0])
	if s.calls {
		e.enter(1+int64(s.locals)/localsPerFrame, results)
	}
	regions := s.costs[1:]
	reload := s.calls && (len(regions) > 0 || s.bulk || s.grows)
	for depth := 1; depth > 0; {
		r.next(&s.in)
		switch s.in.op {
		case opBlock, opIf, opLoop:
			depth++
		case opEnd:
			depth--
		}
		if depth == 0 {
			break
		}
		e.instr(&s.in, depth-1)
		switch s.in.op {
		case opLoop:
			e.op(opLocalGet, e.fuel)
			e.payConst(regions[0])
			regions = regions[1:]
		case opCall, opCallIndirect:
			if reload {
				e.op(opGlobalGet, w.fuelGlobal())
				e.op(opLocalSet, e.fuel)
			}
		}
	}
	if s.calls {
		e.leave()
	}
	return append(e.b, opEnd)
}

// localsPerFrame is how many locals a function may have for each frame that it counts for.
const localsPerFrame = 32

// emitter writes one body.
type emitter struct {
	w                 *rewriter
	b                 []byte
	fuel, depth, size uint32 // hidden locals, behind those of the guest
}

func (e *emitter) op(op byte, i uint32)       { e.b = appendU32(append(e.b, op), i) }
func (e *emitter) constant(v int64)           { e.b = appendSigned(append(e.b, opI64Const), v) }
func (e *emitter) plain(ops ...byte)          { e.b = append(e.b, ops...) }
func (e *emitter) begin(op byte, types int64) { e.b = appendSigned(append(e.b, op), types) }

// locals copies the declarations of the guest's locals and adds the hidden ones.
func (e *emitter) locals(r *reader) {
	s := &e.w.scan
	n := r.count()
	hidden := uint32(1)
	if s.bulk {
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
}

// payConst takes the fuel from the stack and pays cost.
func (e *emitter) payConst(cost int64) {
	e.constant(cost)
	e.pay()
}

// pay takes the fuel and the cost from the stack.
func (e *emitter) pay() {
	e.plain(opI64Sub)
	e.op(opLocalTee, e.fuel)
	e.op(opGlobalSet, e.w.fuelGlobal())
	e.op(opLocalGet, e.fuel)
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.op(opLocalGet, e.fuel)
	e.op(opCall, e.w.refuelFunc())
	e.op(opLocalTee, e.fuel)
	e.op(opGlobalSet, e.w.fuelGlobal())
	e.plain(opEnd)
}

// enter counts the frame and opens the block around the guest's code.
func (e *emitter) enter(frames, results int64) {
	e.op(opGlobalGet, e.w.depthGlobal())
	e.op(opLocalTee, e.depth)
	e.constant(frames)
	e.plain(opI64Sub)
	e.op(opGlobalSet, e.w.depthGlobal())
	e.op(opLocalGet, e.depth)
	e.constant(frames)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.plain(opUnreachable, opEnd)
	e.begin(opBlock, results)
}

func (e *emitter) leave() {
	e.plain(opEnd)
	e.op(opLocalGet, e.depth)
	e.op(opGlobalSet, e.w.depthGlobal())
}

// instr writes one instruction of the guest's under the new numbering; open is how many blocks of the guest's it is in.
func (e *emitter) instr(in *instr, open int) {
	switch {
	case in.op == opReturn && e.w.scan.calls:
		e.op(opBr, uint32(open))
		return
	case in.op == opCall, in.op == opRefFunc:
		in.a = e.w.funcIndex(in.a)
	}
	if shift, ok := bulkShift(in.op); ok {
		e.op(opLocalSet, e.size)
		e.op(opLocalGet, e.fuel)
		e.op(opLocalGet, e.size)
		e.plain(opI64ExtendU)
		e.constant(shift)
		e.plain(opI64ShrU)
		e.pay()
		e.op(opLocalGet, e.size)
	}
	if cost := e.w.growCost(in.op); cost > 0 {
		e.op(opLocalGet, e.fuel)
		e.payConst(cost)
	}
	e.b = in.append(e.b)
}
