package host

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// choices reads the input of a fuzz target; zeros follow its end.
type choices struct{ rest []byte }

func (b *choices) next() (n int) {
	if len(b.rest) > 0 {
		n, b.rest = int(b.rest[0]), b.rest[1:]
	}
	return n
}

// subject is a random module for FuzzRebinds.
type subject struct {
	wasm    []byte
	globals int
	table   int  // elements
	writes  bool // it writes to its table
}

// numbers are initial values of globals.
var numbers = []struct {
	valueType string
	code      asm.Code
}{{"i32", asm.I32(-7)}, {"i64", asm.I64(1 << 40)}, {"f32", "\x43\x00\x00\xc0\x7f"}, {"f64", "\x44\x01\x02\x03\x04\x05\x06\x07\x08"}}

// randomSubject makes a module with a memory, data, globals of all types and a table of functions. Its exports change
// each of these.
func randomSubject(b *choices) (s subject) {
	m := new(asm.Module)
	m.Memory(3+b.next()%4, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	speak(m)
	for range b.next() % 4 {
		m.Data(b.next()<<9, bytes.Repeat([]byte{byte(b.next())}, 1+b.next()))
	}
	s.globals = b.next() % 6
	for i := range s.globals {
		n := numbers[b.next()%len(numbers)]
		global := m.Global(n.valueType, n.code)
		m.Func(fmt.Sprint("set", i), n.valueType+" ->", asm.Get(0)+asm.GlobalSet(global))
	}
	s.table = b.next() % 4
	functions := make([]int, s.table)
	for i := range functions {
		functions[i] = m.Func("", "-> i32", asm.I32(b.next()))
	}
	m.Table(s.table+1, asm.NoMax)
	if s.table > 0 {
		m.Elements(0, functions...)
	}
	m.Func("ask", "i32 -> i32", asm.Get(0)+asm.CallIndirect(m.Type("-> i32")))
	m.Func("write", "i32 i32 ->", asm.Get(0)+asm.Get(1)+asm.Store32(0))
	m.Func("grow", "i32 -> i32", asm.Get(0)+asm.MemoryGrow)
	if s.writes = b.next()%8 == 7; s.writes {
		m.Func("widen", "->", asm.NullFunc+asm.I32(1)+asm.TableGrow+asm.Drop)
	}
	m.Func(abi.ExportInitialize, "->", asm.I32(8)+asm.I32(b.next())+asm.Store32(0)+asm.I32(b.next()%3)+asm.MemoryGrow+asm.Drop)
	m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
	s.wasm = m.Wasm()
	return s
}

// invoke calls an export for the entry of the instance.
func invoke(in *instance, name string, args ...uint64) (uint64, *failure) {
	in.mark = now()
	in.begin(in.mark+int64(patience), "a", 0, nil)
	defer in.end()
	in.from = now()
	return in.call(in.module.ExportedFunction(name), args...)
}

// act does one random thing with an instance.
func (s *subject) act(b *choices, in *instance) {
	kind, n, value := b.next()%7, b.next()<<8|b.next(), uint64(b.next())*0x0101010101010101
	size := len(in.memory())
	switch kind {
	case 0: // anywhere; out of bounds is a trap
		_, _ = invoke(in, "write", uint64(n*size>>16)+uint64(n&3), uint64(uint32(value)))
	case 1:
		_, _ = invoke(in, "write", uint64(size-4-n&0xff), uint64(uint32(value)))
	case 2:
		if s.globals > 0 {
			_, _ = invoke(in, fmt.Sprint("set", n%s.globals), value)
		}
	case 3:
		_, _ = invoke(in, "grow", uint64(n%8))
	case 4: // many pages
		for at := n % pageSize; at < size; at += pageSize * (1 + n%3) {
			in.memory()[at] = byte(value)
		}
	case 5: // an empty element of the table is a trap
		_, _ = invoke(in, "ask", uint64(n%(s.table+2)))
	case 6:
		if s.writes {
			_, _ = invoke(in, "widen")
		}
	}
}

// sameMemory compares every byte of two memories.
func (s *subject) sameMemory(t *testing.T, got, want *instance) {
	t.Helper()
	a, b := got.memory(), want.memory()
	if len(a) != len(b) || got.mem.Size() != want.mem.Size() {
		t.Errorf("%d bytes of memory, a new instance has %d", len(a), len(b))
		return
	}
	if bytes.Equal(a, b) {
		return
	}
	for at := range a {
		if a[at] != b[at] {
			t.Errorf("byte %#x is %#x, in a new instance %#x", at, a[at], b[at])
			return
		}
	}
}

// sameState compares all that a guest can see of two instances.
func (s *subject) sameState(t *testing.T, got, want *instance) {
	t.Helper()
	s.sameMemory(t, got, want)
	for _, in := range []*instance{got, want} { // into pages that others may have had
		_, _ = invoke(in, "grow", 2)
	}
	s.sameMemory(t, got, want)
	for i, global := range got.mutables() {
		if have, fresh := global.Get(), want.mutables()[i].Get(); have != fresh {
			t.Errorf("global %d is %#x, in a new instance %#x", i, have, fresh)
		}
	}
	for i := range s.table {
		have, f := invoke(got, "ask", uint64(i))
		fresh, g := invoke(want, "ask", uint64(i))
		if f != nil || g != nil || have != fresh {
			t.Errorf("element %d of the table: %d, in a new instance %d: %v %v", i, have, fresh, f, g)
		}
	}
}

// FuzzRebinds calls random modules in random ways, binds their instances to another tenant and back, by each method of a
// reset, and compares the memory, the globals and the table with those of an instance that has started without an image.
func FuzzRebinds(f *testing.F) {
	for method := range byte(len(methods)) {
		for _, verify := range []byte{0, 1} {
			f.Add([]byte{method, 1, 1, 3, 9, 8, 2, 0, 1, 2, 5, 6, 0, 7, 1, verify, // a module
				4, 3, 0, 2, 0, 1, 0, 8, 0xAA, 2, 0, 0, 0x11, 2, 0, 1, 0x22, // grows, writes to its end, sets globals
				2, 0, 0x80, 0, 0xBB, 4, 0, 9, 0xCC, // writes to its middle and to each page
				2, 3, 0, 7, 0, 5, 0, 3, 0, // grows, and traps
				1, 0, 0xff, 0xff, 1})
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range methods {
			if !yield(name) {
				return
			}
		}
	})
	f.Fuzz(func(t *testing.T, input []byte) {
		b := &choices{input}
		method := names[b.next()%len(names)]
		s := randomSubject(b)
		h, log := start(t, Config{VerifyResets: b.next()%2 == 0, Cache: new(memoryCache)})
		methods[method](h)
		swap(t, h, every(s.wasm, tenantsOf(Entry{Module: "m"}, Entry{Module: "m"})))
		gens := []*generation{generationOf(h, "t0"), generationOf(h, "t1")}
		other, _ := start(t, Config{Cache: new(memoryCache)})
		swap(t, other, every(s.wasm, tenantsOf(Entry{Module: "m"})))
		other.memory.awake.spares.dropAll(func(*instance) bool { return true })
		alone := generationOf(other, "t0")
		alone.images.drop()
		alone.images.refuse("for the test")

		for turn := 0; turn < 12 && (turn < 2 || len(b.rest) > 0); turn++ {
			in, f := gens[turn%2].newInstance(false)
			if f != nil {
				t.Fatal(f)
			}
			fresh := instanceOf(t, other, "t0")
			if fresh.linear.image != nil || s.writes && in.linear.image != nil {
				t.Fatal("an instance starts from an image that must not")
			}
			s.sameState(t, in, fresh)
			for range b.next() % 6 {
				if !in.broken {
					s.act(b, in)
				}
			}
			broken := in.broken
			in.park()
			if n := h.Instances().Spare; broken && n > 0 {
				t.Errorf("an instance that trapped was kept")
			}
		}
		if strings.Contains(log.String(), "differs") {
			t.Error(log)
		}
	})
}
