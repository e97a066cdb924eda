package wasi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	official "github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// person is a guest that remembers what was asked of it. It is the context of its calls.
type person struct {
	context.Context
	output  Output
	lines   []string
	charged uint32
	slept   []time.Duration
}

func newPerson() *person { return &person{Context: context.Background()} }

func (p *person) Charge(n uint32)       { p.charged += n }
func (p *person) Sleep(d time.Duration) { p.slept = append(p.slept, d) }
func (p *person) Output() *Output       { return &p.output }
func (p *person) Line(s Stream, text string) {
	p.lines = append(p.lines, fmt.Sprintf("%d %s", s, text))
}

// onePage is (module (memory (export "memory") 1 1)).
var onePage = []byte("\x00asm\x01\x00\x00\x00\x05\x04\x01\x01\x01\x01\x07\x0a\x01\x06memory\x02\x00")

const memorySize = 1 << 16

func newMemory(t testing.TB) api.Memory {
	t.Helper()
	rt := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { rt.Close(context.Background()) })
	m, err := rt.Instantiate(context.Background(), onePage)
	if err != nil {
		t.Fatal(err)
	}
	return m.Memory()
}

// ask calls a function as compiled code does: with dirt in the upper halves of what is 32 bits.
func ask(t testing.TB, p *person, m api.Memory, name string, params ...uint64) errno {
	t.Helper()
	f, ok := Lookup(name)
	if !ok || len(params) != len(f.Params) {
		t.Fatalf("%s takes %v", name, f.Params)
	}
	stack := make([]uint64, max(1, len(params)))
	for i, v := range params {
		if stack[i] = v; f.Params[i] == api.ValueTypeI32 {
			stack[i] |= 0xdeadbeef << 32
		}
	}
	f.Call(p, m, stack)
	if stack[0] > math.MaxUint16 {
		t.Fatalf("%s answers %#x", name, stack[0])
	}
	return errno(stack[0])
}

func TestEveryFunctionOfPreview1Links(t *testing.T) {
	rt := wazero.NewRuntime(t.Context())
	defer rt.Close(context.Background())
	full, err := official.NewBuilder(rt).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := Names()
	for name, d := range full.ExportedFunctions() {
		f, ok := Lookup(name)
		if !ok || !bytes.Equal(f.Params, d.ParamTypes()) || !bytes.Equal(f.Results, d.ResultTypes()) {
			t.Errorf("%s: %v -> %v, it should be %v -> %v", name, f.Params, f.Results, d.ParamTypes(), d.ResultTypes())
		}
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among the names", name)
		}
	}
	if len(names) != len(full.ExportedFunctions()) {
		t.Errorf("%d names, %d functions", len(names), len(full.ExportedFunctions()))
	}
	if _, ok := Lookup("fd_write2"); ok {
		t.Error("a function that there is not")
	}
	if err := Instantiate(t.Context(), rt, func(context.Context) Guest { return newPerson() }); err != nil {
		t.Error(err)
	}
}

// Without arguments that make sense, and with pointers to nowhere, nothing happens but an answer, and no more is told than that
// there is nothing.
func TestNothingIsGranted(t *testing.T) {
	m := newMemory(t)
	for _, name := range Names() {
		if name == "proc_exit" || name == "poll_oneoff" || name == "random_get" {
			continue
		}
		f, _ := Lookup(name)
		for fd := uint64(3); fd < 6; fd++ {
			params := make([]uint64, len(f.Params))
			for i := range params {
				params[i] = 64
			}
			if len(params) > 0 {
				params[0] = fd
			}
			p := newPerson()
			e := ask(t, p, m, name, params...)
			switch {
			case strings.HasPrefix(name, "fd_"), strings.HasPrefix(name, "path_"), strings.HasPrefix(name, "sock_"):
				if e != badf {
					t.Errorf("%s of %d answers %d", name, fd, e)
				}
			case strings.HasPrefix(name, "clock_"):
				if e != inval {
					t.Errorf("%s of %d answers %d", name, fd, e)
				}
			}
			if len(p.lines)+len(p.slept) > 0 {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
	for _, name := range []string{"args_sizes_get", "environ_sizes_get"} {
		m.WriteUint64Le(64, math.MaxUint64)
		if e := ask(t, newPerson(), m, name, 64, 68); e != success {
			t.Error(name, e)
		}
		if v, _ := m.ReadUint64Le(64); v != 0 {
			t.Errorf("%s: %x", name, v)
		}
	}
}

func TestPointersOutsideAreAnswered(t *testing.T) {
	m := newMemory(t)
	const end = memorySize
	m.WriteUint32Le(0, 0)      // a piece that is inside
	m.WriteUint32Le(4, 10)     //
	m.WriteUint32Le(8, end-5)  // and one that is not
	m.WriteUint32Le(12, 10)    //
	m.WriteUint32Le(16, 1<<31) // nor is this
	m.WriteUint32Le(20, 1<<31)
	for _, c := range []struct {
		name   string
		params []uint64
	}{
		{"fd_write", []uint64{1, 0, 2, 100}},
		{"fd_write", []uint64{1, 16, 1, 100}},
		{"fd_write", []uint64{1, 0, 1, end - 3}},
		{"fd_write", []uint64{1, end - 4, 1, 100}},
		{"fd_write", []uint64{1, 1<<32 - 1, 1, 100}},
		{"fd_read", []uint64{0, 0, 1, end}},
		{"fd_fdstat_get", []uint64{1, end - 23}},
		{"fd_filestat_get", []uint64{1, end - 63}},
		{"clock_time_get", []uint64{0, 0, end - 7}},
		{"clock_res_get", []uint64{0, end - 7}},
		{"random_get", []uint64{end - 1, 2}},
		{"random_get", []uint64{1<<32 - 1, 1}},
		{"args_sizes_get", []uint64{0, end}},
		{"environ_sizes_get", []uint64{end, 0}},
		{"poll_oneoff", []uint64{end - 47, 100, 1, 1000}},
		{"poll_oneoff", []uint64{2000, end - 31, 1, 1000}},
		{"poll_oneoff", []uint64{2000, 100, 1, end - 3}},
	} {
		p := newPerson()
		if e := ask(t, p, m, c.name, c.params...); e != fault {
			t.Errorf("%s%v answers %d", c.name, c.params, e)
		}
		if len(p.lines)+len(p.slept) > 0 {
			t.Errorf("%s%v: %+v", c.name, c.params, p)
		}
		if e := ask(t, p, nil, c.name, c.params...); e != fault {
			t.Errorf("%s without a memory answers %d", c.name, e)
		}
	}
}

// write has the guest write the pieces in one call, and returns how much it is told was written.
func write(t *testing.T, p *person, m api.Memory, s Stream, pieces ...string) uint32 {
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
	m, p := newMemory(t), newPerson()
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
	m, p := newMemory(t), newPerson()
	long := strings.Repeat("x", 3000)
	if n := write(t, p, m, Stdout, long, long, "\nnext\n"); n != 6006 {
		t.Errorf("%d bytes written", n)
	}
	if len(p.lines) != 2 || p.lines[0] != "1 "+long[:MaxLine] || p.lines[1] != "1 next" {
		t.Errorf("%q", p.lines)
	}

	p = newPerson()
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

// One fd_write of a million pieces of a million bytes asks the host to write a terabyte.
func TestManyPiecesAreOneBoundedWrite(t *testing.T) {
	m, p := newMemory(t), newPerson()
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

func TestStreamsAreDevices(t *testing.T) {
	m := newMemory(t)
	for fd := range uint64(3) {
		m.Write(64, bytes.Repeat([]byte{0xff}, 64))
		if e := ask(t, newPerson(), m, "fd_fdstat_get", fd, 64); e != success {
			t.Error(e)
		}
		rights := []uint64{rightRead, rightWrite, rightWrite}[fd]
		stat, _ := m.Read(64, 24)
		if stat[0] != characterDevice || binary.LittleEndian.Uint64(stat[8:]) != rights || binary.LittleEndian.Uint64(stat[16:]) != 0 {
			t.Errorf("%x", stat)
		}
		if e := ask(t, newPerson(), m, "fd_filestat_get", fd, 64); e != success {
			t.Error(e)
		}
		for name, want := range map[string]errno{"fd_close": success, "fd_sync": success} {
			if e := ask(t, newPerson(), m, name, fd); e != want {
				t.Errorf("%s: %d", name, e)
			}
		}
		if e := ask(t, newPerson(), m, "fd_seek", fd, 0, 0, 64); e != spipe {
			t.Error("seek:", e)
		}
		if e := ask(t, newPerson(), m, "fd_prestat_get", fd, 64); e != badf {
			t.Error("prestat:", e)
		}
	}
	m.WriteUint32Le(100, 77)
	if e := ask(t, newPerson(), m, "fd_read", 0, 0, 1, 100); e != success {
		t.Error(e)
	}
	if n, _ := m.ReadUint32Le(100); n != 0 {
		t.Errorf("read %d bytes", n)
	}
	for _, fd := range []uint64{1, 2, 3} {
		if e := ask(t, newPerson(), m, "fd_read", fd, 0, 1, 100); e != badf {
			t.Errorf("reading %d: %d", fd, e)
		}
	}
	if e := ask(t, newPerson(), m, "fd_write", 0, 0, 0, 100); e != badf {
		t.Errorf("writing the input: %d", e)
	}
	if e := ask(t, newPerson(), m, "proc_raise", 9); e != nosys {
		t.Error(e)
	}
}

func TestClocksAreReal(t *testing.T) {
	m := newMemory(t)
	ns := func(id uint64) int64 {
		if e := ask(t, newPerson(), m, "clock_time_get", id, 0, 64); e != success {
			t.Fatal(e)
		}
		v, _ := m.ReadUint64Le(64)
		return int64(v)
	}
	if off := time.Since(time.Unix(0, ns(realtime))); off < 0 || off > time.Minute {
		t.Errorf("off by %v", off)
	}
	a := ns(monotonic)
	if b := ns(monotonic); a <= 0 || b < a || b > int64(time.Hour) {
		t.Errorf("%d, then %d", a, b)
	}
	if e := ask(t, newPerson(), m, "clock_res_get", monotonic, 64); e != success {
		t.Error(e)
	}
}

func TestRandomIsRandomAndBounded(t *testing.T) {
	m, p := newMemory(t), newPerson()
	if e := ask(t, p, m, "random_get", 0, 64); e != success || p.charged != 64*randomCost {
		t.Errorf("%d, charged %d", e, p.charged)
	}
	if e := ask(t, p, m, "random_get", 64, 64); e != success {
		t.Error(e)
	}
	b, _ := m.Read(0, 192)
	if zero := make([]byte, 64); bytes.Equal(b[:64], b[64:128]) || bytes.Equal(b[:64], zero) || !bytes.Equal(b[128:], zero) {
		t.Errorf("%x", b)
	}
	if e := ask(t, p, m, "random_get", 0, MaxRandom); e != success {
		t.Error(e)
	}
	if e := ask(t, p, m, "random_get", 0, MaxRandom+1); e != inval {
		t.Error(e)
	}
}

// subscribe writes one subscription.
func subscribe(m api.Memory, i uint32, kind byte, id uint32, ns uint64, flags uint16) {
	b := make([]byte, subscriptionSize)
	binary.LittleEndian.PutUint64(b, uint64(i)+100)
	b[8] = kind
	binary.LittleEndian.PutUint32(b[16:], id)
	binary.LittleEndian.PutUint64(b[24:], ns)
	binary.LittleEndian.PutUint16(b[40:], flags)
	m.Write(4096+i*subscriptionSize, b)
}

// poll returns what happened as "userdata errno kind".
func poll(t *testing.T, p *person, m api.Memory, n uint64) (events []string) {
	t.Helper()
	if e := ask(t, p, m, "poll_oneoff", 4096, 8192, n, 64); e != success {
		t.Fatalf("poll_oneoff answers %d", e)
	}
	happened, _ := m.ReadUint32Le(64)
	for i := range happened {
		b, _ := m.Read(8192+i*eventSize, eventSize)
		events = append(events, fmt.Sprintf("%d %d %d", binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]), b[10]))
	}
	return events
}

func TestPollSleepsUntilTheFirst(t *testing.T) {
	m, p := newMemory(t), newPerson()
	subscribe(m, 0, eventClock, monotonic, 5000, 0)
	subscribe(m, 1, eventClock, realtime, 3000, 0)
	subscribe(m, 2, eventClock, realtime, 3000, 0)
	if got := poll(t, p, m, 3); !slices.Equal(got, []string{"101 0 0", "102 0 0"}) || !slices.Equal(p.slept, []time.Duration{3000}) {
		t.Errorf("%q, slept %v", got, p.slept)
	}

	p = newPerson()
	at := uint64(time.Now().Add(time.Hour).UnixNano())
	subscribe(m, 0, eventClock, realtime, at, 1)
	if got := poll(t, p, m, 1); len(got) != 1 || p.slept[0] > time.Hour || p.slept[0] < time.Hour-time.Minute {
		t.Errorf("%q, slept %v", got, p.slept)
	}

	p = newPerson()
	subscribe(m, 0, eventClock, realtime, 1, 1) // long ago
	if got := poll(t, p, m, 1); len(got) != 1 || p.slept != nil {
		t.Errorf("%q, slept %v", got, p.slept)
	}

	p = newPerson()
	subscribe(m, 0, eventClock, monotonic, math.MaxUint64, 0)
	if got := poll(t, p, m, 1); len(got) != 1 || p.slept[0] != math.MaxInt64 {
		t.Errorf("%q, slept %v", got, p.slept)
	}
}

func TestPollOfDescriptorsDoesNotWait(t *testing.T) {
	m, p := newMemory(t), newPerson()
	subscribe(m, 0, eventClock, monotonic, 5000, 0)
	subscribe(m, 1, eventWrite, 1, 0, 0)
	subscribe(m, 2, eventRead, 0, 0, 0)
	subscribe(m, 3, eventRead, 7, 0, 0)
	subscribe(m, 4, eventWrite, 0, 0, 0)
	want := []string{"101 0 2", "102 0 1", "103 8 1", "104 8 2"}
	if got := poll(t, p, m, 5); !slices.Equal(got, want) || p.slept != nil {
		t.Errorf("%q, slept %v", got, p.slept)
	}
	for _, n := range []uint64{0, maxSubscriptions + 1, 1<<32 - 1} {
		if e := ask(t, p, m, "poll_oneoff", 4096, 8192, n, 64); e != inval {
			t.Errorf("%d subscriptions: %d", n, e)
		}
	}
	subscribe(m, 0, 3, 0, 0, 0)
	if e := ask(t, p, m, "poll_oneoff", 4096, 8192, 1, 64); e != inval {
		t.Errorf("subscription of kind 3: %d", e)
	}
	subscribe(m, 0, eventClock, 2, 0, 0)
	if e := ask(t, p, m, "poll_oneoff", 4096, 8192, 1, 64); e != inval {
		t.Errorf("clock 2: %d", e)
	}
}

func TestExitEndsTheCall(t *testing.T) {
	defer func() {
		err, ok := recover().(error)
		var exit *sys.ExitError
		if !ok || !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Errorf("%v", err)
		}
	}()
	ask(t, newPerson(), nil, "proc_exit", 3)
	t.Error("proc_exit returned")
}

func FuzzFunctions(f *testing.F) {
	f.Add(uint8(26), uint32(1), uint32(0), uint32(1), uint32(100), []byte("\x10\x00\x00\x00\x05\x00\x00\x00........hello\n"))
	f.Add(uint8(37), uint32(0), uint32(100), uint32(1), uint32(60), make([]byte, 48))
	f.Fuzz(func(t *testing.T, which uint8, a, b, c, d uint32, content []byte) {
		m, p := newMemory(t), newPerson()
		m.Write(0, content[:min(len(content), memorySize)])
		name := Names()[int(which)%len(Names())]
		if name == "proc_exit" {
			return
		}
		fn, _ := Lookup(name)
		params := []uint64{uint64(a), uint64(b), uint64(c), uint64(d), uint64(a), uint64(b), uint64(c), uint64(d), uint64(a)}
		ask(t, p, m, name, params[:len(fn.Params)]...)
		p.output.End(p)
		if p.charged > 1<<20 || len(p.lines) > MaxLines || len(p.slept) > 1 {
			t.Errorf("%s: %d bytes, %d lines, %v", name, p.charged, len(p.lines), p.slept)
		}
		for _, l := range p.lines {
			if len(l) > 3*MaxLine+2 || strings.Contains(l, "\n") {
				t.Errorf("%s: %q", name, l)
			}
		}
	})
}
