package meter

// Opcodes that the rewriter handles by name or writes. An opcode with a prefix is prefix<<8 | number.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI64LtS       = 0x53
	opI64GeS       = 0x59
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32And       = 0x71
	opI32Or        = 0x72
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64ShrU      = 0x88
	opI64ExtendS   = 0xac
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefFunc      = 0xd2

	prefixBulk   = 0xfc
	prefixVector = 0xfd

	opMemoryInit = 0xfc08
	opDataDrop   = 0xfc09
	opMemoryCopy = 0xfc0a
	opMemoryFill = 0xfc0b
	opTableInit  = 0xfc0c
	opElemDrop   = 0xfc0d
	opTableCopy  = 0xfc0e
	opTableGrow  = 0xfc0f
	opTableSize  = 0xfc10
	opTableFill  = 0xfc11
)

// emptyBlock is the type of a block without parameters and results, as a signed number.
const emptyBlock = -64

// instr is one decoded instruction. The rewriter encodes the output from it and never copies it from the binary, so
// that a runtime cannot decode the same bytes differently.
type instr struct {
	op     uint16
	form   form
	a, b   uint32   // indices or labels; the alignment and the offset of an access to memory
	v      int64    // a constant, or the type of a block
	raw    []byte   // an encoded constant, lane or type; part of the binary or a copy
	labels []uint32 // of br_table without the default, which is a; reused for the next instruction
}

// form is the encoding of the immediates of an instruction. It determines which fields of instr contain them.
type form byte

const (
	plain     form = iota
	block          // v: empty, a value type or the index of a type
	index          // a
	pair           // a, b
	table          // labels
	access         // a, b: alignment and offset
	lane           // raw: 1 byte
	accessLn       // a, b, raw: 1 byte
	raw4           // raw
	raw8           // raw
	raw16          // raw
	const32        // v
	const64        // v
	reserved       // a zero byte
	reserved2      // two zero bytes
	indexed        // a, a zero byte
	reference      // raw: 1 byte, a reference type
	typed          // raw: 1 byte, a value type, after a count of one
)

// next decodes one instruction into in.
func (r *reader) next(in *instr) {
	in.op = uint16(r.byte())
	if in.op == prefixBulk || in.op == prefixVector {
		in.op = r.prefixed(in.op)
	}
	in.form = formOf(in.op)
	switch in.form {
	case block:
		in.v = r.signed(33)
	case index:
		in.a = r.u32()
	case pair, access, accessLn:
		in.a, in.b = r.u32(), r.u32()
	case table:
		in.labels = in.labels[:0]
		for n := r.count(); n > 0; n-- {
			in.labels = append(in.labels, r.u32())
		}
		in.a = r.u32()
	case const32:
		in.v = r.signed(32)
	case const64:
		in.v = r.signed(64)
	case raw4:
		in.raw = r.take(4)
	case raw8:
		in.raw = r.take(8)
	case raw16:
		in.raw = r.take(16)
	case reserved:
		r.zero()
	case reserved2:
		r.zero()
		r.zero()
	case indexed:
		in.a = r.u32()
		r.zero()
	case unknown:
		r.refuse(in.op)
	}
	switch in.form {
	case lane, accessLn:
		in.raw = r.take(1)
	case reference:
		in.raw = []byte{r.refType()}
	case typed:
		if n := r.u32(); n != 1 {
			r.malformed("select of %d types", n)
		}
		in.raw = []byte{r.valueType()}
	}
}

func (r *reader) zero() {
	if r.byte() != 0 {
		r.p--
		r.malformed("a reserved byte is not zero: only one memory is supported")
	}
}

// prefixed reads the number after a prefix.
func (r *reader) prefixed(prefix uint16) uint16 {
	n := r.u32()
	if n > 0xff {
		r.fail(ErrNotAllowed, "instruction %#x %d: not in WebAssembly 2.0", prefix, n)
	}
	return prefix<<8 | uint16(n)
}

// append encodes the instruction in its shortest form. This matters for safety: wazero reads only one byte after the
// vector prefix as the number. If the number had more bytes, wazero would decode other instructions from there on,
// among them loops without a charge.
func (in *instr) append(b []byte) []byte {
	if in.op > 0xff {
		b = appendU32(append(b, byte(in.op>>8)), uint32(in.op&0xff))
	} else {
		b = append(b, byte(in.op))
	}
	switch in.form {
	case block, const32, const64:
		b = appendSigned(b, in.v)
	case index:
		b = appendU32(b, in.a)
	case pair, access, accessLn:
		b = appendU32(appendU32(b, in.a), in.b)
	case table:
		b = appendU32(b, uint32(len(in.labels)))
		for _, l := range in.labels {
			b = appendU32(b, l)
		}
		b = appendU32(b, in.a)
	case reserved:
		b = append(b, 0)
	case reserved2:
		b = append(b, 0, 0)
	case indexed:
		b = append(appendU32(b, in.a), 0)
	case typed:
		b = append(b, 1)
	}
	switch in.form {
	case lane, accessLn, raw4, raw8, raw16, reference, typed:
		b = append(b, in.raw...)
	}
	return b
}
