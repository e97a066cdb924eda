package wasi

import (
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// write calls fd_write with the pieces, and returns the number of bytes that it reports.
func write(t *testing.T, p *recorder, m api.Memory, s Stream, pieces ...string) uint32 {
	t.Helper()
	at := uint32(4096)
	for i, piece := range pieces {
		m.WriteUint32Le(uint32(8*i), at)
		m.WriteUint32Le(uint32(8*i+4), uint32(len(piece)))
		m.WriteString(at, piece)
		at += uint32(len(piece))
	}
	if e := ask(t, p, m, "fd_write", uint64(s), 0, uint64(len(pieces)), 4000); e != success {
		t.Fatalf("fd_write answers %d", e)
	}
	n, _ := m.ReadUint32Le(4000)
	return n
}

func TestOutputBecomesLines(t *testing.T) {
	m, p := newMemory(t), newRecorder()
	if n := write(t, p, m, Stdout, "one\ntw", "o\r\n", "three"); n != 14 {
		t.Errorf("%d bytes written", n)
	}
	write(t, p, m, Stderr, "bad\xff\xfe\n\nrest")
	if want := []string{"1 one", "1 two", "2 bad?", "2 "}; !slices.Equal(p.lines, want) {
		t.Errorf("%q", p.lines)
	}
	write(t, p, m, Stdout, " and more")
	if dropped := p.output.End(p); dropped != 0 || !slices.Equal(p.lines[4:], []string{"1 three and more", "2 rest"}) {
		t.Errorf("%q, %d dropped", p.lines[4:], dropped)
	}
	p.output.Begin()
	if p.output.End(p); len(p.lines) != 6 {
		t.Errorf("a call that writes nothing: %q", p.lines[6:])
	}
	if p.charged != 14+11+9 {
		t.Errorf("charged for %d bytes", p.charged)
	}
}

func TestOutputIsBounded(t *testing.T) {
	m, p := newMemory(t), newRecorder()
	long := strings.Repeat("x", 3000)
	if n := write(t, p, m, Stdout, long, long, "\nnext\n"); n != 6006 {
		t.Errorf("%d bytes written", n)
	}
	if len(p.lines) != 2 || p.lines[0] != "1 "+long[:MaxLine] || p.lines[1] != "1 next" {
		t.Errorf("%q", p.lines)
	}

	p = newRecorder()
	if n := write(t, p, m, Stdout, strings.Repeat("y\n", 5000)); n != 10_000 || p.charged != maxPiece {
		t.Errorf("%d bytes written, %d charged", n, p.charged)
	}
	if dropped := p.output.End(p); len(p.lines) != MaxLines || dropped != maxPiece/2-MaxLines {
		t.Errorf("%d lines, %d dropped", len(p.lines), dropped)
	}
	p.output.Begin()
	write(t, p, m, Stdout, "z\n")
	if len(p.lines) != MaxLines+1 || p.output.End(p) != 0 {
		t.Errorf("%d lines after the next call", len(p.lines))
	}
}

// TestManyPiecesAreOneBoundedWrite checks that an fd_write with a very large number of very large pieces does a limited
// amount of work.
func TestManyPiecesAreOneBoundedWrite(t *testing.T) {
	m, p := newMemory(t), newRecorder()
	for i := range uint32(memorySize / 8) {
		m.WriteUint32Le(8*i, 0)
		m.WriteUint32Le(8*i+4, memorySize)
	}
	if e := ask(t, p, m, "fd_write", 1, 0, 1<<32-1, 4000); e != success || p.charged != maxVectors*maxPiece {
		t.Errorf("%d, %d bytes", e, p.charged)
	}
	if n, _ := m.ReadUint32Le(4000); n != maxVectors*memorySize {
		t.Errorf("%d bytes written", n)
	}
	p.output.End(p)
	for _, l := range p.lines {
		if len(l) > MaxLine+2 {
			t.Errorf("line of %d bytes", len(l))
		}
	}
}
