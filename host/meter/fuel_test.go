package meter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// endlessLoop is an empty loop without an exit.
var endlessLoop = ops(opLoop, 0x40, opBr, 0, opEnd)

func TestEndlessLoopIsStopped(t *testing.T) {
	b := newBuilder()
	b.fn("loop", nil, nil, nil, endlessLoop)
	a := allow(10)
	_, err := newGuest(t, b.wasm(), Limits{}).call(a, 0, "loop")
	if !errors.Is(err, errStopped) || a.used != 11 {
		t.Errorf("%v after %d refuels", err, a.used)
	}
}

func TestDeadlineStopsLoop(t *testing.T) {
	b := newBuilder()
	b.fn("loop", nil, nil, nil, endlessLoop)
	g := newGuest(t, b.wasm(), Limits{})
	a := allow(1 << 30)
	begin := time.Now()
	a.deadline = begin.Add(10 * time.Millisecond)
	_, err := g.call(a, Slice, "loop")
	if late := time.Since(a.deadline); !errors.Is(err, errStopped) || late < 0 || late > time.Second {
		t.Errorf("%v, %v after the deadline", err, late)
	}
}

// fib adds a function without a loop that calls itself: the number of calls is exponential in n, and the depth is at
// most n.
func fib(b *builder) {
	n := at(opLocalGet, 0)
	b.fn("fib", vals(i32), vals(i32), nil, n, i32c(2), ops(0x48, opIf, i32), n, ops(opElse),
		n, i32c(1), ops(0x6b), at(opCall, b.imports), n, i32c(2), ops(0x6b), at(opCall, b.imports), ops(0x6a, opEnd))
}

func TestRecursionWithoutLoopsIsStopped(t *testing.T) {
	b := newBuilder()
	fib(b)
	g := newGuest(t, b.wasm(), Limits{})
	if r, err := g.call(allow(10), Slice, "fib", 20); err != nil || r[0] != 6765 {
		t.Errorf("fib(20) = %v, %v", r, err)
	}
	a := allow(20)
	if _, err := g.call(a, 0, "fib", 60); !errors.Is(err, errStopped) {
		t.Error(err)
	}
}

func TestEveryIterationPays(t *testing.T) {
	n := at(opLocalGet, 0)
	count := cat(n, i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opBrIf, 0)) // 5 instructions and the head
	b := newBuilder()
	b.importFunc("env", "nop", nil, nil)
	b.fn("tight", vals(i32), nil, nil, ops(opLoop, 0x40), count, ops(opEnd))
	b.fn("calls", vals(i32), nil, nil, ops(opLoop, 0x40), at(opCall, 1+3), count, ops(opEnd))
	b.fn("hosted", vals(i32), nil, nil, ops(opLoop, 0x40), at(opCall, 0), count, ops(opEnd))
	b.fn("leaf", nil, nil, nil)
	b.table(1, 1)
	b.add(elementSection, cat([]byte{0}, i32c(0), ops(opEnd, 1, 0)))
	b.fn("indirect", vals(i32), nil, nil, ops(opLoop, 0x40), i32c(0), ops(opCallIndirect, 0, 0), count, ops(opEnd))
	b.fn("nested", vals(i32), nil, ops(1, i32), ops(opLoop, 0x40),
		i32c(10), at(opLocalSet, 1), ops(opLoop, 0x40), at(opLocalGet, 1), i32c(1), ops(0x6b), at(opLocalTee, 1), ops(opBrIf, 0, opEnd),
		count, ops(opEnd))
	g := newGuest(t, b.wasm(), Limits{})
	const iteration = 4 + costBranch
	for name, least := range map[string]int64{"tight": iteration, "calls": iteration + costCall, "hosted": iteration + costHost, "indirect": iteration + costHost, "nested": iteration + 2 + 10*iteration} {
		if per := (g.cost(name, 1001) - g.cost(name, 1)) / 1000; per < least || per > 2*least {
			t.Errorf("%s: an iteration costs %d, it has at least %d", name, per, least)
		}
	}
}

func TestStraightCodePaysOnce(t *testing.T) {
	b := newBuilder()
	b.fn("line", nil, nil, nil, repeat(1000, func(int) []byte { return ops(0x01) }))
	b.fn("locals", nil, nil, cat(appendU32(nil, 100), ops(i32)))
	b.fn("slow", nil, vals(i32), nil, i32c(1), repeat(100, func(int) []byte { return cat(i32c(1), ops(0x6d)) }))
	g := newGuest(t, b.wasm(), Limits{})
	if c := g.cost("line"); c < 1000 || c > 1010 {
		t.Errorf("1000 instructions cost %d", c)
	}
	if c := g.cost("locals"); c < 50 {
		t.Errorf("100 locals cost %d", c)
	}
	if c := g.cost("slow"); c < 100*costSlow {
		t.Errorf("100 divisions cost %d", c)
	}
}

func TestRefuelResultBecomesFuel(t *testing.T) {
	b := newBuilder()
	b.fn("line", nil, nil, nil, ops(0x01))
	b.fn("loop", nil, nil, ops(1, i32), i32c(100), at(opLocalSet, 0),
		ops(opLoop, 0x40), at(opLocalGet, 0), i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opBrIf, 0, opEnd))
	g := newGuest(t, b.wasm(), Limits{})
	a := allow(1000)
	a.slice = 12345
	if _, err := g.call(a, 0, "line"); err != nil || a.used != 1 || g.fuel() != 12345 {
		t.Errorf("%v, %d refuels, fuel %d", err, a.used, g.fuel())
	}
	a = allow(1000)
	a.slice = 0 // the next charge calls refuel
	if _, err := g.call(a, 0, "loop"); err != nil || a.used != 100 {
		t.Errorf("%v, %d refuels for a function with 100 iterations", err, a.used)
	}
	a = allow(1000)
	a.slice = -1 // a loop calls refuel again at once
	if _, err := g.call(a, 0, "loop"); !errors.Is(err, errStopped) {
		t.Error(err)
	}
}

// TestFunctionPaysBeforeAnythingElse checks that a function checks its charge at its entry. The exception is a function
// that reaches a loop before anything else: it leaves the check to the loop.
func TestFunctionPaysBeforeAnythingElse(t *testing.T) {
	b := newBuilder()
	b.importFunc("env", "nop", nil, nil)
	loop := ops(opLoop, 0x40, opEnd)
	code := map[string][]byte{
		"nothing": nil,
		"loop":    loop,
		"later":   cat(i32c(1), ops(0x1a, opBlock, 0x40), loop, ops(opEnd)),
		"call":    cat(at(opCall, 0), loop),
		"if":      cat(i32c(0), ops(opIf, 0x40), loop, ops(opEnd)),
		"br":      cat(ops(opBlock, 0x40, opBr, 0), loop, ops(opEnd)),
		"br_if":   cat(ops(opBlock, 0x40), i32c(1), ops(opBrIf, 0), loop, ops(opEnd)),
		"table":   cat(ops(opBlock, 0x40), i32c(1), ops(opBrTable, 0, 0), loop, ops(opEnd)),
		"return":  cat(ops(opReturn), loop),
	}
	for name, body := range code {
		b.fn(name, nil, nil, nil, body)
	}
	g := newGuest(t, b.wasm(), Limits{})
	for name := range code {
		a := allow(1000)
		if _, err := g.call(a, 0, name); err != nil || a.used != 1 && name != "call" || a.used > 2 || g.fuel() <= 0 {
			t.Errorf("%s: %v, %d refuels, %d fuel", name, err, a.used, g.fuel())
		}
	}
}

// TestFuelTakenByHostStaysTaken checks that a host function can subtract from the fuel: the copy that the guest has in
// a local must not restore it.
func TestFuelTakenByHostStaysTaken(t *testing.T) {
	b := newBuilder()
	host := b.importFunc("host", "work", nil, nil)
	b.fn("loop", vals(i32), nil, nil, ops(opLoop, 0x40), at(opCall, host),
		at(opLocalGet, 0), i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opBrIf, 0, opEnd))
	rt := newRuntime(t, wazero.NewRuntimeConfigCompiler(), 1)
	work := func(_ context.Context, m api.Module, _ []uint64) {
		fuel := m.ExportedGlobal(FuelExport).(api.MutableGlobal)
		fuel.Set(fuel.Get() - 1_000_000)
	}
	if _, err := rt.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(work), nil, nil).Export("work").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := instantiate(t, rt, b.wasm(), Limits{})
	if c := g.cost("loop", 10); c < 10_000_000 {
		t.Errorf("ten calls that take a million each cost %d", c)
	}
}

// bulkGuest returns a module with a function for each operation that pays for its size. The argument of the function is
// the size.
func bulkGuest() []byte {
	b := newBuilder()
	b.memory(64, -1)
	b.table(4000, -1)
	b.add(tableSection, append([]byte{externref}, sizes(4000, -1)...))
	n, zero := at(opLocalGet, 0), i32c(0)
	def := func(name string, code ...[]byte) { b.fn(name, vals(i32), nil, nil, code...) }
	def("memory.init", zero, zero, n, ops(0xfc, 8, 0, 0))
	def("memory.copy", zero, i32c(1), n, ops(0xfc, 10, 0, 0))
	def("memory.fill", zero, zero, n, ops(0xfc, 11, 0))
	def("table.init", zero, zero, n, ops(0xfc, 12, 0, 0))
	def("table.copy", zero, i32c(1), n, ops(0xfc, 14, 0, 0))
	def("table.fill", zero, ops(opRefNull, externref), n, ops(0xfc, 17, 1))
	def("memory.grow", n, ops(0x40, 0, 0x1a))
	def("table.grow", ops(opRefNull, funcref), n, ops(0xfc, 15, 0, 0x1a))
	def("copies", repeat(3, func(int) []byte { return cat(zero, i32c(1), n, ops(0xfc, 10, 0, 0)) }))
	b.add(elementSection, cat([]byte{1, 0}, appendU32(nil, 3000), make([]byte, 3000)))
	b.raw(dataCountSection, 1)
	b.add(dataSection, cat([]byte{1}, appendU32(nil, 1<<20), make([]byte, 1<<20)))
	return b.wasm()
}

func TestBulkOperationsPayBySize(t *testing.T) {
	g := newGuest(t, bulkGuest(), Limits{})
	for _, c := range []struct {
		name string
		size uint64
		once int64 // for any size
		cost int64 // for the size
	}{
		{"memory.init", 1 << 16, costBulk, 1 << 12},
		{"memory.copy", 1 << 16, costBulk, 1 << 12},
		{"memory.fill", 1 << 16, costBulk, 1 << 12},
		{"memory.init", 1 << 20, costBulk, 1<<16 + 15*costBulk},
		{"memory.copy", 1 << 20, costBulk, 1<<16 + 15*costBulk},
		{"memory.fill", 1 << 20, costBulk, 1<<16 + 15*costBulk},
		{"table.init", 3000, costTable, 1500},
		{"table.copy", 3000, costTable, 1500},
		{"table.fill", 4000, costTable, 2000},
	} {
		small, large := g.cost(c.name, 0), g.cost(c.name, c.size)
		if small < c.once || small > c.once+50 || large-small != c.cost {
			t.Errorf("%s: 0 costs %d, %d costs %d more; it should be %d", c.name, small, c.size, large-small, c.cost)
		}
	}
}

func TestGrowthPaysForTheLargestPossible(t *testing.T) {
	g := newGuest(t, bulkGuest(), Limits{MemoryPages: 100, TableElements: 8000})
	for name, cost := range map[string]int64{"memory.grow": 100 << 12, "table.grow": 4000} {
		for _, size := range []uint64{0, 1, 1 << 31, 1<<32 - 1} {
			if c := g.cost(name, size); c < cost || c > cost+200 {
				t.Errorf("%s %d costs %d, the largest costs %d", name, size, c, cost)
			}
		}
	}
}

// TestEachBulkOperationPays checks that each bulk operation has a separate charge, also if several operations follow
// each other.
func TestEachBulkOperationPays(t *testing.T) {
	g := newGuest(t, bulkGuest(), Limits{})
	a := allow(100)
	if _, err := g.call(a, 20, "copies", 1<<20); err != nil || a.used == 0 {
		t.Fatal(err, a.used)
	}
	a = allow(100)
	a.slice = 0
	if _, err := g.call(a, 0, "copies", piece); err != nil || a.used != 4 {
		t.Errorf("%v, %d refuels for a function and three copies", err, a.used)
	}
	if _, err := g.call(allow(2), 0, "copies", 1<<20); err != nil {
		t.Error("two refuels are enough with slices:", err)
	}
}

func TestBulkSizeIsUnsigned(t *testing.T) {
	g := newGuest(t, bulkGuest(), Limits{})
	for _, size := range []uint64{1<<31 + 1, 1<<32 - 1} {
		_, err := g.call(allow(1), Slice, "memory.fill", size)
		if err == nil || !strings.Contains(err.Error(), "out of bounds") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestHostCallsStart(t *testing.T) {
	b := newBuilder()
	b.memory(1, 1)
	b.export("memory", Mem, 0)
	start := b.fn("", nil, nil, nil, i32c(0), i32c(7), ops(0x36, 2, 0))
	b.start(start)
	g := newGuest(t, b.wasm(), Limits{})
	if v, _ := g.mod.Memory().ReadUint32Le(0); v != 0 || !g.module.Start {
		t.Errorf("instantiation ran the start function: %d, %v", v, g.module.Start)
	}
	if _, err := g.call(allow(1), 0, StartExport); err != nil {
		t.Fatal(err)
	}
	if v, _ := g.mod.Memory().ReadUint32Le(0); v != 7 {
		t.Errorf("the start function wrote %d", v)
	}

	b = newBuilder()
	b.start(b.fn("", nil, nil, nil, endlessLoop))
	if _, err := newGuest(t, b.wasm(), Limits{}).call(allow(3), 0, StartExport); !errors.Is(err, errStopped) {
		t.Error(err)
	}

	b = newBuilder()
	b.start(b.importFunc("env", "nop", nil, nil))
	if _, err := newGuest(t, b.wasm(), Limits{}).call(allow(0), 0, StartExport); err != nil {
		t.Error("imported start function:", err)
	}
}
