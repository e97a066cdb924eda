package meter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func TestModuleDescribesContents(t *testing.T) {
	b := newBuilder()
	b.importFunc("moot_1", "log", vals(i32, i32, i32), nil)
	b.importFunc("moot_1", "now_ms", nil, vals(i64))
	b.memory(2, 300)
	b.export("memory", Mem, 0)
	b.table(1, -1)
	b.export("table", Table, 0)
	b.add(globalSection, ops(i32, 0, opI32Const, 0, opEnd))
	b.export("global", Global, 0)
	b.fn("on_say", vals(i32), vals(i32), nil, i32c(0))
	b.export("again", Func, 1)
	wasm := appendCustom(b.wasm(), ManifestSection, []byte(`{"name":"x"}`))
	wasm = appendCustom(wasm, ".debug_info", make([]byte, 1000))
	before := bytes.Clone(wasm)
	m, err := Rewrite(wasm, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wasm, before) {
		t.Error("the input was changed")
	}
	var got []string
	for _, i := range m.Imports {
		got = append(got, fmt.Sprintf("import %s.%s %v", i.Module, i.Name, i.Type))
	}
	for _, e := range m.Exports {
		got = append(got, fmt.Sprintf("export %v %s %v", e.Kind, e.Name, e.Type))
	}
	got = append(got, fmt.Sprintf("%+v %v %s", *m.Memory, m.Start, m.Manifest))
	want := []string{
		"import moot_1.log (i32, i32, i32) -> ()",
		"import moot_1.now_ms () -> (i64)",
		"export memory memory () -> ()",
		"export table table () -> ()",
		"export global global () -> ()",
		"export func on_say (i32) -> (i32)",
		"export func again () -> (i64)",
		"{Min:2 Max:256} false {\"name\":\"x\"}",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	used := map[string]uint64{}
	for _, u := range m.Usage {
		used[u.Limit] = u.Used
		if u.Max == 0 || u.Used > u.Max || u.Limit == "" {
			t.Errorf("%+v", u)
		}
	}
	if used["bytes"] != uint64(len(wasm)) || used["functions"] != 1 || used["imports"] != 2 || used["pages of memory"] != 2 {
		t.Errorf("%v", used)
	}
	if bytes.Contains(m.Wasm, []byte(".debug_info")) || bytes.Contains(m.Wasm, []byte(ManifestSection)) {
		t.Error("custom sections are kept")
	}
}

func TestEmptyModule(t *testing.T) {
	m, err := Rewrite([]byte(magic), Limits{})
	if err != nil || m.Memory != nil || m.Manifest != nil || m.Start || m.Imports != nil || m.Exports != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	g := newGuest(t, []byte(magic), Limits{CallDepth: 77})
	if g.fuel() != 0 || g.depth() != 77 {
		t.Errorf("fuel %d, depth %d in a new instance", g.fuel(), g.depth())
	}
}

func TestRewriteIsDeterministic(t *testing.T) {
	a, err := Rewrite(bulkGuest(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Rewrite(bulkGuest(), Limits{})
	if err != nil || !bytes.Equal(a.Wasm, b.Wasm) {
		t.Error("two rewritings of one module differ", err)
	}
	if _, err := Rewrite(a.Wasm, Limits{}); err == nil {
		t.Error("a rewritten module is accepted as input")
	}
}

func TestSizesAreClamped(t *testing.T) {
	for _, most := range []int{-1, 5, 1 << 16} {
		b := newBuilder()
		b.memory(1, most)
		b.table(1, most)
		b.fn("memory", vals(i32), vals(i32), nil, at(opLocalGet, 0), ops(0x40, 0))
		b.fn("table", vals(i32), vals(i32), nil, ops(opRefNull, funcref), at(opLocalGet, 0), ops(0xfc, 15, 0))
		rt := newRuntime(t, wazero.NewRuntimeConfigCompiler(), maxPages)
		limits := Limits{MemoryPages: 10, TableElements: 20}
		for name, limit := range map[string]uint64{"memory": 10, "table": 20} {
			if most > 0 {
				limit = min(limit, uint64(most))
			}
			g := instantiate(t, rt, b.wasm(), limits)
			a := allow(10)
			tooMuch, _ := g.call(a, Slice, name, limit)
			all, err := g.call(a, Slice, name, limit-1)
			if err != nil || int32(tooMuch[0]) != -1 || all[0] != 1 {
				t.Errorf("%s with maximum %d: %v, one more %v, %v", name, most, all, tooMuch, err)
			}
			if name == "memory" && g.module.Memory.Max != uint32(limit) {
				t.Errorf("memory %+v", g.module.Memory)
			}
		}
	}
}

// TestOverlongVectorOpcode checks an instruction that wazero misreads: wazero reads only one byte after the vector
// prefix as the number. Here two bytes encode the number 12, v128.const. If wazero read 0x8c instead, the 16 bytes of
// the constant would be code: the end of the block that the branch leaves, and then an endless loop without a charge.
func TestOverlongVectorOpcode(t *testing.T) {
	constant := cat(ops(opEnd), endlessLoop, make([]byte, 10))
	b := newBuilder()
	b.fn("f", vals(i32), vals(i64), nil, ops(opBlock, 0x40), at(opLocalGet, 0), ops(opBrIf, 0),
		ops(prefixVector, 0x8c, 0x00), constant, ops(prefixVector, 0x1d, 0, opReturn, opEnd), i64c(1))
	a := allow(3)
	g := newGuest(t, b.wasm(), Limits{})
	if r, err := g.call(a, Slice, "f", 1); err != nil || r[0] != 1 {
		t.Error(r, err)
	}
	if r, err := g.call(a, Slice, "f", 0); err != nil || r[0] != binary.LittleEndian.Uint64(constant) {
		t.Errorf("%x, %v", r, err)
	}
}

func TestFunctionNamesAreKept(t *testing.T) {
	b := newBuilder()
	b.importFunc("env", "nop", nil, nil)
	b.fn("f", nil, nil, nil, at(opCall, 2))
	b.fn("", nil, nil, nil, ops(opUnreachable))
	long := strings.Repeat("x", maxFuncName+1)
	functions := cat(ops(3), ops(0), appendName(nil, long), ops(1), appendName(nil, "outer_one"), ops(2), appendName(nil, "inner_one"))
	names := appendSection(appendSection(nil, 0, appendName(nil, "moot_1")), 1, functions)
	g := newGuest(t, appendCustom(b.wasm(), "name", names), Limits{})
	_, err := g.call(allow(1), Slice, "f")
	if err == nil || !strings.Contains(err.Error(), "inner_one") || !strings.Contains(err.Error(), "outer_one") {
		t.Errorf("the stack of a trap: %v", err)
	}
	if bytes.Contains(g.module.Wasm, []byte("moot_1")) || bytes.Contains(g.module.Wasm, []byte(long)) {
		t.Error("the name of the module, or a name that is too long, is kept")
	}
	for _, bad := range [][]byte{{1}, {1, 5}, cat(ops(1, 4, 1, 9), appendName(nil, "f")), {1, 4, 1, 0, 1, 0xff}, {0x80}} {
		m, err := Rewrite(appendCustom(b.wasm(), "name", bad), Limits{})
		if err != nil || bytes.Contains(m.Wasm, []byte("\x04name")) {
			t.Errorf("bad names %x: %v", bad, err)
		}
	}
}

func TestSignatures(t *testing.T) {
	s := Signature{Params: vals(i32, i64, f32, f64), Results: vals(v128, funcref, externref, 0x12)}
	if want := "(i32, i64, f32, f64) -> (v128, funcref, externref, unknown)"; s.String() != want {
		t.Errorf("%s", s)
	}
	if Kind(9).String() != "kind(9)" || api.ExternTypeName(api.ExternType(Global)) != Global.String() {
		t.Error("kinds")
	}
}
