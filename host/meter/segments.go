package meter

// constant reads the constant expression of a global or an offset, and appends it to b. In WebAssembly 2.0 it is one
// instruction and an end. The instruction cannot be global.get, because that reads only imported globals, which are
// refused.
func (w *rewriter) constant(r *reader, b []byte) []byte {
	op := r.byte()
	b = append(b, op)
	switch op {
	case opI32Const:
		b = appendSigned(b, r.signed(32))
	case opI64Const:
		b = appendSigned(b, r.signed(64))
	case opF32Const:
		b = append(b, r.take(4)...)
	case opF64Const:
		b = append(b, r.take(8)...)
	case opRefNull:
		b = append(b, r.refType())
	case opRefFunc:
		b = appendU32(b, w.declare(r.index("function", len(w.funcs))))
	case prefixVector:
		if v := r.byte(); v != 12 {
			r.malformed("instruction %#x %d in a constant", op, v)
		}
		b = append(append(b, 12), r.take(16)...)
	case opGlobalGet:
		r.malformed("a constant can read imported globals only, and there are none")
	default:
		r.malformed("instruction %#x in a constant", op)
	}
	if r.byte() != opEnd {
		r.p--
		r.fail(ErrNotAllowed, "more than one instruction in a constant: extended constants are not supported")
	}
	return append(b, opEnd)
}

// Bits of the kind of an element segment.
const (
	notActive   = 1 // passive or declarative; an active one is copied into a table at instantiation
	explicit    = 2 // an active segment: it names its table; another one: it is declarative
	expressions = 4 // items are expressions, else indices of functions
)

func (w *rewriter) readElements(r *reader) {
	n := r.count()
	w.budget.check(r, elementSegments, uint64(n))
	s := &w.sections[elementSection]
	for ; n > 0; n-- {
		kind := r.u32()
		if kind > 7 {
			r.malformed("element segment of kind %d", kind)
		}
		s.items++
		s.body = append(s.body, byte(kind))
		if kind&notActive == 0 {
			table := uint32(0)
			if kind&explicit != 0 {
				table = r.u32()
				s.body = appendU32(s.body, table)
			}
			if int(table) >= w.tables {
				r.malformed("table %d of %d", table, w.tables)
			}
			s.body = w.constant(r, s.body)
		}
		if kind&(notActive|explicit) != 0 {
			s.body = append(s.body, r.elementType(kind))
		}
		s.body = w.appendItems(r, s.body, kind&expressions != 0)
	}
}

func (r *reader) elementType(kind uint32) byte {
	if kind&expressions != 0 {
		return r.refType()
	}
	if t := r.byte(); t != 0 {
		r.malformed("elements of kind %d", t)
	}
	return 0
}

func (w *rewriter) appendItems(r *reader, b []byte, exprs bool) []byte {
	n := r.count()
	w.budget.add(r, elements, uint64(n))
	b = appendU32(b, n)
	for ; n > 0; n-- {
		if exprs {
			b = w.constant(r, b)
		} else {
			b = appendU32(b, w.declare(r.index("function", len(w.funcs))))
		}
	}
	return b
}

func (w *rewriter) readData(r *reader) {
	n := r.count()
	w.budget.check(r, dataSegments, uint64(n))
	begin := r.p
	if w.splits && !w.named && w.splitData(r, n) {
		w.sections[dataCountSection].items = 0
		w.dataCount = -1
		return
	}
	r.p = begin
	s := &w.sections[dataSection]
	s.body = make([]byte, 0, len(r.b)-r.p)
	for ; n > 0; n-- {
		kind := w.dataKind(r)
		s.items++
		s.body = append(s.body, byte(kind))
		if kind == 2 {
			s.body = append(s.body, 0)
		}
		if kind != 1 {
			s.body = w.constant(r, s.body)
		}
		bytes := r.take(int(r.u32()))
		s.body = append(appendU32(s.body, uint32(len(bytes))), bytes...)
	}
}

// dataKind reads the kind of a data segment. Kinds 0 and 2 are active, and kind 1 is passive.
func (w *rewriter) dataKind(r *reader) uint32 {
	kind := r.u32()
	if kind > 2 {
		r.malformed("data segment of kind %d", kind)
	}
	w.state.passive = w.state.passive || kind == 1
	if kind == 2 && r.u32() != 0 {
		r.fail(ErrNotAllowed, "data for a second memory")
	}
	if kind != 1 && w.module.Memory == nil {
		r.malformed("data without a memory")
	}
	return kind
}

// maxGap is the maximum number of bytes between two segments that become one piece of data.
const maxGap = 64

// splitData reads n data segments into module.Data. It returns false if some of them are passive. Segments that follow
// each other closely become one piece, because a Go program has tens of thousands of segments. If a segment begins
// before the end of an earlier one, the bytes between later segments may belong to the earlier one, so no gap is filled
// from there on.
func (w *rewriter) splitData(r *reader, n uint32) bool {
	if w.dataCount >= 0 && uint32(w.dataCount) != n {
		r.malformed("%d data segments announced, there are %d", w.dataCount, n)
	}
	var list []Data
	gap := uint64(maxGap)
	end := uint64(0)
	for ; n > 0; n-- {
		if w.dataKind(r) == 1 {
			return false
		}
		if r.byte() != opI32Const {
			r.malformed("the offset of a data segment is not an i32")
		}
		at := uint64(uint32(r.signed(32)))
		if r.byte() != opEnd {
			r.p--
			r.fail(ErrNotAllowed, "more than one instruction in a constant: extended constants are not supported")
		}
		bytes := r.take(int(r.u32()))
		if at+uint64(len(bytes)) > uint64(w.module.Memory.Min)<<16 {
			r.malformed("%d bytes of data at %#x: out of bounds memory access", len(bytes), at)
		}
		if at < end {
			gap = 0
		}
		last := len(list) - 1
		if last < 0 || at < end || at-end > gap {
			list = append(list, Data{Offset: uint32(at)})
			last++
		} else {
			list[last].Bytes = append(list[last].Bytes, make([]byte, at-end)...)
		}
		list[last].Bytes = append(list[last].Bytes, bytes...)
		end = at + uint64(len(bytes))
	}
	w.module.Data = list
	return true
}
