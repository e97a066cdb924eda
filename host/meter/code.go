package meter

// scan is the result of the first pass over a body; the second pass needs it. It is reused for the next body.
type scan struct {
	costs      []int64 // of each region in the order of their beginnings: the function, its loops and its cuts
	cuts       []int   // offsets of the instructions at which a region begins in the middle of a block
	blocks     []scannedBlock
	locals     int   // including the parameters
	stackBytes int64 // what each call takes from the stack budget; 0: nothing
	calls      bool  // it calls functions, so it may be part of a recursion
	bulk       bool  // it has an operation that pays by its size
	grows      bool  // it has memory.grow or table.grow
	diverted   bool  // the next instruction may not be reached on each call, or not before other charges or functions
	loopFirst  bool  // it reaches a loop before anything sets diverted
	in         instr
	compile    compileCost
	size       frameSize
}

// scannedBlock is one open block of a body, or the body itself.
type scannedBlock struct {
	op        uint16 // opcode that began it, or opElse
	region    int    // region of its next instruction
	loopDepth int    // loops that are open, including this block
	sets      uint64 // of locals before it, see frameSize.merge
	calls     uint64 // calls before it, see frameSize.merge
}

func (w *rewriter) readCode(r *reader) {
	w.bodies = int(r.count())
	if declared := len(w.funcs) - w.imported; declared != w.bodies {
		r.malformed("%d functions declared, %d have a body", declared, w.bodies)
	}
	s := &w.sections[codeSection]
	s.body = make([]byte, 0, 2*(len(r.b)-r.p))
	var buf []byte
	for i := range w.bodies {
		fn := w.imported + i
		r.fn = fn
		size := r.u32()
		w.budget.check(r, bodyBytes, uint64(size))
		body := r.sub(size)
		again := *body
		w.scanBody(body, w.types[w.funcs[fn]])
		buf = w.appendBody(buf[:0], &again, w.blockTypes[w.funcs[fn]])
		s.items++
		s.body = append(appendU32(s.body, uint32(len(buf))), buf...)
	}
	r.fn = -1
}

// scanBody reads a body to its end, checks all conditions that the rewriting depends on, and computes the costs of the
// body's regions.
//
// Only a branch to the head of a loop goes backwards. Therefore, between two passes of the head of a loop, each
// instruction of the loop outside of inner loops runs at most once, and a charge for all of them at the head is
// sufficient.
func (w *rewriter) scanBody(r *reader, t Signature) {
	s := &w.scan
	*s = scan{costs: s.costs[:0], cuts: s.cuts[:0], blocks: s.blocks[:0], in: s.in, locals: len(t.Params)}
	for n := r.count(); n > 0; n-- {
		k := r.u32()
		r.valueType()
		w.budget.check(r, locals, uint64(s.locals)+uint64(k))
		w.budget.add(r, allLocals, uint64(k))
		s.locals += int(k)
	}
	s.blocks = append(s.blocks, scannedBlock{})
	s.costs = append(s.costs, costPlain+int64(s.locals)/2)
	s.compile.blocks = 1
	for len(s.blocks) > 0 {
		start := r.p
		r.next(&s.in)
		s.charge(w.cost(&s.in), start)
		s.compile.add(&s.in)
		s.size.add(&s.in)
		w.scanInstr(r, start)
	}
	r.end("function body")
	w.addCompileCost(r)
	s.stackBytes = s.frameBytes(w.globals)
}

// charge adds the cost of an instruction to its region; start is the offset of the instruction. If the cost of the
// region would exceed MaxCharge, a new region begins at the instruction. It lasts for the rest of the block, which can
// be reached only through the start of the region. The code after the block belongs to the region before the cut. An
// else or an end begins no region, because the block ends there.
func (s *scan) charge(cost int64, start int) {
	top := &s.blocks[len(s.blocks)-1]
	if s.costs[top.region]+cost > MaxCharge && s.in.op != opElse && s.in.op != opEnd {
		top.region = len(s.costs)
		s.costs = append(s.costs, 0)
		s.cuts = append(s.cuts, start)
		s.diverted = true
		s.compile.blocks++
	}
	s.costs[top.region] += cost
}

// scanInstr checks the instruction that was read last. start is its offset.
func (w *rewriter) scanInstr(r *reader, start int) {
	s := &w.scan
	in := &s.in
	checkIndex := func(n int, what string, i uint32) {
		if uint64(i) >= uint64(n) {
			r.p = start
			r.malformed("%s %d of %d", what, i, n)
		}
	}
	top := &s.blocks[len(s.blocks)-1]
	s.loopFirst = s.loopFirst || in.op == opLoop && !s.diverted
	s.diverted = s.diverted || diverts(in.op)
	switch in.op {
	case opBlock, opIf, opLoop:
		f, values := scannedBlock{op: in.op, region: top.region, loopDepth: top.loopDepth, sets: s.size.sets, calls: s.size.calls}, w.blockArity(r, in.v)
		if in.op == opLoop {
			f.region = len(s.costs)
			f.loopDepth++
			s.costs = append(s.costs, costPlain)
			s.compile.deepLoops += uint64(max(0, f.loopDepth-freeLoopDepth))
			values *= 3 // the emitter writes three blocks for a loop
		}
		s.blocks = append(s.blocks, f)
		s.compile.values += values
		w.budget.check(r, nesting, uint64(len(s.blocks)-1))
	case opElse:
		if top.op != opIf {
			r.malformed("else without if")
		}
		top.op = opElse
		top.region = s.blocks[len(s.blocks)-2].region // a region that the first branch began ends with it
	case opEnd:
		s.size.merge(top, s.locals)
		s.blocks = s.blocks[:len(s.blocks)-1]
	case opBrTable:
		for _, l := range in.labels {
			checkIndex(len(s.blocks), "label", l)
		}
		checkIndex(len(s.blocks), "label", in.a)
	case opBr, opBrIf:
		checkIndex(len(s.blocks), "label", in.a)
	case opCall:
		checkIndex(len(w.funcs), "function", in.a)
		s.call(&w.types[w.funcs[in.a]])
	case opCallIndirect:
		checkIndex(len(w.types), "type", in.a)
		s.call(&w.types[in.a])
		checkIndex(w.tables, "table", in.b)
	case opRefFunc:
		checkIndex(len(w.funcs), "function", in.a)
		w.refer(r, in.a)
	case opLocalGet, opLocalSet, opLocalTee:
		checkIndex(s.locals, "local", in.a)
	case opGlobalGet, opGlobalSet:
		checkIndex(w.globals, "global", in.a)
	case opTableGet, opTableSet, opTableGrow, opTableSize, opTableFill:
		checkIndex(w.tables, "table", in.a)
		w.growsTables = w.growsTables || in.op == opTableGrow
	case opTableCopy:
		checkIndex(w.tables, "table", in.a)
		checkIndex(w.tables, "table", in.b)
	case opTableInit:
		checkIndex(w.sections[elementSection].items, "element segment", in.a)
		checkIndex(w.tables, "table", in.b)
	case opElemDrop:
		checkIndex(w.sections[elementSection].items, "element segment", in.a)
	}
	_, bulk := bulkShift(in.op)
	s.diverted = s.diverted || bulk || w.growCost(in.op) > 0
	s.bulk = s.bulk || bulk
	if in.op == opMemoryInit || in.op == opMemoryCopy || in.op == opMemoryFill {
		w.mover(in)
	}
	w.named = w.named || in.op == opMemoryInit || in.op == opDataDrop
	w.state.instr(in.op)
	s.grows = s.grows || w.growCost(in.op) > 0
}

// diverts reports whether the instruction after op may not be reached, or may be reached only after other functions
// have run.
func diverts(op uint16) bool {
	switch op {
	case opUnreachable, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn, opCall, opCallIndirect:
		return true
	}
	return false
}

// call counts a call of a function of type t.
func (s *scan) call(t *Signature) {
	s.calls = true
	s.compile.values += uint64(len(t.Params) + len(t.Results))
}

// blockArity checks the type of a block and returns the sum of its parameters and results.
func (w *rewriter) blockArity(r *reader, v int64) uint64 {
	switch {
	case v >= 0:
		if v >= int64(len(w.types)) {
			r.malformed("type %d of %d", v, len(w.types))
		}
		return uint64(len(w.types[v].Params) + len(w.types[v].Results))
	case v == emptyBlock:
		return 0
	case v < emptyBlock || !isValueType(ValueType(v&0x7f)):
		r.malformed("block of type %d", v)
	}
	return 1
}
