package meter

import (
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// TestUnsaved checks that Unsaved names the state that memory and Globals do not have, and only that.
func TestUnsaved(t *testing.T) {
	function := func(code ...[]byte) func(b *builder) {
		return func(b *builder) {
			b.table(4, -1)
			b.fn("f", nil, nil, nil, code...)
		}
	}
	null := ops(opRefNull, funcref)
	drop := ops(0x1a)
	for name, c := range map[string]struct {
		want string
		add  func(b *builder)
	}{
		"nothing":              {"", func(*builder) {}},
		"a table that is read": {"", function(i32c(0), ops(opTableGet, 0), drop)},
		"an element segment":   {"", func(b *builder) { b.table(4, -1); b.add(elementSection, ops(0, opI32Const, 0, opEnd, 0)) }},
		"an active segment":    {"", func(b *builder) { b.add(dataSection, active(7, "x")) }},
		"table.set":            {"writes to tables", function(i32c(0), null, ops(opTableSet, 0))},
		"table.grow":           {"writes to tables", function(null, i32c(1), ops(0xfc, 15, 0), drop)},
		"table.fill":           {"writes to tables", function(i32c(0), null, i32c(1), ops(0xfc, 17, 0))},
		"table.copy":           {"writes to tables", function(i32c(0), i32c(0), i32c(1), ops(0xfc, 14, 0, 0))},
		"table.init": {"writes to tables", func(b *builder) {
			function(i32c(0), i32c(0), i32c(0), ops(0xfc, 12, 0, 0))(b)
			b.add(elementSection, ops(1, 0, 0))
		}},
		"elem.drop": {"writes to tables", func(b *builder) {
			function(ops(0xfc, 13, 0))(b)
			b.add(elementSection, ops(1, 0, 0))
		}},
		"memory.init": {"copies or drops data segments, has passive data segments", func(b *builder) {
			function(i32c(0), i32c(0), i32c(0), ops(0xfc, 8, 0, 0))(b)
			b.raw(dataCountSection, 1)
			b.add(dataSection, ops(1, 1, 'x'))
		}},
		"data.drop of an active segment": {"copies or drops data segments", func(b *builder) {
			function(ops(0xfc, 9, 0))(b)
			b.raw(dataCountSection, 1)
			b.add(dataSection, active(7, "x"))
		}},
		"a passive segment":    {"has passive data segments", func(b *builder) { b.add(dataSection, ops(1, 1, 'x')) }},
		"a mutable reference":  {"has mutable globals that are references", func(b *builder) { b.add(globalSection, append(ops(funcref, 1), append(null, opEnd)...)) }},
		"a constant reference": {"", func(b *builder) { b.add(globalSection, append(ops(externref, 0), ops(opRefNull, externref, opEnd)...)) }},
		"a mutable vector": {"has mutable globals that are vectors", func(b *builder) {
			b.add(globalSection, append(append(ops(v128, 1, prefixVector, 12), make([]byte, 16)...), opEnd))
		}},
		"many globals": {"has more than 256 mutable globals", func(b *builder) {
			for range maxMutable + 1 {
				b.add(globalSection, ops(i32, 1, opI32Const, 0, opEnd))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuilder()
			b.memory(2, -1)
			c.add(b)
			m, err := RewriteCode(b.wasm(), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(m.Unsaved, ", "); got != c.want || got != "" && m.Globals != nil {
				t.Errorf("%q, want %q; globals %v", got, c.want, m.Globals)
			}
			rt := newRuntime(t, wazero.NewRuntimeConfig(), 16)
			if _, err := rt.CompileModule(t.Context(), m.Wasm); err != nil {
				t.Errorf("the test is wrong: %v", err)
			}
		})
	}
}

// TestGlobalsAreExported checks that each mutable global of the guest, and no other one, can be read and set under its
// name.
func TestGlobalsAreExported(t *testing.T) {
	b := newBuilder()
	b.memory(1, -1)
	b.add(globalSection, ops(i32, 0, opI32Const, 1, opEnd))
	b.add(globalSection, ops(i32, 1, opI32Const, 2, opEnd))
	b.add(globalSection, ops(i64, 1, opI64Const, 3, opEnd))
	b.add(globalSection, append(ops(0x7c, 1, opF64Const), 0, 0, 0, 0, 0, 0, 0, 0, opEnd))
	b.fn("read", nil, vals(i32), nil, ops(opGlobalGet, 1))
	g := newGuest(t, b.wasm(), Limits{})
	want := []string{GlobalExport + "1", GlobalExport + "2", GlobalExport + "3"}
	if strings.Join(g.module.Globals, " ") != strings.Join(want, " ") {
		t.Fatalf("%v", g.module.Globals)
	}
	for i, name := range want {
		global, ok := g.mod.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			t.Fatalf("%s is not a mutable global", name)
		}
		if i < 2 && global.Get() != uint64(2+i) {
			t.Errorf("%s is %d", name, global.Get())
		}
		global.Set(uint64(40 + i))
	}
	if r, err := g.mod.ExportedFunction("read").Call(allow(10)); err != nil || r[0] != 40 {
		t.Errorf("the guest reads %v, %v", r, err)
	}
	for _, e := range g.module.Exports {
		if strings.HasPrefix(e.Name, GlobalExport) {
			t.Errorf("%s counts as an export of the guest", e.Name)
		}
	}
}
