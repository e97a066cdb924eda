package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader reads a range of the binary. Its first error ends the rewriting: it panics with an *Error. Only Rewrite
// recovers it, and readNames, whose section can be dropped. Therefore no caller can continue with an incomplete value.
//
// Numbers are read as strictly as the specification requires: in no more bytes than the type can need, and without bits
// beyond the type. A runtime that read them differently would run other instructions than the metered ones.
type reader struct {
	b  []byte // the binary from its start to the end of the range
	p  int    // offset of the next byte
	fn int    // index of the function that is read; -1: none
}

func (r *reader) fail(kind error, format string, args ...any) {
	panic(&Error{Kind: kind, What: fmt.Sprintf(format, args...), Function: r.fn, Offset: r.p})
}

func (r *reader) malformed(format string, args ...any) { r.fail(ErrMalformed, format, args...) }

func (r *reader) done() bool { return r.p == len(r.b) }

func (r *reader) byte() byte {
	if r.done() {
		r.malformed("unexpected end")
	}
	v := r.b[r.p]
	r.p++
	return v
}

// take returns the next n bytes. They are part of the binary and must not be changed.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.p {
		r.malformed("%d bytes announced, %d left", uint(n), len(r.b)-r.p)
	}
	v := r.b[r.p : r.p+n : r.p+n]
	r.p += n
	return v
}

// sub returns a reader for the next n bytes, and skips them.
func (r *reader) sub(n uint32) *reader {
	start := r.p
	r.take(int(n))
	return &reader{b: r.b[:r.p], p: start, fn: r.fn}
}

// end fails if there are bytes left.
func (r *reader) end(what string) {
	if !r.done() {
		r.malformed("%s: %d bytes too many", what, len(r.b)-r.p)
	}
}

func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			if v>>32 != 0 {
				break
			}
			return uint32(v)
		}
	}
	r.malformed("number of more than 32 bits")
	return 0
}

// signed reads a signed number of 32, 33 or 64 bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if c&0x80 != 0 {
			continue
		}
		if left := bits - shift; left < 7 { // the last possible byte: the bits after the sign bit must repeat it
			if ext := int8(c<<1) >> left; ext != 0 && ext != -1 {
				break
			}
		}
		if shift+7 < 64 {
			v = v << (57 - shift) >> (57 - shift)
		}
		return v
	}
	r.malformed("number of more than %d bits", bits)
	return 0
}

// count reads the length of a vector. Each item takes at least one byte, so a count above the number of remaining bytes
// is malformed. It fails here, before memory is allocated for the items.
func (r *reader) count() uint32 {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)-r.p) {
		r.malformed("%d items announced, %d bytes left", n, len(r.b)-r.p)
	}
	return n
}

// index reads an index that must be less than n. what is the kind of the indexed item.
func (r *reader) index(what string, n int) uint32 {
	i := r.u32()
	if uint64(i) >= uint64(n) {
		r.malformed("%s %d of %d", what, i, n)
	}
	return i
}

func (r *reader) name() string {
	b := r.take(int(r.u32()))
	if !utf8.Valid(b) {
		r.malformed("name is not UTF-8")
	}
	return string(b)
}

// valueType reads a type of WebAssembly 2.0.
func (r *reader) valueType() ValueType {
	t := r.byte()
	if !isValueType(t) {
		r.p--
		switch {
		case t >= 0x63 && t <= 0x74:
			r.fail(ErrNotAllowed, "type %#x: exception, garbage collected and typed function references are not supported", t)
		default:
			r.malformed("type %#x", t)
		}
	}
	return t
}

func (r *reader) refType() ValueType {
	t := r.valueType()
	if t != funcref && t != externref {
		r.malformed("type %s is not a reference", typeName(t))
	}
	return t
}
