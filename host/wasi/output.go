package wasi

import (
	"bytes"
	"strings"
)

// Limits of the output of a guest.
const (
	MaxLine  = 1 << 10 // bytes of one line; the rest of a longer one is dropped
	MaxLines = 64      // lines in one call of the guest; the rest are dropped and counted

	maxVectors = 16      // pieces that one fd_write handles; the guest learns how many bytes they had
	maxPiece   = 4 << 10 // bytes of each piece; the rest is dropped
)

// Stream is a file descriptor that every guest has.
type Stream uint32

// The streams. Stdin is empty.
const (
	Stdin Stream = iota
	Stdout
	Stderr
)

// Output splits the output of an instance into lines. Each instance has one. The zero value is ready to use. The host
// calls Begin and End around each call of the guest.
type Output struct {
	open    [Stderr + 1][]byte // by stream: the beginning of a line
	lines   int                // of this call, without those that were dropped
	dropped int                // of this call, over MaxLines
}

// Begin begins a call.
func (o *Output) Begin() { o.lines, o.dropped = 0, 0 }

// End ends a call. Text without a line end becomes a line. End returns the number of lines that were dropped because
// the call wrote more than MaxLines. It may be called after a call that failed.
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

// fdWrite(fd, vectors, count, written) writes to a stream; each vector is a pointer and a length. It reports all bytes
// of the handled pieces as written, including dropped ones, so that the guest does not write them again.
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
