package meter

// scan is what the first reading of a body finds; the second writes by it. It is used again for the next body.
type scan struct {
	costs  []int64 // of each region in order of appearance: the function without its loops, each loop without loops in it, each cut
	frames []frame
	locals int  // with the parameters
	calls  bool // calls other functions, so it can be part of a recursion
	loops  bool // comes to a loop, come what may, before it strays
	strays bool // it has done something of note
	bulk   bool // has an operation that pays by its size
	grows  bool
	in     instr
	effort effort
	size   frameSize
	frame  int64 // bytes to count for each call, 0 for none
	cuts   []int // where in the binary a region begins in the midst of a block
}

// frame is one open block of the body, or the body itself.
type frame struct {
	op     uint16
	region int // whose cost the instructions in the block are
	loops  int // that it is in, with itself
	sets   uint64
	calls  uint64 // before it, see frameSize
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
// Control goes back only to the head of a loop, so between two heads of the same loop each of its instructions,
// outside of loops in it, runs at most once: paying for all of them at the head is never too little.
func (w *rewriter) scanBody(r *reader, t Signature) {
	s := &w.scan
	*s = scan{costs: s.costs[:0], cuts: s.cuts[:0], frames: s.frames[:0], in: s.in, locals: len(t.Params)}
	for n := r.count(); n > 0; n-- {
		k := r.u32()
		r.valueType()
		w.budget.atMost(r, locals, uint64(s.locals)+uint64(k))
		s.locals += int(k)
	}
	s.frames = append(s.frames, frame{})
	s.costs = append(s.costs, costPlain+int64(s.locals)/2)
	s.effort.blocks = 1
	for len(s.frames) > 0 {
		start := r.p
		r.next(&s.in)
		s.charge(w.cost(&s.in), start)
		s.effort.add(&s.in)
		s.size.add(&s.in)
		w.scanInstr(r, start)
	}
	r.end("function body")
	w.addEffort(r)
	s.frame = s.frameBytes(w.globals)
}

// charge adds the cost of the instruction just read, which starts at start, to its region. Before one that would make
// it too dear a region begins anew, for the rest of the block that the instruction stands in: nothing comes to that
// rest but through its beginning. The code after the block is still paid with the code before it.
func (s *scan) charge(cost int64, start int) {
	top := &s.frames[len(s.frames)-1]
	if s.costs[top.region]+cost > MaxCharge && s.in.op != opElse && s.in.op != opEnd {
		top.region = len(s.costs)
		s.costs = append(s.costs, 0)
		s.cuts = append(s.cuts, start)
		s.strays = true
		s.effort.blocks++
	}
	s.costs[top.region] += cost
}

// scanInstr checks the instruction just read, which starts at start.
func (w *rewriter) scanInstr(r *reader, start int) {
	s := &w.scan
	in := &s.in
	below := func(n int, what string, i uint32) {
		if uint64(i) >= uint64(n) {
			r.p = start
			r.malformed("%s %d of %d", what, i, n)
		}
	}
	top := &s.frames[len(s.frames)-1]
	s.loops = s.loops || in.op == opLoop && !s.strays
	s.strays = s.strays || strays(in.op)
	switch in.op {
	case opBlock, opIf, opLoop:
		f, values := frame{op: in.op, region: top.region, loops: top.loops, sets: s.size.sets, calls: s.size.calls}, w.blockArity(r, in.v)
		if in.op == opLoop {
			f.region = len(s.costs)
			f.loops++
			s.costs = append(s.costs, costPlain)
			s.effort.deep += uint64(max(0, f.loops-shallow))
			values *= 3 // there will be three blocks
		}
		s.frames = append(s.frames, f)
		s.effort.values += values
		w.budget.atMost(r, nesting, uint64(len(s.frames)-1))
	case opElse:
		if top.op != opIf {
			r.malformed("else without if")
		}
		top.op = opElse
		top.region = s.frames[len(s.frames)-2].region // what the other branch began is not paid here
	case opEnd:
		s.size.merge(top, s.locals)
		s.frames = s.frames[:len(s.frames)-1]
	case opBrTable:
		for _, l := range in.labels {
			below(len(s.frames), "label", l)
		}
		below(len(s.frames), "label", in.a)
	case opBr, opBrIf:
		below(len(s.frames), "label", in.a)
	case opCall:
		below(len(w.funcs), "function", in.a)
		s.call(&w.types[w.funcs[in.a]])
	case opCallIndirect:
		below(len(w.types), "type", in.a)
		s.call(&w.types[in.a])
	case opRefFunc:
		below(len(w.funcs), "function", in.a)
	case opLocalGet, opLocalSet, opLocalTee:
		below(s.locals, "local", in.a)
	case opGlobalGet, opGlobalSet:
		below(w.globals, "global", in.a)
	}
	_, bulk := bulkShift(in.op)
	s.strays = s.strays || bulk || w.growCost(in.op) > 0
	s.bulk = s.bulk || bulk
	if in.op == opMemoryInit || in.op == opMemoryCopy || in.op == opMemoryFill {
		w.mover(in)
	}
	s.grows = s.grows || w.growCost(in.op) > 0
}

// strays says whether what comes behind op may not be reached, or not before other functions ran.
func strays(op uint16) bool {
	switch op {
	case opUnreachable, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn, opCall, opCallIndirect:
		return true
	}
	return false
}

func (s *scan) call(t *Signature) {
	s.calls = true
	s.effort.values += uint64(len(t.Params) + len(t.Results))
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
