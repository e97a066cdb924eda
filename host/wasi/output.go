package wasi

import (
	"bytes"
	"strings"
)

// Bounds of what a guest writes.
const (
	MaxLine  = 1 << 10 // bytes of one line; the rest of a longer one is dropped
	MaxLines = 64      // lines in one call of the guest; the rest are dropped and counted

	maxVectors = 16      // pieces of one fd_write that are looked at; the guest is told how much was taken
	maxPiece   = 4 << 10 // bytes of each piece; the rest is dropped
)

// Stream is a file descriptor that every guest has.
type Stream uint32

// The streams. Nothing can be read from Stdin.
const (
	Stdin Stream = iota
	Stdout
	Stderr
)

// Output makes lines of what an instance writes. Its zero value is ready; an instance has one, for as long
// as it lives. The host says where each of its calls begins and ends.
type Output struct {
	open    [Stderr + 1][]byte // the line that has no end yet, of each stream
	lines   int                // handed over in this call
	dropped int                // lines of this call that were one too many
}

// Begin starts a call: it may write MaxLines lines.
func (o *Output) Begin() { o.lines, o.dropped = 0, 0 }

// End hands what was written without an end of line over to g, and returns how many lines of the call were dropped
// because there were more than MaxLines. It is right to call it after a call that failed.
func (o *Output) End(g Guest) (dropped int) {
	for s := Stdout; s <= Stderr; s++ {
		if len(o.open[s]) > 0 {
			o.flush(g, s)
		}
	}
	return o.dropped
}

func (o *Output) write(g Guest, s Stream, p []byte) {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if room := MaxLine - len(o.open[s]); len(line) > room {
			line = line[:room]
		}
		o.open[s] = append(o.open[s], line...)
		if ended {
			o.flush(g, s)
		}
		p = rest
	}
}

func (o *Output) flush(g Guest, s Stream) {
	line := bytes.TrimSuffix(o.open[s], []byte{'\r'})
	o.open[s] = o.open[s][:0]
	if o.lines == MaxLines {
		o.dropped++
		return
	}
	o.lines++
	g.Line(s, strings.ToValidUTF8(string(line), "?"))
}

// fdWrite(fd, vectors, count, written): each vector is a pointer and a length. The guest hears that all was written
// that it was asked to look at, dropped or not, so that it does not try again.
func fdWrite(c *call) errno {
	s, vectors, n := Stream(c.u32(0)), c.u32(1), min(c.u32(2), maxVectors)
	if s != Stdout && s != Stderr {
		return badf
	}
	list, ok := c.memory.bytes(vectors, 8*n)
	if !ok {
		return fault
	}
	pieces, total, e := c.pieces(list)
	if e != success {
		return e
	}
	if e := c.memory.putU32(c.u32(3), total); e != success {
		return e
	}
	for _, p := range pieces[:n] {
		p = p[:min(len(p), maxPiece)]
		c.guest.Charge(uint32(len(p)))
		c.guest.Output().write(c.guest, s, p)
	}
	return success
}
