package meter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// fuzzLimits keep one run of the fuzzer short. TestLimitsHold tests the limits.
var fuzzLimits = Limits{
	FileBytes: 64 << 10, MemoryPages: 16, TableElements: 1000, Functions: 200, CompileTime: 100 * time.Millisecond, CallDepth: 1000,
}

// FuzzRewrite passes arbitrary bytes to Rewrite. It checks that Rewrite does not panic. If Rewrite accepts a module and
// wazero compiles the result, wazero must also compile the original, which shows that both read the same module. No
// call of an export may run much longer than its slices allow.
func FuzzRewrite(f *testing.F) {
	for _, wasm := range seeds(f) {
		f.Add(wasm)
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Rewrite(wasm, fuzzLimits)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || m != nil || e.Offset < 0 || e.Offset > len(wasm) || e.What == "" || err.Error() == "" {
				t.Fatalf("%v: %v", m, err)
			}
			return
		}
		rt := fuzzRuntime(t)
		defer rt.Close(context.Background())
		c, err := rt.CompileModule(t.Context(), m.Wasm)
		if err != nil {
			return
		}
		if !wazeroMisreads(wasm) {
			if _, err := rt.CompileModule(t.Context(), withoutCustom(wasm)); err != nil && !m.Start {
				t.Fatalf("only the rewritten module compiles: %v", err)
			}
		}
		linkEmpty(t, rt, m)
		if len(m.Unsaved) > 0 && m.Globals != nil {
			t.Fatalf("%v, although it %v", m.Globals, m.Unsaved)
		}
		mod, err := rt.InstantiateModule(t.Context(), c, anonymous())
		if err != nil {
			return
		}
		for _, name := range m.Globals {
			if g, ok := mod.ExportedGlobal(name).(api.MutableGlobal); !ok || g.Type() == api.ValueTypeExternref {
				t.Fatalf("%s is not a mutable global of a number type", name)
			}
		}
		callAll(t, mod)
	})
}

// withoutCustom drops the custom sections of a module that Rewrite accepts: unlike Rewrite, wazero checks their
// content.
func withoutCustom(wasm []byte) []byte {
	out := []byte(magic)
	for r := (&reader{b: wasm, p: len(magic), fn: -1}); !r.done(); {
		start := r.p
		id := r.byte()
		r.sub(r.u32())
		if id != customSection {
			out = append(out, wasm[start:r.p]...)
		}
	}
	return out
}

// wazeroMisreads reports whether a module that Rewrite accepts encodes the number of a vector instruction in more bytes
// than necessary: see TestOverlongVectorOpcode.
func wazeroMisreads(wasm []byte) bool {
	for r := (&reader{b: wasm, p: len(magic), fn: -1}); !r.done(); {
		id := r.byte()
		code := r.sub(r.u32())
		if id != codeSection {
			continue
		}
		for n := code.u32(); n > 0; n-- {
			body := code.sub(code.u32())
			for groups := body.u32(); groups > 0; groups-- {
				body.u32()
				body.byte()
			}
			for in := (instr{}); !body.done(); {
				start := body.p
				body.next(&in)
				if read := wasm[start:body.p]; in.op>>8 == prefixVector && !bytes.HasPrefix(read, in.append(nil)[:2]) {
					return true
				}
			}
		}
	}
	return false
}

// callAll calls every exported function with ten slices, and fails the test if a call does not end after them.
func callAll(t *testing.T, mod api.Module) {
	for name, def := range mod.ExportedFunctionDefinitions() {
		a := allow(10)
		a.slice = 10_000
		done := make(chan struct{})
		watch := time.AfterFunc(5*time.Second, func() { panic("export " + name + " runs on without a refuel") })
		go func() {
			defer close(done)
			mod.ExportedFunction(name).Call(a, make([]uint64, slots(def))...)
		}()
		<-done
		watch.Stop()
		if a.used > a.slices+1 {
			t.Fatalf("%s: %d refuels after it was stopped", name, a.used)
		}
	}
}

func slots(def api.FunctionDefinition) (n int) {
	for _, p := range def.ParamTypes() {
		n++
		if p == v128 {
			n++
		}
	}
	return n
}

func fuzzRuntime(t *testing.T) wazero.Runtime {
	rt := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(16))
	if _, err := rt.NewHostModuleBuilder(ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(refuel), []ValueType{i64}, []ValueType{i64}).Export(RefuelImport).Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return rt
}

// linkEmpty provides every function that a module imports. These functions do nothing.
func linkEmpty(t *testing.T, rt wazero.Runtime, m *Module) {
	hosts := map[string]wazero.HostModuleBuilder{}
	for _, i := range m.Imports {
		if hosts[i.Module] == nil {
			hosts[i.Module] = rt.NewHostModuleBuilder(i.Module)
		}
		hosts[i.Module].NewFunctionBuilder().WithGoModuleFunction(
			api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), i.Type.Params, i.Type.Results).Export(i.Name)
	}
	for _, h := range hosts {
		h.Instantiate(t.Context()) // if one fails, the instantiation of the module fails
	}
}

// seeds returns small modules that together contain all sections and most instructions: modules of these tests, and
// some of the official test suite.
func seeds(f *testing.F) [][]byte {
	b := newBuilder()
	fib(b)
	b.start(b.fn("loop", nil, nil, nil, endlessLoop))
	list := [][]byte{
		bulkGuest(), b.wasm(), down(nil), down(ops(40, i64)),
		appendCustom(bulkGuest(), "name", cat(ops(1, 4, 1, 0), appendName(nil, "f"))),
		appendCustom(fnBody(), ManifestSection, []byte("{}")),
	}
	dir := wazeroDir(f)
	for _, pattern := range []string{"block", "br_table", "call_indirect", "elem", "if", "loop", "return", "table_grow", "memory_init", "ref_func",
		"simd_const", "simd_lane", "simd_load", "simd_i16x8_arith", "start", "func", "labels", "select", "switch", "unwind", "bulk", "global", "data"} {
		files, err := filepath.Glob(filepath.Join(dir, "internal/integration_test/spectest/v2/testdata", pattern+".[0-9].wasm"))
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			wasm, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(wasm) < 20_000 && bytes.HasPrefix(wasm, []byte(magic)) {
				list = append(list, wasm)
			}
		}
	}
	return list
}
