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

// recorder is a guest that records the calls of its methods. It is the context of the calls of its functions.
type recorder struct {
	context.Context
	output  Output
	lines   []string
	charged uint32
	slept   []time.Duration
}

func newRecorder() *recorder { return &recorder{Context: context.Background()} }

func (p *recorder) Charge(n uint32)       { p.charged += n }
func (p *recorder) Sleep(d time.Duration) { p.slept = append(p.slept, d) }
func (p *recorder) Output() *Output       { return &p.output }
func (p *recorder) Line(s Stream, text string) {
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

// ask calls a function like compiled code, with arbitrary bits in the upper halves of i32 parameters.
func ask(t testing.TB, p *recorder, m api.Memory, name string, params ...uint64) errno {
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
		t.Error("a function that does not exist was found")
	}
	if err := Instantiate(t.Context(), rt, func(context.Context) Guest { return newRecorder() }); err != nil {
		t.Error(err)
	}
}

// TestNothingIsGranted calls each function with invalid arguments and pointers, and checks that each answers that there
// is nothing, without any other effect.
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
			p := newRecorder()
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
		if e := ask(t, newRecorder(), m, name, 64, 68); e != success {
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
	m.WriteUint32Le(8, end-5)  // a piece that is not inside
	m.WriteUint32Le(12, 10)    //
	m.WriteUint32Le(16, 1<<31) // not inside either
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
		p := newRecorder()
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

func TestStreamsAreDevices(t *testing.T) {
	m := newMemory(t)
	for fd := range uint64(3) {
		m.Write(64, bytes.Repeat([]byte{0xff}, 64))
		if e := ask(t, newRecorder(), m, "fd_fdstat_get", fd, 64); e != success {
			t.Error(e)
		}
		rights := []uint64{rightRead, rightWrite, rightWrite}[fd]
		stat, _ := m.Read(64, 24)
		if stat[0] != characterDevice || binary.LittleEndian.Uint64(stat[8:]) != rights || binary.LittleEndian.Uint64(stat[16:]) != 0 {
			t.Errorf("%x", stat)
		}
		if e := ask(t, newRecorder(), m, "fd_filestat_get", fd, 64); e != success {
			t.Error(e)
		}
		for name, want := range map[string]errno{"fd_close": success, "fd_sync": success} {
			if e := ask(t, newRecorder(), m, name, fd); e != want {
				t.Errorf("%s: %d", name, e)
			}
		}
		if e := ask(t, newRecorder(), m, "fd_seek", fd, 0, 0, 64); e != spipe {
			t.Error("seek:", e)
		}
		if e := ask(t, newRecorder(), m, "fd_prestat_get", fd, 64); e != badf {
			t.Error("prestat:", e)
		}
	}
	m.WriteUint32Le(100, 77)
	if e := ask(t, newRecorder(), m, "fd_read", 0, 0, 1, 100); e != success {
		t.Error(e)
	}
	if n, _ := m.ReadUint32Le(100); n != 0 {
		t.Errorf("read %d bytes", n)
	}
	for _, fd := range []uint64{1, 2, 3} {
		if e := ask(t, newRecorder(), m, "fd_read", fd, 0, 1, 100); e != badf {
			t.Errorf("reading %d: %d", fd, e)
		}
	}
	if e := ask(t, newRecorder(), m, "fd_write", 0, 0, 0, 100); e != badf {
		t.Errorf("writing the input: %d", e)
	}
	if e := ask(t, newRecorder(), m, "proc_raise", 9); e != nosys {
		t.Error(e)
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
	ask(t, newRecorder(), nil, "proc_exit", 3)
	t.Error("proc_exit returned")
}

func FuzzFunctions(f *testing.F) {
	f.Add(uint8(26), uint32(1), uint32(0), uint32(1), uint32(100), []byte("\x10\x00\x00\x00\x05\x00\x00\x00........hello\n"))
	f.Add(uint8(37), uint32(0), uint32(100), uint32(1), uint32(60), make([]byte, 48))
	f.Fuzz(func(t *testing.T, which uint8, a, b, c, d uint32, content []byte) {
		m, p := newMemory(t), newRecorder()
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
