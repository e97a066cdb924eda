package hostile

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestExpensiveModulesAreRefused loads small modules that are expensive to compile or to instantiate. Each is refused
// before it is compiled.
func TestExpensiveModulesAreRefused(t *testing.T) { run(t, bombs) }

var bombs = []attack{
	{name: "file too large", tries: "to be read without end", refused: "more than 16777216 bytes",
		wasm: func() []byte { return append([]byte(asm.Magic), make([]byte, 16<<20)...) }},
	{name: "custom section of nearly 16 MiB", tries: "to be kept in memory for nothing", refused: "not a Moot module",
		wasm: bomb(func(m *asm.Module) { m.Custom("x", make([]byte, 15<<20)) })},
	{name: "memory of 4 GiB", tries: "to be given 4 GiB at once", refused: "65536 pages of memory, the limit is 1024",
		wasm: bomb(func(m *asm.Module) { m.Memory(1<<16, asm.NoMax) })},
	{name: "memory just over its limit", tries: "to be given a page more than its entry says", refused: "257 pages of memory, the limit is 256",
		wasm: abiAnd(func(g *guest) { g.Section(asm.Memories, append([]byte{1, 0}, asm.Uint(257)...)) })},
	{name: "two memories", tries: "to have the one checked and use the other", refused: "memories",
		wasm: bomb(func(m *asm.Module) { m.Memory(1, 1); m.Memory(1<<16, asm.NoMax) })},
	{name: "table of 4 billion", tries: "to be given 32 GiB of table", refused: "4294967295 elements in one table, the limit is 65536",
		wasm: bomb(func(m *asm.Module) { m.Table(1<<32-1, asm.NoMax) })},
	{name: "many tables", tries: "the same in small pieces", refused: "tables, the limit is 16",
		wasm: bomb(func(m *asm.Module) { repeat(1000, func(int) { m.Table(1<<16, asm.NoMax) }) })},
	{name: "functions", tries: "200,000 functions", refused: "200000 functions, the limit is 50000",
		wasm: bomb(func(m *asm.Module) {
			count(m, asm.Functions, 200_000, "\x00")
			count(m, asm.Bodies, 200_000, "\x02\x00\x0b")
		})},
	{name: "more functions than bytes", tries: "to have the host make room for 4 billion functions that never come", refused: "module",
		wasm: bomb(func(m *asm.Module) { m.Section(asm.Functions, asm.Uint(1<<32-1)) })},
	{name: "types", tries: "100,000 types", refused: "types, the limit is 10000",
		wasm: bomb(func(m *asm.Module) { count(m, asm.Types, 100_000, "\x60\x00\x00") })},
	{name: "parameters", tries: "a function of a million parameters", refused: "parameters or results of one type, the limit is 1000",
		wasm: bomb(func(m *asm.Module) {
			m.Section(asm.Types, append(append([]byte{1, 0x60}, asm.Uint(1_000_000)...), append(bytes.Repeat([]byte{0x7f}, 1_000_000), 0)...))
		})},
	{name: "imports", tries: "100,000 imports", refused: "imports, the limit is 1000",
		wasm: bomb(func(m *asm.Module) { count(m, asm.Imports, 100_000, "\x01e\x01f\x00\x00") })},
	{name: "exports", tries: "100,000 exports", refused: "exports, the limit is 10000",
		wasm: bomb(func(m *asm.Module) { count(m, asm.Exports, 100_000, "\x01e\x00\x00") })},
	{name: "globals", tries: "200,000 globals", refused: "globals, the limit is 10000",
		wasm: bomb(func(m *asm.Module) { count(m, asm.Globals, 200_000, "\x7e\x01\x42\x00\x0b") })},
	{name: "data segments", tries: "2,000,000 segments of one byte", refused: "data segments, the limit is",
		wasm: bomb(func(m *asm.Module) { m.Memory(1, 1); count(m, asm.Data, 2_000_000, "\x00\x41\x00\x0b\x01\x07") })},
	{name: "data beyond the memory", tries: "to write behind its memory before it runs", refused: "out of bounds memory access",
		wasm: abiAnd(func(g *guest) { g.Data(24<<16-4, []byte("12345678")) })},
	{name: "element segments", tries: "100,000 segments", refused: "element segments, the limit is 10000",
		wasm: bomb(func(m *asm.Module) { m.Table(1, 1); count(m, asm.Elements, 100_000, "\x00\x41\x00\x0b\x00") })},
	{name: "locals", tries: "4 billion locals in five bytes", refused: "parameters and locals in one function, the limit is 10000",
		wasm: bomb(func(m *asm.Module) {
			m.Body("", "->", append(append([]byte{1}, asm.Uint(1<<32-1)...), 0x7f, 0x0b))
		})},
	{name: "locals of many functions", tries: "88 KB that take 580 MB decoded", refused: "1008000 locals in all functions, the limit is 1000000",
		wasm: bomb(func(m *asm.Module) { repeat(8000, func(int) { m.Body("", "->", locals(9000, "")) }) })},
	{name: "one long function", tries: "a million statements in a row", refused: "bytes of code in one function, the limit is 524288",
		wasm: bomb(func(m *asm.Module) { m.FuncWith("", "->", "i32", asm.Repeat(1_000_000, asm.Get(0)+asm.Set(0))) })},
	{name: "nesting", tries: "50,000 blocks within each other", refused: "nested blocks in one function, the limit is 5000",
		wasm: bomb(func(m *asm.Module) { m.Func("", "->", asm.Repeat(50_000, "\x02\x40")+asm.Repeat(50_000, "\x0b")) })},
	{name: "blocks times locals", tries: "46 KB that take 20 s and 1.7 GB to compile", refused: "ms to compile",
		wasm: bomb(manyLocals(3000, func(i int) asm.Code { return asm.Get(i) + asm.If(asm.Get(i)+asm.Set((i*7)%3000)) }))},
	{name: "loops times locals", tries: "the same with loops", refused: "ms to compile",
		wasm: bomb(manyLocals(3000, func(i int) asm.Code { return asm.Loop(asm.Get(i) + asm.Tee((i*7)%3000) + asm.BrIf(0)) }))},
	{name: "nested loops times locals", tries: "the same with loops within loops", refused: "ms to compile",
		wasm: bomb(func(m *asm.Module) {
			m.Body("", "->", locals(2000, asm.Repeat(4000, "\x03\x40")+asm.Repeat(4000, asm.Get(0)+asm.BrIf(0)+"\x0b")))
		})},
	{name: "br_table", tries: "jump tables of 400,000 targets", refused: "ms to compile",
		wasm: bomb(func(m *asm.Module) {
			m.Body("", "->", locals(2000, asm.Block(asm.Get(0)+asm.BrTable(400_000))))
		})},
	{name: "many expensive functions", tries: "to stay under each limit, in 2,000 functions", refused: "ms to compile",
		wasm: bomb(func(m *asm.Module) {
			body := locals(20, asm.Block(asm.Get(0)+asm.BrTable(300)))
			repeat(2_000, func(int) { m.Body("", "->", body) })
		})},
}

// bomb returns a module without the ABI. It must be refused before the host checks the contract.
func bomb(add func(*asm.Module)) func() []byte {
	return func() []byte {
		m := new(asm.Module)
		m.Type("->")
		add(m)
		return m.Wasm()
	}
}

// abiAnd returns a module with the ABI and the parts that add adds.
func abiAnd(add func(g *guest)) func() []byte {
	return func() []byte {
		return guestOf(everyHook[2:3], func(g *guest) asm.Code { add(g); return answers(0) })
	}
}

func repeat(n int, do func(i int)) {
	for i := range n {
		do(i)
	}
}

// count returns a section of n equal items.
func count(m *asm.Module, id, n int, item string) {
	m.Section(id, append(asm.Uint(n), bytes.Repeat([]byte(item), n)...))
}

// locals returns a body with n locals of type i32.
func locals(n int, code asm.Code) []byte {
	return append(append(append([]byte{1}, asm.Uint(n)...), 0x7f), code+"\x0b"...)
}

// manyLocals returns a function of n locals and n statements. All locals are live until the end.
func manyLocals(n int, statement func(i int) asm.Code) func(*asm.Module) {
	return func(m *asm.Module) {
		var code strings.Builder
		repeat(n, func(i int) { code.WriteString(string(statement(i))) })
		repeat(n, func(i int) { code.WriteString(string(asm.Get(i) + asm.Drop)) })
		m.Body("", "->", locals(n, asm.Code(code.String())))
	}
}
