package meter

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func TestInfiniteRecursionTraps(t *testing.T) {
	b := newBuilder()
	b.table(1, 1)
	b.fn("direct", nil, nil, nil, at(opCall, 0))
	b.fn("indirect", nil, nil, nil, i32c(0), ops(opCallIndirect, 0, 0))
	b.add(elementSection, cat([]byte{0}, i32c(0), ops(opEnd, 1, 1)))
	b.fn("mutual", nil, nil, nil, at(opCall, 3))
	b.fn("", nil, nil, nil, at(opCall, 2))
	b.fn("own", nil, nil, nil, at(opCall, 5))
	b.fn("", nil, nil, nil, ops(opUnreachable))
	for _, name := range []string{"direct", "indirect", "mutual"} {
		g := newGuest(t, b.wasm(), Limits{})
		_, err := g.call(allow(10), Slice, name)
		if err == nil || !strings.Contains(err.Error(), "unreachable") || g.depth() >= 0 {
			t.Errorf("%s: %v, depth %d", name, firstLine(err), g.depth())
		}
	}
	g := newGuest(t, b.wasm(), Limits{})
	if _, err := g.call(allow(1), Slice, "own"); err == nil || g.depth() < 0 {
		t.Errorf("a trap of the guest's own code: %v, depth %d", firstLine(err), g.depth())
	}
}

// down returns a module with a function that calls itself n times, where n is its argument.
func down(locals []byte) []byte {
	b := newBuilder()
	b.fn("down", vals(i32), nil, locals, at(opLocalGet, 0), ops(opIf, 0x40), at(opLocalGet, 0), i32c(1), ops(0x6b), at(opCall, 0), ops(opEnd))
	return b.wasm()
}

func TestCallDepthIsTheLimit(t *testing.T) {
	for _, c := range []struct {
		locals []byte
		limit  int
		deep   uint64 // the largest argument that does not trap
	}{
		{nil, 0, 7999},
		{nil, 100, 99},
		{ops(31, i32), 100, 49}, // 32 locals with the parameter: two frames each
		{ops(127, v128), 100, 19},
	} {
		wasm := down(c.locals)
		g := newGuest(t, wasm, Limits{CallDepth: c.limit})
		full := g.depth()
		if _, err := g.call(allow(1), Slice, "down", c.deep); err != nil || g.depth() != full {
			t.Errorf("%+v: %v, depth %d of %d", c, firstLine(err), g.depth(), full)
		}
		if _, err := g.call(allow(1), Slice, "down", c.deep+1); err == nil || g.depth() >= 0 {
			t.Errorf("%+v: one call more does not trap, or the depth is not below zero", c)
		}
	}
}

// TestDepthIsRestoredOnEveryExit leaves a function that calls another by each instruction that can leave a function,
// from several depths of blocks. It compares the results with those of the plain module.
func TestDepthIsRestoredOnEveryExit(t *testing.T) {
	tick := uint32(0)
	x := at(opLocalGet, 0)
	call := at(opCall, tick)
	ways := map[string][][]byte{
		"end":                  {call, x},
		"return":               {call, x, ops(opReturn)},
		"return and dead code": {call, x, ops(opReturn, opUnreachable)},
		"return with rest":     {call, i32c(5), i32c(6), x, ops(opReturn)}, // the values under the result are dropped
		"return in block":      {ops(opBlock, 0x40), call, x, ops(opReturn, opEnd), i32c(9)},
		"return in loop":       {ops(opLoop, 0x40), call, x, ops(opReturn, opEnd), i32c(9)},
		"return in if":         {x, ops(opIf, 0x40), call, x, ops(opReturn, opEnd), call, i32c(9)},
		"return in else":       {x, ops(opIf, i32), call, i32c(3), ops(opElse), call, i32c(4), ops(opReturn, opEnd)},
		"return three deep":    {ops(opBlock, 0x40, opLoop, 0x40, opBlock, 0x40), call, x, ops(opReturn, opEnd, opEnd, opEnd), i32c(9)},
		"br out":               {call, x, ops(opBr, 0)},
		"br out from block":    {ops(opBlock, 0x40), call, x, ops(opBr, 1, opEnd), i32c(9)},
		"br out from loop":     {ops(opLoop, 0x40, opBlock, 0x40), call, x, ops(opBr, 2, opEnd, opEnd), i32c(9)},
		"br_if out":            {call, x, x, ops(opBrIf, 0, 0x1a), i32c(9)},
		"br_if from block":     {ops(opBlock, 0x40), call, x, x, ops(opBrIf, 1, 0x1a, opEnd), i32c(9)},
		"br_table out": {ops(opBlock, 0x40, opBlock, 0x40), call, x, ops(opBrTable, 2, 0, 1, 0, opEnd), call, i32c(7), ops(opReturn, opEnd),
			i32c(8)},
		"br_table to the end": {ops(opBlock, i32), call, x, x, ops(opBrTable, 1, 1, 0, opEnd), i32c(1), ops(0x6a)},
		"loop again": {ops(opLoop, 0x40), call, x, i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opIf, 0x40), x, i32c(7), ops(0x71), i32c(3), ops(0x46, opIf, 0x40),
			x, ops(opReturn, opEnd, opBr, 1, opEnd, opEnd), i32c(9)},
		"return in dead code": {call, x, ops(opReturn), x, ops(opReturn, opBlock, 0x40), x, ops(opReturn, opEnd), x},
	}
	b := newBuilder()
	b.memory(1, 1)
	b.add(globalSection, cat([]byte{i32, 1}, i32c(0), ops(opEnd)))
	b.fn("tick", nil, nil, nil, at(opGlobalGet, 0), i32c(1), ops(0x6a), at(opGlobalSet, 0))
	b.export("ticks", Global, 0)
	b.add(globalSection, cat([]byte{i64, 1}, i64c(0), ops(opEnd)))
	b.export("work", Global, 1)
	// Functions with three results and with none.
	b.fn("three", vals(i32), vals(i32, i64, f32), nil, ops(opBlock, 0x40), call, x, ops(opIf, 0x40),
		x, i64c(-5), ops(opF32Const, 0, 0, 0x80, 0x3f), ops(opReturn, opEnd, opEnd), x, i64c(-6), ops(opF32Const, 0, 0, 0, 0x40, opBr, 0))
	b.fn("none", vals(i32), nil, nil, call, ops(opBlock, 0x40), x, ops(opIf, 0x40, opReturn, opEnd), x, ops(0x45, opBrIf, 1, opEnd))
	names := []string{"three", "none"}
	for name, code := range ways {
		b.fn(name, vals(i32), vals(i32), nil, code...)
		b.fn(name+", large", vals(i32), vals(i32), ops(0xac, 2, i64), code...) // 300 locals
		names = append(names, name, name+", large")
	}
	compareWithPlain(t, b.wasm(), names, 8)
}

func memoryOf(m api.Module) []byte {
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return b
}

// compareWithPlain calls each function with 0 to n-1 in the plain and in the metered module, and compares results,
// traps, memory and the exported global "ticks". It checks that the metered module pays for the work that the exported
// global "work" counts.
func compareWithPlain(t *testing.T, wasm []byte, names []string, n uint64) {
	t.Helper()
	rt := wazero.NewRuntime(t.Context())
	t.Cleanup(func() { rt.Close(context.Background()) })
	plain, err := rt.InstantiateWithConfig(t.Context(), wasm, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, wasm, Limits{})
	full, stack := g.depth(), g.stack()
	for _, name := range names {
		for arg := range n {
			what := fmt.Sprintf("%s(%d)", name, arg)
			want, wantErr := plain.ExportedFunction(name).Call(t.Context(), arg)
			a := allow(math.MaxInt)
			work := g.mod.ExportedGlobal("work").Get()
			got, gotErr := g.call(a, int64(arg), name, arg)
			if firstLine(wantErr) != firstLine(gotErr) {
				t.Fatalf("%s: plain %v, metered %v", what, wantErr, gotErr)
			}
			if gotErr != nil {
				g.global(DepthExport).Set(uint64(full))
				g.global(StackExport).Set(uint64(stack))
			} else if work = g.mod.ExportedGlobal("work").Get() - work; a.paid+int64(a.used)*MaxCharge < int64(work) { // a loop that checks the charge of the function as well has one iteration free
				t.Errorf("%s: it did work for %d units, and paid %d in %d refuels", what, work, a.paid, a.used)
			}
			if a.debt > MaxCharge+costTable {
				t.Errorf("%s: one charge left a debt of %d", what, a.debt)
			}
			if p, m := memoryOf(plain), memoryOf(g.mod); !bytes.Equal(p, m) {
				t.Errorf("%s: the memories differ", what)
			}
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Errorf("%s: plain %v, metered %v", what, want, got)
			}
			if p, m := plain.ExportedGlobal("ticks").Get(), g.mod.ExportedGlobal("ticks").Get(); p != m {
				t.Errorf("%s: %d ticks plain, %d metered", what, p, m)
			}
			if g.depth() != full || g.stack() != stack {
				t.Fatalf("%s: depth %d and stack budget %d, they were %d and %d", what, g.depth(), g.stack(), full, stack)
			}
		}
	}
}
