package meter

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// filledMemory returns the memory of a new instance of the module, with the data of Module.Data copied into it.
func filledMemory(t testing.TB, m *Module) []byte {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { rt.Close(ctx) })
	i64 := []api.ValueType{api.ValueTypeI64}
	_, err := rt.NewHostModuleBuilder(ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(refuel), i64, i64).Export(RefuelImport).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	in, err := rt.InstantiateWithConfig(ctx, m.Wasm, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	memory, _ := in.Memory().Read(0, in.Memory().Size())
	for _, d := range m.Data {
		copy(memory[d.Offset:], d.Bytes)
	}
	return memory
}

// active encodes an active data segment.
func active(at int64, data string) []byte {
	return append(appendU32(append(appendSigned([]byte{0, opI32Const}, at), opEnd), uint32(len(data))), data...)
}

func withData(segments ...[]byte) []byte {
	b := newBuilder()
	b.memory(2, -1)
	for _, s := range segments {
		b.add(dataSection, s)
	}
	return b.wasm()
}

// TestRewriteCodeMovesTheDataOut checks that a new memory has the same content whether the segments are in the module
// or in Module.Data.
func TestRewriteCodeMovesTheDataOut(t *testing.T) {
	const end = 2 << 16
	for name, c := range map[string]struct {
		segments [][]byte
		pieces   int
	}{
		"one":                    {[][]byte{active(5, "hello")}, 1},
		"an empty one":           {[][]byte{active(end, ""), active(7, "x")}, 2},
		"up to the end":          {[][]byte{active(end-3, "end")}, 1},
		"close to each other":    {[][]byte{active(0, "a"), active(1, "b"), active(2+maxGap, "c")}, 1},
		"far from each other":    {[][]byte{active(0, "a"), active(2+maxGap, "b")}, 2},
		"one over the other":     {[][]byte{active(10, "aaaa"), active(11, "bb")}, 2},
		"one between two":        {[][]byte{active(0, "a"), active(20, "c"), active(10, "b")}, 2},
		"one before a gap":       {[][]byte{active(100, "earlier"), active(50, "x"), active(120, "y")}, 3},
		"a gap over earlier one": {[][]byte{active(60, "earlier"), active(0, "x"), active(62, "y"), active(63, "z"), active(90, "")}, 4},
		"of the second kind":     {[][]byte{append([]byte{2, 0}, active(9, "k")[1:]...)}, 1},
	} {
		wasm := withData(c.segments...)
		whole, err := Rewrite(wasm, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		apart, err := RewriteCode(wasm, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if whole.Data != nil || len(apart.Data) != c.pieces || len(apart.Wasm) >= len(whole.Wasm) {
			t.Errorf("%s: %d pieces, %d bytes of code and %d with data, %d pieces", name, len(apart.Data), len(apart.Wasm), len(whole.Wasm), len(whole.Data))
		}
		if !bytes.Equal(filledMemory(t, whole), filledMemory(t, apart)) {
			t.Errorf("%s: the memories differ", name)
		}
	}
}

// TestRewriteCodeLeavesNamedData checks that segments that the code refers to stay in the module.
func TestRewriteCodeLeavesNamedData(t *testing.T) {
	passive := cat([]byte{1, 1}, []byte("p"))
	for name, build := range map[string]func(b *builder){
		"passive": func(b *builder) { b.add(dataSection, active(0, "a")); b.add(dataSection, passive) },
		"dropped": func(b *builder) {
			b.raw(dataCountSection, 1)
			b.fn("f", nil, nil, nil, ops(prefixBulk, 9, 0))
			b.add(dataSection, active(0, "a"))
		},
		"copied": func(b *builder) {
			b.raw(dataCountSection, 1)
			b.fn("f", nil, nil, nil, ops(opI32Const, 0, opI32Const, 0, opI32Const, 0, prefixBulk, 8, 0, 0))
			b.add(dataSection, active(0, "a"))
		},
	} {
		b := newBuilder()
		b.memory(1, -1)
		build(b)
		whole, err := Rewrite(b.wasm(), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		apart, err := RewriteCode(b.wasm(), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if apart.Data != nil || !bytes.Equal(whole.Wasm, apart.Wasm) {
			t.Errorf("%s: data was moved out: %+v", name, apart.Data)
		}
	}
	b := newBuilder() // announced, but not named
	b.memory(1, -1)
	b.raw(dataCountSection, 1)
	b.add(dataSection, active(3, "a"))
	m, err := RewriteCode(b.wasm(), Limits{})
	if err != nil || len(m.Data) != 1 || filledMemory(t, m)[3] != 'a' {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRewriteCodeRefusesDataThatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		segment []byte
		want    string
	}{
		{active(2<<16-4, "hello"), "out of bounds memory access"},
		{active(-1, "x"), "out of bounds memory access"},
		{active(2<<16+1, ""), "out of bounds memory access"},
		{[]byte{0, opI64Const, 0, opEnd, 0}, "not an i32"},
		{[]byte{0, opI32Const, 0, opI32Const, 0, opEnd, 0}, "extended constants"},
	} {
		_, err := RewriteCode(withData(c.segment), Limits{})
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("% x: %v, want %q", c.segment, err, c.want)
		}
	}
	b := newBuilder()
	b.memory(1, -1)
	b.raw(dataCountSection, 2)
	b.add(dataSection, active(0, "a"))
	if _, err := RewriteCode(b.wasm(), Limits{}); err == nil || !strings.Contains(err.Error(), "2 data segments announced, there are 1") {
		t.Error(err)
	}
}
