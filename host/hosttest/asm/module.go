// Package asm encodes WebAssembly modules. A test can contain a whole module in a few lines of Go, including modules
// that no compiler makes.
//
// Functions, memories and other items may be added to a [Module] in any order, except that imports come before
// functions. The sections are written in the order of the format. Nothing is checked. Instructions are functions that
// return their bytes, and code is their concatenation:
//
//	m := new(asm.Module)
//	log := m.Import("moot_1", "log", "i32 i32 i32 ->")
//	m.Memory(1, asm.NoMax)
//	m.Data(0, []byte("hello"))
//	m.Func("run", "->", asm.I32(1)+asm.I32(0)+asm.I32(5)+asm.Call(log))
//	wasm := m.Wasm()
//
// The package is only for tests and imports no other package of this repository.
package asm

import (
	"slices"
	"strings"
)

// Magic is the beginning of every module.
const Magic = "\x00asm\x01\x00\x00\x00"

// Section ids, for [Module.Section].
const (
	Types = iota + 1
	Imports
	Functions
	Tables
	Memories
	Globals
	Exports
	Start
	Elements
	Bodies
	Data
	DataCount
)

// Kinds of an export.
const (
	Func = iota
	Table
	Memory
	Global
)

// NoMax stands for no maximum.
const NoMax = -1

// Module is a module under construction. The zero Module is empty.
type Module struct {
	sections [DataCount + 1]section
	before   []byte // custom sections
	imported int
	defined  int
}

type section struct {
	items int
	body  []byte
	raw   bool
}

func (m *Module) add(id int, item []byte) int {
	s := &m.sections[id]
	s.items++
	s.body = append(s.body, item...)
	return s.items - 1
}

// Type adds a function type, such as "i32 i64 -> i32", and returns its index.
func (m *Module) Type(signature string) int {
	params, results, _ := strings.Cut(signature, "->")
	return m.add(Types, slices.Concat([]byte{0x60}, typeList(params), typeList(results)))
}

// Import adds an imported function and returns its index.
func (m *Module) Import(module, name, signature string) int {
	m.imported++
	return m.add(Imports, slices.Concat(Name(module), Name(name), []byte{Func}, Uint(m.Type(signature))))
}

// Func adds a function and returns its index. If name is not empty, the function is exported. The code is without its
// last end.
func (m *Module) Func(name, signature string, code Code) int {
	return m.FuncWith(name, signature, "", code)
}

// FuncWith is like Func, with locals such as "i32 i64", whose indices follow those of the parameters.
func (m *Module) FuncWith(name, signature, locals string, code Code) int {
	body := Uint(len(strings.Fields(locals)))
	for _, l := range strings.Fields(locals) {
		body = append(body, 1, valueTypes[l])
	}
	return m.Body(name, signature, append(body, code+end...))
}

// Body is like Func, with the whole body: locals, code and the last end.
func (m *Module) Body(name, signature string, body []byte) int {
	m.add(Functions, Uint(m.Type(signature)))
	m.add(Bodies, sized(body))
	m.defined++
	f := m.Next() - 1
	if name != "" {
		m.Export(name, Func, f)
	}
	return f
}

// Next returns the index of the next function.
func (m *Module) Next() int { return m.imported + m.defined }

// Export adds an export.
func (m *Module) Export(name string, kind byte, index int) {
	m.add(Exports, slices.Concat(Name(name), []byte{kind}, Uint(index)))
}

// Memory adds a memory, in pages of 64 KiB.
func (m *Module) Memory(least, most int) { m.add(Memories, limits(least, most)) }

// Table adds a table of functions.
func (m *Module) Table(least, most int) {
	m.add(Tables, append([]byte{valueTypes["funcref"]}, limits(least, most)...))
}

// Global adds a mutable global whose initial value is code, and returns its index.
func (m *Module) Global(valueType string, code Code) int {
	return m.add(Globals, append([]byte{valueTypes[valueType], 1}, code+end...))
}

// Elements puts functions into table 0, starting at offset.
func (m *Module) Elements(offset int, functions ...int) {
	item := append([]byte{0}, I32(offset)+end+number(len(functions))...)
	for _, f := range functions {
		item = append(item, Uint(f)...)
	}
	m.add(Elements, item)
}

// Data puts bytes into memory 0, starting at offset.
func (m *Module) Data(offset int, bytes []byte) {
	m.add(Data, append(append([]byte{0}, I32(offset)+end...), sized(bytes)...))
}

// Start sets the start function.
func (m *Module) Start(f int) { m.Section(Start, Uint(f)) }

// Custom adds a custom section. Custom sections come before all others.
func (m *Module) Custom(name string, content []byte) {
	m.before = append(append(m.before, 0), sized(append(Name(name), content...))...)
}

// Section replaces a section by the given content, which may be invalid.
func (m *Module) Section(id int, content []byte) {
	m.sections[id] = section{items: 1, body: content, raw: true}
}

// order is the order of the sections in a binary.
var order = [...]int{Types, Imports, Functions, Tables, Memories, Globals, Exports, Start, Elements, DataCount, Bodies, Data}

// Wasm returns the binary.
func (m *Module) Wasm() []byte {
	out := append([]byte(Magic), m.before...)
	for _, id := range order {
		switch s := &m.sections[id]; {
		case s.raw:
			out = append(append(out, byte(id)), sized(s.body)...)
		case s.items > 0:
			out = append(append(out, byte(id)), sized(append(Uint(s.items), s.body...))...)
		}
	}
	return out
}

func limits(least, most int) []byte {
	if most == NoMax {
		return append([]byte{0}, Uint(least)...)
	}
	return slices.Concat([]byte{1}, Uint(least), Uint(most))
}

var valueTypes = map[string]byte{"i32": 0x7f, "i64": 0x7e, "f32": 0x7d, "f64": 0x7c, "v128": 0x7b, "funcref": 0x70, "externref": 0x6f, "exnref": 0x69}

func typeList(words string) []byte {
	var list []byte
	for _, w := range strings.Fields(words) {
		list = append(list, valueTypes[w])
	}
	return sized(list)
}

// Name encodes a name.
func Name(name string) []byte { return sized([]byte(name)) }

func sized(b []byte) []byte { return append(Uint(len(b)), b...) }

// Uint encodes an unsigned number.
func Uint(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// Int encodes a signed number.
func Int(n int) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
