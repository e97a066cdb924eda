package meter

import (
	"errors"
	"strings"
	"testing"
)

// fnBody returns a module with one function () -> () that has this code.
func fnBody(code ...[]byte) []byte {
	b := newBuilder()
	b.memory(1, 1)
	b.fn("f", nil, nil, nil, code...)
	return b.wasm()
}

// withSection returns a small module with one section replaced.
func withSection(id byte, items int, body ...byte) []byte {
	b := newBuilder()
	b.fn("f", nil, nil, nil)
	return b.raw(id, items, body...).wasm()
}

func wantRefused(t *testing.T, name string, wasm []byte, limits Limits, kind error, words string) {
	t.Helper()
	m, err := Rewrite(wasm, limits)
	var e *Error
	switch {
	case m != nil || err == nil:
		t.Errorf("%s: accepted", name)
	case !errors.As(err, &e) || !errors.Is(err, kind) || !strings.Contains(err.Error(), words):
		t.Errorf("%s: %v; it should be %v, with %q", name, err, kind, words)
	case e.Offset < 0 || e.Offset > len(wasm):
		t.Errorf("%s: offset %d of %d", name, e.Offset, len(wasm))
	}
}

func TestUnsupportedFeatures(t *testing.T) {
	for name, c := range map[string]struct {
		wasm  []byte
		words string
	}{
		"component":            {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
		"tag section":          {appendSection([]byte(magic), tagSection, []byte{1, 0, 0}), "exceptions"},
		"tag import":           {withSection(importSection, 1, cat(appendName(appendName(nil, "m"), "t"), ops(4, 0, 0))...), "exceptions"},
		"tag export":           {withSection(exportSection, 1, append(appendName(nil, "t"), 4, 0)...), "exceptions"},
		"memory import":        {withSection(importSection, 1, append(appendName(appendName(nil, "env"), "memory"), 2, 0, 1)...), "only functions"},
		"table import":         {withSection(importSection, 1, append(appendName(appendName(nil, "env"), "t"), 1, funcref, 0, 1)...), "only functions"},
		"global import":        {withSection(importSection, 1, append(appendName(appendName(nil, "env"), "g"), 3, i32, 0)...), "only functions"},
		"try_table":            {fnBody(ops(0x1f, 0x40, 0, opEnd)), "exceptions"},
		"throw":                {fnBody(ops(0x08, 0)), "exceptions"},
		"exnref":               {withSection(typeSection, 1, 0x60, 1, 0x69, 0), "not supported"},
		"tail call":            {fnBody(ops(0x12, 0)), "tail calls"},
		"indirect tail call":   {fnBody(ops(0x13, 0, 0)), "tail calls"},
		"call_ref":             {fnBody(ops(0x14, 0)), "function references"},
		"typed reference":      {withSection(typeSection, 1, 0x60, 1, 0x63, 0, 0), "not supported"},
		"struct type":          {withSection(typeSection, 1, 0x5f, 0), "garbage"},
		"recursive types":      {withSection(typeSection, 1, 0x4e, 1, 0x60, 0, 0), "garbage"},
		"struct.new":           {fnBody(ops(0xfb, 0, 0)), "garbage"},
		"atomics":              {fnBody(ops(0xfe, 3, 0)), "threads"},
		"shared memory":        {withSection(memorySection, 1, 3, 1, 1), "threads"},
		"memory64":             {withSection(memorySection, 1, 4, 1), "64-bit"},
		"two memories":         {withSection(memorySection, 2, 0, 1, 0, 1), "only one"},
		"memory.size 1":        {fnBody(ops(0x3f, 1, 0x1a)), "one memory"},
		"relaxed SIMD":         {fnBody(ops(0xfd, 0x80, 2)), "2.0"},
		"reserved SIMD":        {fnBody(ops(0xfd, 0x9a, 1)), "2.0"},
		"wide arithmetic":      {fnBody(ops(0xfc, 0x13)), "2.0"},
		"unknown instruction":  {fnBody(ops(0x27)), "2.0"},
		"extended constant":    {withSection(globalSection, 1, i32, 0, opI32Const, 1, opI32Const, 2, 0x6a, opEnd), "extended"},
		"table with a value":   {withSection(tableSection, 1, 0x40, 0, funcref, 0, 1, opRefNull, funcref, opEnd), "function references"},
		"two manifests":        {appendCustom(appendCustom(fnBody(), ManifestSection, nil), ManifestSection, nil), "second"},
		"data for a second":    {withSection(dataSection, 1, 2, 1, opI32Const, 0, opEnd, 0), "second memory"},
		"the host's import":    {withSection(importSection, 1, appendImport(nil, ImportModule, "other", 0)...), "host's"},
		"the host's export":    {withSection(exportSection, 1, appendExport(nil, FuelExport, Func, 0)...), "host's"},
		"like a host's export": {withSection(exportSection, 1, appendExport(nil, ImportModule+"x", Func, 0)...), "host's"},
	} {
		kind := ErrNotAllowed
		if name == "memory.size 1" {
			kind = ErrMalformed
		}
		wantRefused(t, name, c.wasm, Limits{}, kind, c.words)
	}
}

func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		wasm  []byte
		words string
	}{
		"empty":                 {nil, "does not begin"},
		"text":                  {[]byte("(module)"), "does not begin"},
		"version 2":             {[]byte("\x00asm\x02\x00\x00\x00"), "does not begin"},
		"section cut off":       {append([]byte(magic), typeSection, 100, 0), "100 bytes announced"},
		"section without size":  {append([]byte(magic), typeSection), "unexpected end"},
		"size too long":         {append([]byte(magic), typeSection, 0x80, 0x80, 0x80, 0x80, 0x80, 0), "32 bits"},
		"size too large":        {append([]byte(magic), typeSection, 0xff, 0xff, 0xff, 0xff, 0x1f), "32 bits"},
		"unknown section":       {appendSection([]byte(magic), 14, nil), "does not exist"},
		"section twice":         {appendSection(fnBody(), codeSection, []byte{0}), "twice"},
		"order":                 {appendSection(fnBody(), typeSection, []byte{0}), "order"},
		"bytes too many":        {appendSection([]byte(magic), typeSection, []byte{0, 0}), "too many"},
		"count":                 {appendSection([]byte(magic), typeSection, []byte{200, 1}), "200 items announced"},
		"no code":               {appendSection(appendSection([]byte(magic), typeSection, []byte{1, 0x60, 0, 0}), functionSection, []byte{1, 0}), "0 have a body"},
		"code without function": {appendSection([]byte(magic), codeSection, []byte{1, 2, 0, opEnd}), "0 functions declared"},
		"custom without name":   {appendSection([]byte(magic), customSection, nil), "unexpected end"},
		"custom name not UTF-8": {appendCustom([]byte(magic), "\xff", nil), "UTF-8"},
		"export name":           {withSection(exportSection, 1, appendExport(nil, "\xff", Func, 0)...), "UTF-8"},
		"export twice":          {withSection(exportSection, 2, cat(appendExport(nil, "x", Func, 0), appendExport(nil, "x", Func, 0))...), "twice"},
		"export of no function": {withSection(exportSection, 1, appendExport(nil, "x", Func, 1)...), "function 1 of 1"},
		"export of no global":   {withSection(exportSection, 1, appendExport(nil, "x", Global, 0)...), "global 0 of 0"},
		"export of no memory":   {withSection(exportSection, 1, appendExport(nil, "x", Mem, 0)...), "memory 0 of 0"},
		"start of no function":  {withSection(startSection, 1), "function 1 of 1"},
		"type of function":      {withSection(functionSection, 1, 1), "type 1 of 1"},
		"memory from 2 to 1":    {withSection(memorySection, 1, 1, 2, 1), "from 2 to 1"},
		"memory of 65537":       {withSection(memorySection, 1, 0, 0x81, 0x80, 4), "65537"},
		"table from 2 to 1":     {withSection(tableSection, 1, funcref, 1, 2, 1), "from 2 to 1"},
		"global kind":           {withSection(globalSection, 1, i32, 2, opI32Const, 0, opEnd), "kind 2"},
		"global of a global":    {withSection(globalSection, 1, i32, 0, opGlobalGet, 0, opEnd), "imported globals"},
		"constant":              {withSection(globalSection, 1, i32, 0, opUnreachable, opEnd), "constant"},
		"element kind":          {withSection(elementSection, 1, 8), "kind 8"},
		"element table":         {withSection(elementSection, 1, 0, opI32Const, 0, opEnd, 0), "table 0 of 0"},
		"element function":      {withSection(elementSection, 1, 1, 0, 1, 1), "function 1 of 1"},
		"data kind":             {withSection(dataSection, 1, 3), "kind 3"},
		"data without memory":   {withSection(dataSection, 1, 0, opI32Const, 0, opEnd, 0), "without a memory"},
		"data count":            {withSection(dataCountSection, 1), "1 data segments announced"},
		"body cut off":          {fnBody(ops(opBlock, 0x40)), "unexpected end"},
		"body goes on":          {fnBody(ops(opEnd)), "too many"},
		"else":                  {fnBody(ops(opBlock, 0x40, opElse, opEnd)), "else without if"},
		"two elses":             {fnBody(i32c(0), ops(opIf, 0x40, opElse, opElse, opEnd)), "else without if"},
		"local type":            {fnTyped(1, 1, 0x50), "type 0x50"},
		"block type":            {fnBody(ops(opBlock, 0x41, opEnd)), "block of type"},
		"block type longer":     {fnBody(ops(opBlock, 0xff, 0x7e, opEnd)), "block of type"},
		"constant too long":     {fnBody(ops(opI32Const, 0x80, 0x80, 0x80, 0x80, 0x10)), "32 bits"},
		"constant sign":         {fnBody(ops(opI64Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2)), "64 bits"},
		"select of two types":   {fnBody(ops(0x1c, 2, i32, i32)), "2 types"},
		"reference":             {fnBody(ops(opRefNull, i32)), "not a reference"},
	} {
		wantRefused(t, name, c.wasm, Limits{}, ErrMalformed, c.words)
	}
}

// fnTyped returns a module with one function whose body begins with these bytes.
func fnTyped(body ...byte) []byte {
	b := newBuilder()
	b.add(functionSection, appendU32(nil, b.typ(nil, nil)))
	b.body("f", append(body, opEnd))
	return b.wasm()
}

// TestAddedIndicesAreOutOfReach checks that a guest cannot use the indices of added items. These follow the indices of
// the guest, so an index that is too large must be refused.
func TestAddedIndicesAreOutOfReach(t *testing.T) {
	code := map[string][]byte{
		"call":          at(opCall, 1),
		"ref.func":      at(opRefFunc, 1),
		"call_indirect": cat(i32c(0), ops(opCallIndirect, 1, 0)),
		"wide type":     cat(i32c(0), ops(opCallIndirect, 2, 0)),
		"block":         ops(opBlock, 1, opEnd),
		"loop":          ops(opLoop, 1, opEnd),
		"if":            cat(i32c(0), ops(opIf, 2, opEnd)),
		"local.get":     at(opLocalGet, 0),
		"local.set":     at(opLocalSet, 1),
		"local.tee":     at(opLocalTee, 2),
		"fuel":          at(opGlobalGet, 0),
		"set the fuel":  cat(i64c(1<<60), at(opGlobalSet, 0)),
		"set the depth": cat(i64c(1<<60), at(opGlobalSet, 1)),
		"br":            cat(at(opCall, 0), at(opBr, 1)), // past the epilogue
		"br_if":         cat(i32c(0), ops(opBlock, 0x40), at(opBrIf, 2), ops(opEnd)),
		"br_table":      cat(i32c(0), ops(opBrTable, 1, 0, 1)),
		"br_table list": cat(i32c(0), ops(opBrTable, 1, 1, 0)),
	}
	for name, c := range code {
		wantRefused(t, name, fnBody(c), Limits{}, ErrMalformed, " of ")
	}
	wantRefused(t, "export", withSection(exportSection, 1, appendExport(nil, "g", Global, 0)...), Limits{}, ErrMalformed, "global")
	wantRefused(t, "constant", withSection(globalSection, 1, i64, 0, opGlobalGet, 1, opEnd), Limits{}, ErrMalformed, "global")
}

func TestLimitsHold(t *testing.T) {
	fat := func(build func(b *builder)) []byte {
		b := newBuilder()
		build(b)
		return b.wasm()
	}
	void := func(b *builder) { b.fn("", nil, nil, nil) }
	for name, c := range map[string]struct {
		limits Limits
		wasm   []byte
		words  string
	}{
		"bytes":     {Limits{FileBytes: 20}, fat(func(b *builder) { void(b); void(b) }), "bytes, the limit is 20"},
		"types":     {Limits{Types: 1}, fat(func(b *builder) { b.typ(nil, nil); b.typ(vals(i32), nil) }), "2 types"},
		"params":    {Limits{Params: 2}, fat(func(b *builder) { b.typ(vals(i32, i32, i32), nil) }), "3 parameters"},
		"results":   {Limits{Params: 2}, fat(func(b *builder) { b.typ(nil, vals(i32, i32, i32)) }), "3 parameters"},
		"imports":   {Limits{Imports: 1}, fat(func(b *builder) { b.importFunc("a", "b", nil, nil); b.importFunc("a", "c", nil, nil) }), "2 imports"},
		"functions": {Limits{Functions: 2}, fat(func(b *builder) { void(b); void(b); void(b) }), "3 functions"},
		"tables":    {Limits{Tables: 1}, fat(func(b *builder) { b.table(1, 1); b.table(1, 1) }), "2 tables"},
		"table":     {Limits{}, fat(func(b *builder) { b.table(1<<16+1, -1) }), "65537 elements in one table, the limit is 65536"},
		"memory":    {Limits{}, fat(func(b *builder) { b.memory(257, -1) }), "257 pages of memory, the limit is 256"},
		"globals": {Limits{Globals: 1}, fat(func(b *builder) {
			b.add(globalSection, ops(i32, 0, opI32Const, 0, opEnd))
			b.add(globalSection, ops(i32, 0, opI32Const, 0, opEnd))
		}), "2 globals"},
		"exports":  {Limits{Exports: 1}, fat(func(b *builder) { b.fn("a", nil, nil, nil); b.fn("b", nil, nil, nil) }), "2 exports"},
		"segments": {Limits{ElementSegments: 1}, fat(func(b *builder) { b.add(elementSection, ops(1, 0, 0)); b.add(elementSection, ops(1, 0, 0)) }), "2 element segments"},
		"elements": {Limits{Elements: 3}, fat(func(b *builder) {
			void(b)
			b.add(elementSection, ops(1, 0, 2, 0, 0))
			b.add(elementSection, ops(1, 0, 2, 0, 0))
		}), "4 elements in segments"},
		"data":       {Limits{DataSegments: 1}, fat(func(b *builder) { b.add(dataSection, ops(1, 0)); b.add(dataSection, ops(1, 0)) }), "2 data segments"},
		"body":       {Limits{BodyBytes: 10}, fnBody(repeat(10, func(int) []byte { return ops(0x01) })), "12 bytes of code in one function"},
		"locals":     {Limits{}, fnTyped(2, 1, i32, 0x90, 0x4e, i64), "10001 parameters and locals"},
		"locals2":    {Limits{}, fnTyped(2, 1, i32, 0xff, 0xff, 0xff, 0xff, 0xf, i64), "4294967296 parameters and locals"},
		"all locals": {Limits{AllLocals: 3}, fat(func(b *builder) { b.fn("", nil, nil, ops(2, i32)); b.fn("", nil, nil, ops(2, i64)) }), "4 locals in all functions"},
		"nesting":    {Limits{Nesting: 2}, fnBody(ops(opBlock, 0x40, opLoop, 0x40, opBlock, 0x40, opEnd, opEnd, opEnd)), "3 nested blocks"},
	} {
		wantRefused(t, name, c.wasm, c.limits, ErrLimit, c.words)
	}
}

func TestErrorNamesPlace(t *testing.T) {
	b := newBuilder()
	b.importFunc("env", "nop", nil, nil)
	b.fn("", nil, nil, nil)
	b.fn("", nil, nil, nil, ops(0x12, 0))
	wasm := b.wasm()
	_, err := Rewrite(wasm, Limits{})
	var e *Error
	if !errors.As(err, &e) || e.Function != 2 || wasm[e.Offset] != 0x12 {
		t.Errorf("%+v", e)
	}
	if want := "not allowed in a module: function 2, offset 0x28: instruction 0x12: tail calls are not supported"; err.Error() != want {
		t.Errorf("%q, not %q", err, want)
	}
}
