package meter

// references are the functions to which the guest's code refers by ref.func, and the sizes of its tables.
//
// The runtime allocates a function reference at each ref.func, and keeps it until the instance ends. A loop would take
// all memory of the machine. Therefore the rewriter adds a table with one reference to each of these functions, and
// writes a table.get in place of each ref.func.
type references struct {
	declared    []bool   // functions to which code may refer: those in exports, elements and globals
	referred    []uint32 // functions in the table
	place       map[uint32]uint32
	growsTables bool
	least, most uint64 // elements of the guest's tables together, at first and at most
}

// declare records that a function occurs outside of code, and returns its index in the output.
func (w *rewriter) declare(f uint32) uint32 {
	if w.declared == nil {
		w.declared = make([]bool, len(w.funcs)) // sections that declare functions follow those that define them
	}
	w.declared[f] = true
	return w.funcIndex(f)
}

// refer gives a function a place in the table of references.
func (w *rewriter) refer(r *reader, f uint32) {
	if w.declared == nil || !w.declared[f] {
		r.malformed("undeclared function reference %d", f)
	}
	if _, ok := w.place[f]; ok {
		return
	}
	if w.place == nil {
		w.place = make(map[uint32]uint32)
	}
	w.place[f] = uint32(len(w.referred))
	w.referred = append(w.referred, f)
}

// reference writes the code for ref.func.
func (e *emitter) reference(f uint32) {
	e.b = appendSigned(append(e.b, opI32Const), int64(e.w.place[f]))
	e.op(opTableGet, e.w.referenceTable())
}

func (w *rewriter) referenceTable() uint32 { return uint32(w.tables) }

// addReferences appends the table of references and its content to section id.
func (w *rewriter) addReferences(id byte, s *section) {
	n := uint32(len(w.referred))
	if n == 0 {
		return
	}
	switch id {
	case tableSection:
		s.items++
		s.body = Memory{Min: n, Max: n}.append(append(s.body, funcref), uint64(n))
	case elementSection:
		s.items++
		s.body = appendU32(append(s.body, explicit), w.referenceTable())
		s.body = append(s.body, opI32Const, 0, opEnd, 0)
		s.body = appendU32(s.body, n)
		for _, f := range w.referred {
			s.body = appendU32(s.body, w.funcIndex(f))
		}
	}
}

// Bytes that wazero takes, as measured.
const (
	elementBytes   = 8  // of a table
	grownBytes     = 10 // of an element of a table that grows
	referenceBytes = 48 // of an element of a segment, in an instance
	globalBytes    = 96 // in an instance

	segmentBytes = 24 // in an instance

	decodedElement  = 40
	decodedExport   = 192
	decodedFunction = 192
	decodedGlobal   = 80
	decodedLocal    = 8
	decodedSegment  = 96
)

// estimateSizes estimates the sizes of the decoded module and of an instance.
func (w *rewriter) estimateSizes() {
	items := int64(w.budget.used[elements]) + int64(len(w.referred))
	cells := int64(w.least) * elementBytes
	if w.growsTables {
		cells = int64(w.most) * grownBytes
	}
	segments := int64(w.sections[elementSection].items + w.sections[dataSection].items)
	w.module.Instance = cells + items*referenceBytes + int64(w.globals)*globalBytes + segments*segmentBytes
	w.module.Decoded = items*decodedElement + int64(len(w.module.Exports))*decodedExport +
		int64(len(w.funcs))*decodedFunction + int64(w.globals)*decodedGlobal +
		int64(w.budget.used[allLocals])*decodedLocal + (segments+int64(len(w.module.Data)))*decodedSegment
}
