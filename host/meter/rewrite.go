package meter

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Rewrite checks wasm and returns the metered module. It neither keeps nor changes wasm. Each error is an [*Error]; no
// input makes Rewrite panic. Its time and memory are linear in the size of the binary. It may be called concurrently.
// The output depends only on the input and the limits.
func Rewrite(wasm []byte, limits Limits) (m *Module, err error) {
	return rewrite(wasm, limits, false)
}

// RewriteCode is like [Rewrite], but it moves the data segments to [Module.Data] if all are active and the module's
// code does not refer to them. The host copies them into the memory of each new instance before it calls any function.
// A segment that does not fit into the memory is an error.
func RewriteCode(wasm []byte, limits Limits) (m *Module, err error) {
	return rewrite(wasm, limits, true)
}

func rewrite(wasm []byte, limits Limits, splits bool) (m *Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			bad, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			m, err = nil, bad
		}
	}()
	w := &rewriter{module: &Module{}, budget: budget{max: limits.values()}, callDepth: limits.callDepth(), startFunc: -1, dataCount: -1, splits: splits}
	w.read(&reader{b: wasm, fn: -1})
	w.state.describe(w.module)
	w.module.Wasm = w.write()
	w.estimateSizes()
	w.module.Usage = w.budget.usage()
	return w.module, nil
}

// rewriter is the state of one Rewrite. It reads the sections in the order of the binary, checks each against the
// previous ones, and encodes it again from the decoded items. Only the content of data segments and the names of
// functions are copied. All indices are those of the guest until they are written.
type rewriter struct {
	module    *Module
	budget    budget
	callDepth int64

	types       []Signature
	blockTypes  []int64       // of each type: its results as the encoded type of a block
	wide        [][]ValueType // distinct lists of several results; the rewriter adds a type () -> results for each
	wideTypes   map[string]int
	funcs       []uint32 // type of each function, imported ones first
	imported    int      // number of funcs that are imported
	tables      int
	globals     int
	startFunc   int  // -1: none
	bodies      int  // number of function bodies
	dataCount   int  // number of data segments that the data count section declares; -1: no such section
	splits      bool // data segments go to module.Data
	named       bool // the code names data segments
	state       state
	nameReader  *reader
	compileTime time.Duration // estimate so far
	movers      []mover       // helper functions, which follow those of the guest
	moverIndex  map[mover]uint32
	references

	sections [lastSection + 1]section
	names    []byte      // content of the name section to write; nil: none
	scan     scan        // of the body that is read
	blocks   []openBlock // of the emitter, reused for each body
}

// section is the encoded content of a section: its items and their number. For the data count section, items is the
// number in the section, and body is empty.
type section struct {
	items int
	body  []byte
}

// Sections by their ids. sectionOrder is their order in a binary.
const (
	customSection = iota
	typeSection
	importSection
	functionSection
	tableSection
	memorySection
	globalSection
	exportSection
	startSection
	elementSection
	codeSection
	dataSection
	dataCountSection
	lastSection = dataCountSection
	tagSection  = 13
)

var sectionOrder = []byte{
	typeSection, importSection, functionSection, tableSection, memorySection, globalSection, exportSection,
	startSection, elementSection, dataCountSection, codeSection, dataSection,
}

const magic = "\x00asm\x01\x00\x00\x00"

// read reads the whole binary.
func (w *rewriter) read(r *reader) {
	w.budget.check(r, fileBytes, uint64(len(r.b)))
	switch {
	case bytes.HasPrefix(r.b, []byte("\x00asm\x0d\x00\x01\x00")):
		r.fail(ErrNotAllowed, "a component; only core modules run here")
	case !bytes.HasPrefix(r.b, []byte(magic)):
		r.malformed("does not begin as a WebAssembly 1.0 binary does")
	}
	r.p = len(magic)
	last := -1
	for !r.done() {
		at := r.p
		id := r.byte()
		s := r.sub(r.u32())
		if id == customSection {
			w.readCustom(s)
			continue
		}
		place := bytes.IndexByte(sectionOrder, id)
		switch {
		case id == tagSection:
			r.p = at
			r.fail(ErrNotAllowed, "tags: exceptions are not supported")
		case place < 0:
			r.p = at
			r.malformed("section %d does not exist", id)
		case place <= last:
			r.p = at
			r.malformed("section %d out of order or twice", id)
		}
		last = place
		w.readSection(id, s)
		s.end("section")
	}
	if declared := len(w.funcs) - w.imported; declared != w.bodies {
		r.malformed("%d functions declared, %d have a body", declared, w.bodies)
	}
	if have := w.sections[dataSection].items; w.dataCount >= 0 && w.dataCount != have {
		r.malformed("%d data segments announced, there are %d", w.dataCount, have)
	}
	w.readNames()
}

func (w *rewriter) readSection(id byte, r *reader) {
	switch id {
	case typeSection:
		w.readTypes(r)
	case importSection:
		w.readImports(r)
	case functionSection:
		w.readFunctions(r)
	case tableSection:
		w.readTables(r)
	case memorySection:
		w.readMemory(r)
	case globalSection:
		w.readGlobals(r)
	case exportSection:
		w.readExports(r)
	case startSection:
		w.readStart(r)
	case elementSection:
		w.readElements(r)
	case dataCountSection:
		w.dataCount = int(r.u32())
		w.sections[id].items = w.dataCount
	case codeSection:
		w.readCode(r)
	case dataSection:
		w.readData(r)
	}
}

// write returns the binary: the sections, with the items that the rewriter adds.
func (w *rewriter) write() []byte {
	out := []byte(magic)
	for _, id := range sectionOrder {
		s := w.sections[id]
		w.addHidden(id, &s)
		w.addReferences(id, &s)
		if id == typeSection {
			w.module.TypeSize = len(s.body)
		}
		if s.items > 0 {
			count := appendU32(nil, uint32(s.items))
			out = appendU32(append(out, id), uint32(len(count)+len(s.body)))
			out = append(append(out, count...), s.body...)
		}
	}
	if w.names != nil {
		out = appendU32(append(out, customSection), uint32(len(w.names)))
		out = append(out, w.names...)
	}
	return out
}

func appendU32(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

// appendSigned appends v in signed LEB128, in the shortest form.
func appendSigned(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte { return append(appendU32(b, uint32(len(s))), s...) }
