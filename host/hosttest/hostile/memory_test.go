package hostile

import (
	"fmt"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// growToTheEnd grows the memory page by page until that fails.
const growToTheEnd = "\x03\x40" + "\x41\x01" + asm.MemoryGrow + "\x41\x7f" + asm.Unequal + "\x0d\x00" + "\x0b"

func TestMemoryLimits(t *testing.T) { run(t, hungry) }

var patient = host.Entry{Timeout: 5 * time.Second}

var hungry = []attack{
	{
		name: "memory to the limit", tries: "to keep all memory it can get, and fail",
		entry: patient, kind: "memory", says: "unreachable",
		build: does(growToTheEnd + asm.Unreachable),
	},
	{
		name: "memory to the limit, and answers", tries: "to keep all memory it can get, call after call",
		entry: patient, build: does(growToTheEnd + answers(abi.Allow)),
	},
	{
		name: "memory that cannot grow", tries: "nothing: compilers make such modules, and all of it is in use from the start",
		build: func(g *guest) asm.Code {
			g.Section(asm.Memories, []byte{1, 1, 24, 24})
			return answers(abi.Allow)
		},
	},
	{
		name: "memory beyond the limit", tries: "to grow by 4 GiB, 2 GiB and what 32 bits make of minus one",
		entry: patient, build: does(refusedGrow(65535) + refusedGrow(32768) + refusedGrow(-1) + answers(abi.Allow)),
	},
	{
		name: "writes all its memory", tries: "to make the machine find a page for each that it was promised",
		entry: patient, build: does(growToTheEnd + asm.I32(0) + asm.I32(1) + asm.I32(16<<20) + asm.MemoryFill + answers(abi.Allow)),
	},
	{
		name: "tables", tries: "to grow a table by 4 million elements, again and again: tables count as no pages",
		entry: patient,
		build: func(g *guest) asm.Code {
			g.Table(1, asm.NoMax)
			return times(100, asm.NullFunc+asm.I32(4<<20)+asm.TableGrow+asm.I32(-1)+asm.Unequal+asm.If(asm.Unreachable)) + answers(abi.Allow)
		},
	},
	{
		name: "table to the limit", tries: "to fill a table element by element",
		entry: patient,
		build: func(g *guest) asm.Code {
			g.Table(1, asm.NoMax)
			return asm.Loop(asm.NullFunc+asm.I32(64)+asm.TableGrow+asm.I32(-1)+asm.Unequal+asm.BrIf(0)) + answers(abi.Allow)
		},
	},
	{
		name: "elements beyond the table", tries: "to write behind its table before it runs: nothing is written",
		build: func(g *guest) asm.Code {
			g.Table(1, 1)
			g.Elements(1, g.Func("", "->", ""))
			return answers(abi.Allow)
		},
	},
	{name: "reads beyond its memory", tries: "to read beyond its memory", kind: "trap", says: "out of bounds memory access",
		build: does(asm.I32(-4) + asm.Load32(0))},
	{name: "reads far beyond its memory", tries: "to read 8 GiB away", kind: "trap", says: "out of bounds memory access",
		build: does(asm.I32(-1) + asm.Load32(0xffffffff))},
	{name: "writes beyond its memory", tries: "to write the byte behind its memory", kind: "trap", says: "out of bounds memory access",
		build: does(asm.MemorySize + asm.I32(16) + shiftLeft + asm.I32(1) + asm.Store8(0) + answers(abi.Allow))},
	{name: "fills beyond its memory", tries: "the same with a bulk operation whose end wraps around", kind: "trap", says: "out of bounds memory access",
		build: does(asm.I32(frame) + asm.I32(1) + asm.I32(-1) + asm.MemoryFill + answers(abi.Allow))},
	{name: "copies from beyond its memory", tries: "to copy bytes from beyond its memory", kind: "trap", says: "out of bounds memory access",
		build: does(asm.I32(0) + asm.I32(-8) + asm.I32(16) + asm.MemoryCopy + answers(abi.Allow))},
	{name: "unreachable", tries: "nothing: it traps", hooks: everyHook, kind: "trap", says: "unreachable", build: does(asm.Unreachable)},
	{name: "division by zero", tries: "to have the processor fault", kind: "trap", says: "integer divide by zero",
		build: does(asm.I32(1) + asm.I32(0) + asm.DivS)},
	{name: "division that overflows", tries: "to have the processor fault", kind: "trap", says: "integer overflow",
		build: does(asm.I32(-1<<31) + asm.I32(-1) + asm.DivS)},
	{name: "no number", tries: "to make an integer of a NaN", kind: "trap", says: "invalid conversion to integer",
		build: does(asm.NaN + asm.Truncate)},
	{name: "call of a wrong type", tries: "to call a function with more arguments than it knows of", kind: "trap", says: "indirect call type mismatch",
		build: func(g *guest) asm.Code { return indirect(g, "i32 i32 i32 -> i32", 0) }},
	{name: "call of nothing", tries: "to call an element of a table that is null", kind: "trap", says: "invalid table access",
		build: func(g *guest) asm.Code { return indirect(g, "i32 i32 i32 -> i32", 1) }},
	{name: "call beyond the table", tries: "to call a function beyond the table", kind: "trap", says: "invalid table access",
		build: func(g *guest) asm.Code { return indirect(g, "i32 i32 i32 -> i32", -1) }},
	{name: "host function in a table", tries: "to call a host function with arguments it is not made for", kind: "trap", says: "indirect call type mismatch",
		build: func(g *guest) asm.Code {
			log := g.Import(abi.ImportModule, abi.ImportLog, "i32 i32 i32 ->")
			code := indirect(g, "i32 i32 i32 -> i32", 1)
			g.Elements(1, log)
			return code
		}},
}

// TestTenantKeepsItsMemory loads hostile modules that together take all memory, each within its limit, while they are
// called. It checks that another tenant still has its part.
func TestTenantKeepsItsMemory(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	var many []module
	for n := range budget / (10 << 20) {
		a := attack{entry: patient, build: func(g *guest) asm.Code {
			g.Section(asm.Memories, append([]byte{1, 0}, asm.Uint(160)...)) // 10 MiB
			return growToTheEnd + asm.Unreachable
		}}
		m := a.module()
		m.entry.Module, m.entry.OnError = fmt.Sprintf("hostile%d", n), host.AllowOnError
		many = append(many, m)
	}
	w.must(w.load(many)) // none has an instance yet
	for range calls {
		w.ask("hostile", hook.OnSayReceive) // all of them grow their memory, concurrently
		w.goodAnswers()
	}
}

const shiftLeft asm.Code = "\x74"

func refusedGrow(pages int) asm.Code {
	return asm.I32(pages) + asm.MemoryGrow + asm.I32(-1) + asm.Unequal + asm.If(asm.Unreachable)
}

// indirect calls an element of a table with one function, () -> (), with another type.
func indirect(g *guest, signature string, element int) asm.Code {
	g.Table(10, 10)
	g.Elements(0, g.Func("", "->", ""))
	return asm.I32(1) + asm.I32(2) + asm.I32(3) + asm.I32(element) + asm.CallIndirect(g.Type(signature))
}
