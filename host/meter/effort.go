package meter

import "time"

// effort is what makes a function dear to compile. The compiler is fast on ordinary code, but its time grows with the
// square of the number of places where control flow splits or joins, and at each of them with the number of locals: 46
// KB with 3000 ifs and 3000 locals take 20 s and 1.7 GB. Loops within loops are as bad: each has every local at its head.
type effort struct {
	instrs   uint64
	accesses uint64 // to memory; each brings a check of the bounds with it
	blocks   uint64 // where control flow splits or joins, those of the charges too
	targets  uint64 // of br_table
	values   uint64 // passed into and out of calls and blocks
	deep     uint64 // for each loop, how many it is in, beyond what people write
}

// shallow is how many loops within loops cost nothing more.
const shallow = 5

func (e *effort) add(in *instr) {
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

// duration estimates the time to compile on one core of 2024, from measurements of wazero 1.12: ordinary programs
// take two thirds of it, the worst found two or three times as long. It is never more than 12 days.
func (e *effort) duration(locals int) time.Duration {
	blocks, l := float64(e.blocks), float64(locals)+20
	ns := 10_000 +
		300*float64(e.instrs) +
		4_000*float64(e.accesses) +
		0.8*blocks*blocks*l +
		300*float64(e.targets)*l +
		3_000*float64(e.values) +
		300*float64(e.deep)*l
	return time.Duration(min(ns, 1<<50))
}

// addEffort adds the function just scanned to what the module takes to compile.
func (w *rewriter) addEffort(r *reader) {
	e, locals := &w.scan.effort, w.scan.locals
	d := e.duration(locals)
	w.compile += d
	have, limit := uint64(w.compile.Milliseconds()), w.budget.max[compileMillis]
	w.budget.have[compileMillis] = have
	if have > limit {
		r.fail(ErrLimit, "an estimated %d ms to compile up to here, the limit is %d; %v of it for this function: "+
			"%d instructions, %d blocks, %d targets of br_table, %d values passed, %d locals, loops in loops %d times",
			have, limit, d.Round(time.Millisecond), e.instrs, e.blocks, e.targets, e.values, locals, e.deep)
	}
}
