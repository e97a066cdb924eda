package meter

// appendBody reads a body that scanBody has accepted once more and writes it with its charges:
//
//	pay for the function                    | fuel -= cost; if fuel < 0 { fuel = refuel(fuel) }
//	count the frames                        | if it calls anything
//	count the bytes of the frame            | if it calls anything and they may be many
//	block (its results)                     | where something is left to do at the end: a return becomes a branch out of it
//	  ... loop (its type)                   | where the guest's loop asks for fuel
//	        if fuel < 0 { fuel = refuel(fuel) + cost }
//	        loop (its type)                 | the guest's own
//	          fuel -= cost
//	          if (its type) fuel >= 0
//	            ...
//	          else br to the loop around it |
//	  ... pay for n; memory.copy ...        |
//	end
//	put both counts back                    | the values they had on entry, whatever happened since
//
// What is paid is chosen for the code that the compiler makes of it. A call in a loop has it keep what the loop counts
// with in memory, and wait for it at every turn; so refuel is called beside the loop. The fuel is kept in a hidden local,
// because reading back what was just stored makes a loop wait too. Functions that call others store every
// charge, and read the fuel again after each call; others store it at their end.
func (w *rewriter) appendBody(b []byte, r *reader, results int64) []byte {
	s := &w.scan
	e := emitter{w: w, b: b, fuel: uint32(s.locals), blocks: append(w.blocks[:0], open{})}
	e.depth = e.fuel + 1
	e.size = e.depth
	if s.calls {
		e.size++
	}
	e.room = e.size
	if s.bulk {
		e.room++
	}
	e.late = !s.calls && (len(s.costs) > 1 || s.bulk || s.grows)
	e.wrapped = s.calls || e.late || s.frame > 0
	e.locals(r)
	e.enter(results)
	e.code(r)
	e.leave()
	w.blocks = e.blocks
	return append(e.b, opEnd)
}

// localsPerFrame is how many locals a function may have for each frame that it counts for.
const localsPerFrame = 32

// emitter writes one body.
type emitter struct {
	w                 *rewriter
	b                 []byte
	fuel, depth, size uint32 // hidden locals, behind those of the guest
	room              uint32 // the last of them
	late              bool   // the fuel is stored at the end
	wrapped           bool   // the guest's code is in a block of its own
	blocks            []open // of the guest's, the body first
}

// open is an open block of the guest's.
type open struct {
	inside int // how many blocks are open around its inside
	target int // the same for the inside of the block to branch to
	kind   uint16
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
	if s.frame > 0 {
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
	if s.frame > 0 {
		e.plain(1, i64)
	}
}

// enter pays for the function, counts its frames and opens the block around the guest's code. Where a loop follows, come
// what may, its check serves for both.
func (e *emitter) enter(results int64) {
	s := &e.w.scan
	e.op(opGlobalGet, e.w.fuelGlobal())
	e.constant(s.costs[0])
	if s.loops {
		e.plain(opI64Sub)
		e.op(opLocalSet, e.fuel)
	} else {
		e.pay()
	}
	if s.calls {
		e.count(1 + int64(s.locals)/localsPerFrame)
	}
	if s.frame > 0 {
		e.reserve(s.frame)
	}
	if e.wrapped {
		e.begin(opBlock, results)
	}
}

// count takes frames from the depth.
func (e *emitter) count(frames int64) {
	e.take(e.w.depthGlobal(), e.depth, frames)
	e.plain(opUnreachable, opEnd)
}

// take subtracts n from a counter, keeps the value before in a local, and begins a block that runs if that was less than n.
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

// reserve takes bytes from the room for frames. When there is none left the host is asked, and may make more.
func (e *emitter) reserve(bytes int64) {
	e.take(e.w.roomGlobal(), e.room, bytes)
	e.op(opLocalGet, e.fuel)
	e.op(opCall, e.w.refuelFunc())
	e.op(opLocalTee, e.fuel)
	e.op(opGlobalSet, e.w.fuelGlobal())
	e.op(opGlobalGet, e.w.roomGlobal())
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.plain(opUnreachable, opEnd, opEnd)
}

func (e *emitter) leave() {
	if e.wrapped {
		e.plain(opEnd)
	}
	if e.late {
		e.store()
	}
	if e.w.scan.calls {
		e.op(opLocalGet, e.depth)
		e.op(opGlobalSet, e.w.depthGlobal())
	}
	if e.w.scan.frame > 0 {
		e.op(opLocalGet, e.room)
		e.op(opGlobalSet, e.w.roomGlobal())
	}
}

func (e *emitter) store() {
	e.op(opLocalGet, e.fuel)
	e.op(opGlobalSet, e.w.fuelGlobal())
}

// code writes the guest's instructions up to the end of the body.
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
			e.end()
		case opLoop:
			e.loop(s.in.v, regions[0])
			regions = regions[1:]
		case opBlock, opIf:
			e.open(s.in.op, 1, 1)
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

// open notes a block of the guest's, for which n are written; who branches to it goes to the target-th of them.
func (e *emitter) open(kind uint16, n, target int) {
	around := e.blocks[len(e.blocks)-1].inside
	e.blocks = append(e.blocks, open{inside: around + n, target: around + target, kind: kind})
}

// end ends a block of the guest's.
func (e *emitter) end() {
	last := len(e.blocks) - 1
	if e.blocks[last].kind == opLoop {
		e.plain(opElse)
		e.op(opBr, 2)
		e.plain(opEnd, opEnd)
	}
	e.plain(opEnd)
	e.blocks = e.blocks[:last]
}

// label is what the label of a branch has become.
func (e *emitter) label(l uint32) uint32 {
	last := len(e.blocks) - 1
	return uint32(e.blocks[last].inside - e.blocks[last-int(l)].target)
}

// loop begins a loop of which a turn costs so much.
func (e *emitter) loop(types, cost int64) {
	e.open(opLoop, 3, 2)
	e.begin(opLoop, types)
	e.op(opLocalGet, e.fuel)
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.op(opLocalGet, e.fuel)
	e.op(opCall, e.w.refuelFunc())
	e.constant(cost)
	e.plain(opI64Add)
	e.op(opLocalSet, e.fuel)
	e.plain(opEnd)
	e.begin(opLoop, types)
	e.op(opLocalGet, e.fuel)
	e.constant(cost)
	e.plain(opI64Sub)
	e.op(opLocalTee, e.fuel)
	e.constant(0)
	e.plain(opI64GeS)
	e.begin(opIf, types)
	if !e.late {
		e.store()
	}
}

// cut pays for a region that begins in the midst of a block.
func (e *emitter) cut(cost int64) {
	e.op(opLocalGet, e.fuel)
	e.constant(cost)
	e.pay()
}

// pay takes the fuel and the cost from the stack and pays.
func (e *emitter) pay() {
	e.plain(opI64Sub)
	e.op(opLocalTee, e.fuel)
	e.constant(0)
	e.plain(opI64LtS)
	e.begin(opIf, emptyBlock)
	e.op(opLocalGet, e.fuel)
	e.op(opCall, e.w.refuelFunc())
	e.op(opLocalSet, e.fuel)
	e.plain(opEnd)
	if !e.late {
		e.store()
	}
}

// instr writes one instruction of the guest's under the new numbering.
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
	case opCall, opRefFunc:
		in.a = e.w.funcIndex(in.a)
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
