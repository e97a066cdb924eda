package meter

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Rewrite checks wasm and returns the metered module. It does not keep or change wasm. Every error is an
// [*Error]; it does not panic, whatever the bytes. Its time and memory grow with the size of the binary and no
// faster, and it may be called from any number of goroutines. The same input and limits give the same output, so
// the digest of the original can stand for both.
func Rewrite(wasm []byte, limits Limits) (m *Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			bad, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			m, err = nil, bad
		}
	}()
	w := &rewriter{module: &Module{}, budget: budget{max: limits.values()}, callDepth: limits.callDepth(), startFunc: -1, dataCount: -1}
	w.read(&reader{b: wasm, fn: -1})
	w.module.Wasm = w.write()
	w.module.Usage = w.budget.usage()
	return w.module, nil
}

// rewriter is the state of one Rewrite. The guest's sections are read in the order of the binary, each checked
// against what came before it, and written anew from what was read: no byte of the output is a copy that
// nobody understood, but for the content of data segments and the names. Numbers of functions,
// types and globals are the guest's own everywhere, until the moment they are written.
type rewriter struct {
	module    *Module
	budget    budget
	callDepth int64

	types      []Signature
	blockTypes []int64       // per type: its results as the type of a block, as the format encodes it
	wide       [][]ValueType // lists of several results, each once; the hidden types () -> results follow the guest's
	wideTypes  map[string]int
	funcs      []uint32 // the type of each function, imported ones first
	imported   int      // how many of funcs are imported
	tables     int
	globals    int
	startFunc  int // -1: none
	bodies     int // function bodies read
	dataCount  int // data segments as announced, -1: not announced
	nameReader *reader
	compile    time.Duration // estimated so far
	movers     []mover       // hidden functions, behind those of the guest
	moverIndex map[mover]uint32

	sections [lastSection + 1]section
	names    []byte // the content of the custom section to write; nil for none
	scan     scan   // of one body after the other
	blocks   []open // see emitter
}

// section is what was written of one section: so many items. The section that announces the number of data segments has
// that number and no items.
type section struct {
	items int
	body  []byte
}

// The sections by number, and the order in which they must come.
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

func (w *rewriter) read(r *reader) {
	w.budget.atMost(r, fileBytes, uint64(len(r.b)))
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

// write puts the sections together with what the rewriter adds to them.
func (w *rewriter) write() []byte {
	out := []byte(magic)
	for _, id := range sectionOrder {
		s := w.sections[id]
		w.addHidden(id, &s)
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

// appendSigned writes v the shortest way.
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
