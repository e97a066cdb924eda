package meter

import "time"

// compileCost counts the parts of a function that are expensive to compile. The compiler is fast on ordinary code. Its
// time grows with the square of the number of places where control flow splits or joins, and at each of them with the
// number of locals. A function of 46 KB with 3,000 ifs and 3,000 locals takes 20 s and 1.7 GB. Nested loops have the
// same effect, because each has every local at its head.
type compileCost struct {
	instrs    uint64
	accesses  uint64 // to memory, each with a bounds check
	blocks    uint64 // places where control flow splits or joins, including those of charges
	targets   uint64 // of br_table
	values    uint64 // passed into and out of calls and blocks
	deepLoops uint64 // nesting depth of each loop over freeLoopDepth, summed
}

// freeLoopDepth is the nesting depth of loops that adds nothing to the estimate. Programs that people write do not
// exceed it.
const freeLoopDepth = 5

// add counts one instruction.
func (e *compileCost) add(in *instr) {
	e.instrs++
	switch in.op {
	case opBlock, opIf, opElse, opBrIf:
		e.blocks++
	case opMemoryGrow, opTableGrow:
		e.blocks += 2
	case opLoop:
		e.blocks += 3
	case opBrTable:
		e.blocks++
		e.targets += uint64(len(in.labels)) + 1
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		e.blocks += 4
	case opTableInit, opTableCopy, opTableFill:
		e.blocks += 3
	}
	if in.form == access || in.form == accessLn {
		e.accesses++
	}
}

// estimate returns the time to compile the function on one core of 2024. It is based on measurements of wazero 1.12:
// ordinary programs take two thirds of it, and the worst known ones two or three times as long. It is at most 13 days.
func (e *compileCost) estimate(locals int) time.Duration {
	blocks, l := float64(e.blocks), float64(locals)+20
	ns := 10_000 +
		300*float64(e.instrs) +
		4_000*float64(e.accesses) +
		0.8*blocks*blocks*l +
		300*float64(e.targets)*l +
		3_000*float64(e.values) +
		300*float64(e.deepLoops)*l
	return time.Duration(min(ns, 1<<50))
}

// addCompileCost adds the estimate of the function that was scanned last to the estimate of the module, and checks the
// limit.
func (w *rewriter) addCompileCost(r *reader) {
	e, locals := &w.scan.compile, w.scan.locals
	d := e.estimate(locals)
	w.compileTime += d
	have, limit := uint64(w.compileTime.Milliseconds()), w.budget.max[compileMillis]
	w.budget.used[compileMillis] = have
	if have > limit {
		r.fail(ErrLimit, "an estimated %d ms to compile up to here, the limit is %d; %v of it for this function: "+
			"%d instructions, %d blocks, %d targets of br_table, %d values passed, %d locals, loops in loops %d times",
			have, limit, d.Round(time.Millisecond), e.instrs, e.blocks, e.targets, e.values, locals, e.deepLoops)
	}
}
