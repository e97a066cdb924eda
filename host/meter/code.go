package meter

// scan is what the first reading of a body finds; the second writes by it. It is used again for the next body.
type scan struct {
	costs  []int64 // of each region in order of appearance: the function without its loops, then each loop without loops in it
	frames []frame
	params int
	locals int  // with the parameters
	calls  bool // calls other functions, so it can be part of a recursion
	bulk   bool // has an operation that pays by its size
	grows  bool
	in     instr
}

// frame is one open block of the body, or the body itself.
type frame struct {
	op     uint16
	region int // whose cost the instructions in the block are
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
		w.budget.atMost(r, bodyBytes, uint64(size))
		body := r.sub(size)
		again := *body
		w.scanBody(body, w.types[w.funcs[fn]])
		buf = w.appendBody(buf[:0], &again, w.blockTypes[w.funcs[fn]])
		s.items++
		s.body = append(appendU32(s.body, uint32(len(buf))), buf...)
	}
	r.fn = -1
}

// scanBody reads the body to its end, checks what rewriting depends on, and adds up costs.
//
// Control goes back only to the head of a loop, so between two heads of the same loop each of its instructions, outside of
// loops in it, runs at most once: paying for all of them at the head is never too little.
func (w *rewriter) scanBody(r *reader, t Signature) {
	s := &w.scan
	*s = scan{costs: s.costs[:0], frames: s.frames[:0], in: s.in, params: len(t.Params), locals: len(t.Params)}
	for n := r.count(); n > 0; n-- {
		k := r.u32()
		r.valueType()
		w.budget.atMost(r, locals, uint64(s.locals)+uint64(k))
		s.locals += int(k)
	}
	s.frames = append(s.frames, frame{})
	s.costs = append(s.costs, costPlain+int64(s.locals)/2)
	for blocks := uint64(1); len(s.frames) > 0; {
		start := r.p
		r.next(&s.in)
		s.costs[s.frames[len(s.frames)-1].region] += w.cost(&s.in)
		blocks += w.scanInstr(r, start)
		w.budget.atMost(r, blocksLocals, blocks*uint64(s.locals+1))
	}
	r.end("function body")
}

// scanInstr checks the instruction just read, which starts at start, and returns how many places it makes where
// control flow splits or joins.
func (w *rewriter) scanInstr(r *reader, start int) (blocks uint64) {
	s := &w.scan
	in := &s.in
	fail := func(what string, i uint32, n int) {
		if int64(i) >= int64(n) {
			r.p = start
			r.malformed("%s %d of %d", what, i, n)
		}
	}
	top := &s.frames[len(s.frames)-1]
	switch in.op {
	case opBlock, opIf, opLoop:
		region := top.region
		if in.op == opLoop {
			region = len(s.costs)
			s.costs = append(s.costs, costPlain)
		}
		s.frames = append(s.frames, frame{op: in.op, region: region})
		w.budget.atMost(r, nesting, uint64(len(s.frames)-1))
		return 1 + w.blockArity(r, in.v)
	case opElse:
		if top.op != opIf {
			r.malformed("else without if")
		}
		top.op = opElse
		return 1
	case opEnd:
		s.frames = s.frames[:len(s.frames)-1]
	case opBr, opBrIf:
		fail("label", in.a, len(s.frames))
		return 1
	case opBrTable:
		for _, l := range in.labels {
			fail("label", l, len(s.frames))
		}
		fail("label", in.a, len(s.frames))
		w.budget.add(r, branchTargets, uint64(len(in.labels))+1)
		return uint64(len(in.labels)) + 1
	case opCall, opRefFunc:
		fail("function", in.a, len(w.funcs))
		s.calls = s.calls || in.op == opCall
	case opCallIndirect:
		fail("type", in.a, len(w.types))
		s.calls = true
	case opLocalGet, opLocalSet, opLocalTee:
		fail("local", in.a, s.locals)
	case opGlobalGet, opGlobalSet:
		fail("global", in.a, w.globals)
	}
	if _, ok := bulkShift(in.op); ok {
		s.bulk = true
	}
	s.grows = s.grows || w.growCost(in.op) > 0
	return 0
}

// blockArity checks the type of a block and returns how many values it takes and leaves.
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
