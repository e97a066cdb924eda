package meter

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
)

// moversGuest returns a module with a memory of six pages and functions that move memory: (to, from or value, size).
func moversGuest() []byte {
	b := newBuilder()
	b.memory(6, 6)
	b.export("memory", Mem, 0)
	operands := cat(at(opLocalGet, 0), at(opLocalGet, 1), at(opLocalGet, 2))
	def := func(name string, op ...byte) { b.fn(name, vals(i32, i32, i32), nil, nil, operands, op) }
	def("memory.fill", 0xfc, 11, 0)
	def("memory.copy", 0xfc, 10, 0, 0)
	def("memory.init", 0xfc, 8, 1, 0)
	// Functions that keep the fuel in a local, and functions that call others.
	b.fn("in a loop", vals(i32, i32, i32), nil, nil, ops(opLoop, 0x40), operands, ops(0xfc, 10, 0, 0), ops(opEnd))
	b.fn("", nil, nil, nil)
	b.fn("after a call", vals(i32, i32, i32), nil, nil, at(opCall, 4), ops(opLoop, 0x40), operands, ops(0xfc, 10, 0, 0), at(opCall, 4), ops(opEnd))
	b.raw(dataCountSection, 2)
	segment := make([]byte, 4*piece)
	for i := range segment {
		segment[i] = byte(i * 7 >> 3)
	}
	b.add(dataSection, []byte{1, 0})
	b.add(dataSection, cat([]byte{1}, appendU32(nil, uint32(len(segment))), segment))
	return b.wasm()
}

// TestBulkOperationsInPieces checks that bulk operations have the same memory and traps as in the plain module, and
// that an operation that traps changes nothing.
func TestBulkOperationsInPieces(t *testing.T) {
	const end = 6 << 16
	wasm := moversGuest()
	plain, err := wazero.NewRuntime(t.Context()).InstantiateWithConfig(t.Context(), wasm, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, wasm, Limits{})
	pattern := make([]byte, end)
	for i := range pattern {
		pattern[i] = byte(i*31 ^ i>>8)
	}
	sizes := []uint32{0, 1, piece - 1, piece, piece + 1, 2*piece - 1, 2 * piece, 2*piece + 1, 3*piece + 5, end, end + 1, math.MaxUint32}
	places := []uint32{0, 1, piece - 1, piece, piece + 3, 3 * piece, end - piece - 1, end - 1, end, end + 1, math.MaxUint32}
	traps := 0
	for _, name := range []string{"memory.fill", "memory.copy", "memory.init", "in a loop", "after a call"} {
		for _, size := range sizes {
			for _, to := range places {
				for _, from := range places {
					plain.Memory().Write(0, pattern)
					g.mod.Memory().Write(0, pattern)
					_, want := plain.ExportedFunction(name).Call(t.Context(), uint64(to), uint64(from), uint64(size))
					_, got := g.call(allow(1000), Slice, name, uint64(to), uint64(from), uint64(size))
					if firstLine(got) != firstLine(want) || !bytes.Equal(memoryOf(g.mod), memoryOf(plain)) {
						t.Fatalf("%s(%d, %d, %d): %v, it should be %v, or the memory differs", name, to, from, size, got, want)
					}
					if want != nil {
						traps++
					}
				}
			}
		}
	}
	if traps == 0 {
		t.Error("nothing trapped")
	}
}

// TestLongBulkOperationsPayInParts counts the refuels of bulk operations in which each charge calls refuel. It stops
// some of them halfway.
func TestLongBulkOperationsPayInParts(t *testing.T) {
	g := newGuest(t, moversGuest(), Limits{})
	for _, name := range []string{"memory.fill", "memory.copy", "memory.init"} {
		a := allow(100)
		a.slice = 0
		if _, err := g.call(a, 0, name, 0, 1, 4*piece-1); err != nil || a.used != 1+4 || a.debt > MaxCharge+costBulk {
			t.Errorf("%s: %v, %d refuels for a function and four pieces, %d paid at once", name, err, a.used, a.debt)
		}
		g.mod.Memory().Write(0, make([]byte, 6<<16))
		a = allow(3)
		a.slice = 0
		if _, err := g.call(a, 0, name, 0, 1, 4*piece-1); !errors.Is(err, errStopped) {
			t.Errorf("%s: %v", name, err)
		}
		if b := memoryOf(g.mod); name == "memory.fill" && (b[2*piece-1] != 1 || b[2*piece] != 0) {
			t.Errorf("%s: the third piece was moved before it was paid for", name)
		}
	}
}

// TestLongCodePaysInParts counts the refuels of long code without loops, straight and in branches. Each charge calls
// refuel.
func TestLongCodePaysInParts(t *testing.T) {
	const n = 20_000
	load := ops(0x28, 0, 0)
	branch := cat(i32c(1), ops(opIf, 0x40), repeat(1000, func(int) []byte { return cat(i32c(0), load, ops(0x1a)) }),
		ops(opElse), repeat(1000, func(int) []byte { return cat(i32c(0), load, ops(0x1a)) }), ops(opEnd))
	b := newBuilder()
	b.memory(1, 1)
	b.fn("line", nil, nil, nil, i32c(0), repeat(n, func(int) []byte { return load }), ops(0x1a))
	b.fn("branches", nil, nil, nil, repeat(n/1000, func(int) []byte { return branch }))
	b.fn("nested", nil, nil, nil, repeat(n/1000, func(int) []byte { return ops(opBlock, 0x40) }),
		repeat(n/1000, func(int) []byte { return cat(branch, ops(opEnd)) }))
	b.fn("turns", nil, nil, nil, ops(opLoop, 0x40), repeat(n/1000, func(int) []byte { return branch }), ops(opEnd))
	g := newGuest(t, b.wasm(), Limits{})
	for _, name := range []string{"line", "branches", "nested", "turns"} {
		a := allow(math.MaxInt)
		a.slice = 0
		if _, err := g.call(a, 0, name); err != nil || a.used < n*costMemory/MaxCharge || a.debt > MaxCharge+n/1000 || a.paid < n*costMemory {
			t.Errorf("%s: %v, %d refuels, %d paid at once at most, %d in all for %d loads", name, err, a.used, a.debt, a.paid, n)
		}
	}
}

// TestMemoryGrowPays grows a memory by 100 pages, and checks that refuel is called before the guest can use them,
// regardless of the remaining fuel.
func TestMemoryGrowPays(t *testing.T) {
	b := newBuilder()
	b.memory(1, -1)
	b.fn("grow", nil, nil, nil, i32c(100), ops(0x40, 0, 0x1a))
	g := newGuest(t, b.wasm(), Limits{})
	a, pages := allow(10), []uint32{}
	a.onRefuel = func() { pages = append(pages, g.mod.Memory().Size()>>16) }
	if _, err := g.call(a, Slice, "grow"); err != nil || !slices.Equal(pages, []uint32{101}) {
		t.Errorf("%v, refuel was called with %d pages", err, pages)
	}
}
