package meter

import (
	"math/rand/v2"
	"testing"
)

// generator makes programs from bytes. Any bytes result in a valid module of functions (i32) -> i32 that terminate. The
// functions contain all ways to enter and leave blocks, loops and functions. Local 0 is the parameter and the result. A
// function calls only functions before it, and each loop has a counter.
type generator struct {
	bytes  []byte
	code   []byte
	labels []byte // opcodes of the open blocks
	locals byte   // loop counters in use
	before uint32 // functions that can be called
	size   int
}

func program(choices []byte) (wasm []byte, names []string) {
	b := newBuilder()
	b.memory(1, 2)
	b.add(globalSection, cat([]byte{i32, 1}, i32c(0), ops(opEnd)))
	b.export("ticks", Global, 0)
	b.add(globalSection, cat([]byte{i64, 1}, i64c(0), ops(opEnd)))
	b.export("work", Global, 1)
	p := &generator{bytes: choices}
	for f := range uint32(4) {
		p.code, p.before, p.size = nil, f, 0
		p.statements()
		name := string(rune('a' + f))
		b.fn(name, vals(i32), vals(i32), ops(20, i32), p.code, at(opLocalGet, 0))
		names = append(names, name)
	}
	return b.wasm(), names
}

// choose returns a number below n from the next byte, or 0 if there are no more bytes.
func (p *generator) choose(n int) int {
	if len(p.bytes) == 0 {
		return 0
	}
	c := int(p.bytes[0]) % n
	p.bytes = p.bytes[1:]
	return c
}

func (p *generator) put(code ...[]byte) { p.code = append(p.code, cat(code...)...) }

func (p *generator) statements() {
	for n := p.choose(6); n > 0 && p.size < 60; n-- {
		p.size++
		p.statement()
	}
}

func (p *generator) block(op byte, head []byte, tail ...[]byte) {
	if len(p.labels) == 12 {
		return
	}
	p.put(head, ops(op, 0x40))
	p.labels = append(p.labels, op)
	p.statements()
	p.put(tail...)
	p.put(ops(opEnd))
	p.labels = p.labels[:len(p.labels)-1]
}

func (p *generator) statement() {
	x := at(opLocalGet, 0)
	odd := cat(x, i32c(int32(1+p.choose(7))), ops(0x71)) // some bits of the value
	switch p.choose(13) {
	case 0:
		p.put(x, i32c(31), ops(0x6c), i32c(int32(p.choose(100))), ops(0x6a), at(opLocalSet, 0))
	case 1:
		p.block(opBlock, nil)
	case 2:
		if p.locals == 5 {
			return
		}
		p.locals++
		count := uint32(p.locals)
		p.block(opLoop, cat(i32c(int32(p.choose(4))), at(opLocalSet, count)),
			at(opLocalGet, count), i32c(1), ops(0x6b), at(opLocalTee, count), i32c(0), ops(0x4a, opBrIf, 0))
		p.locals--
	case 3:
		p.block(opIf, odd)
	case 4:
		p.put(odd, ops(opIf, 0x40), x, ops(opReturn, opEnd))
	case 5: // return, or drop the value
		p.put(x, odd, at(opBrIf, uint32(len(p.labels))), ops(0x1a))
	case 6:
		if to, ok := p.forward(); ok {
			p.put(odd, at(opBrIf, to))
		}
	case 7:
		if to, ok := p.forward(); ok {
			next, _ := p.forward()
			p.put(odd, ops(opIf, 0x40), x, ops(opBrTable, 1), appendU32(nil, to+1), appendU32(nil, next+1), ops(opEnd))
		}
	case 8:
		if p.before > 0 && p.locals == 0 { // not in a loop, so that programs are short
			p.put(x, at(opCall, uint32(p.choose(int(p.before)))), at(opLocalSet, 0))
		}
	case 9:
		p.put(i32c(int32(p.choose(256))), x, i32c(int32(p.choose(256))), ops(0xfc, 11, 0), x, i32c(127), ops(0x71, 0x28, 0, 0), at(opLocalSet, 0))
	case 10:
		p.put(at(opGlobalGet, 0), i32c(1), ops(0x6a), at(opGlobalSet, 0), odd, ops(opIf, 0x40, opUnreachable, opEnd))
	case 11: // straight code, whose length is added to the global "work"
		n := 10 * p.choose(256)
		p.put(at(opGlobalGet, 1), i64c(int64(n)), ops(opI64Add), at(opGlobalSet, 1), repeat(n, func(int) []byte { return ops(opNop) }))
	case 12: // at most 1.5 pieces, sometimes out of bounds
		to, from, size := int32(p.choose(256)<<8), int32(p.choose(256)<<8), int32(p.choose(256)*3<<7)
		p.put(i32c(to), i32c(from), x, i32c(127), ops(0x71), i32c(size), ops(0x6a, 0xfc, 10, 0, 0))
	}
}

// forward returns the label of an open block that is not a loop.
func (p *generator) forward() (label uint32, ok bool) {
	n := len(p.labels)
	for i, first := 0, p.choose(n+1); i < n; i++ {
		if l := (first + i) % n; p.labels[n-1-l] != opLoop {
			return uint32(l), true
		}
	}
	return 0, false
}

// FuzzProgram compares plain and metered programs.
func FuzzProgram(f *testing.F) {
	f.Add([]byte{5, 2, 3, 3, 4, 1, 1, 5, 0, 8, 2, 9, 7, 6})
	random := rand.NewChaCha8([32]byte{})
	for range 50 {
		choices := make([]byte, 300)
		random.Read(choices)
		f.Add(choices)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		wasm, names := program(choices[:min(len(choices), 400)])
		compareWithPlain(t, wasm, names, 4)
	})
}
