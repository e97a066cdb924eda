package meter

// builder encodes modules.
type builder struct {
	sections map[byte]*section
	sigs     map[string]uint32
	imports  uint32
	funcs    uint32
}

func newBuilder() *builder {
	return &builder{sections: map[byte]*section{}, sigs: map[string]uint32{}}
}

func (b *builder) add(id byte, item []byte) uint32 {
	s := b.sections[id]
	if s == nil {
		s = &section{}
		b.sections[id] = s
	}
	s.items++
	s.body = append(s.body, item...)
	return uint32(s.items - 1)
}

// vals returns a list of types.
func vals(types ...ValueType) []ValueType { return types }

func (b *builder) typ(params, results []ValueType) uint32 {
	item := appendFuncType(nil, params, results)
	t, ok := b.sigs[string(item)]
	if !ok {
		t = b.add(typeSection, item)
		b.sigs[string(item)] = t
	}
	return t
}

// importFunc adds an imported function and returns its index. Call it before fn.
func (b *builder) importFunc(module, name string, params, results []ValueType) uint32 {
	b.imports++
	return b.add(importSection, appendImport(nil, module, name, b.typ(params, results)))
}

// fn adds a function and returns its index. If name is not empty, the function is exported. The code is without its
// last end. Locals are pairs of a count and a type.
func (b *builder) fn(name string, params, results []ValueType, locals []byte, code ...[]byte) uint32 {
	b.add(functionSection, appendU32(nil, b.typ(params, results)))
	body := append([]byte{byte(len(locals) / 2)}, locals...)
	for _, c := range code {
		body = append(body, c...)
	}
	return b.body(name, append(body, opEnd))
}

// body adds an encoded body. The function must be declared already.
func (b *builder) body(name string, body []byte) uint32 {
	b.add(codeSection, append(appendU32(nil, uint32(len(body))), body...))
	f := b.imports + b.funcs
	b.funcs++
	if name != "" {
		b.export(name, Func, f)
	}
	return f
}

func (b *builder) export(name string, kind Kind, i uint32) {
	b.add(exportSection, appendExport(nil, name, kind, i))
}

// memory adds a memory with the given number of initial pages. If most is negative, it has no maximum.
func (b *builder) memory(pages uint32, most int) { b.add(memorySection, sizes(pages, most)) }

func (b *builder) table(elements uint32, most int) {
	b.add(tableSection, append([]byte{funcref}, sizes(elements, most)...))
}

func sizes(least uint32, most int) []byte {
	if most < 0 {
		return appendU32([]byte{0}, least)
	}
	return appendU32(appendU32([]byte{1}, least), uint32(most))
}

// raw replaces a section by the given content.
func (b *builder) raw(id byte, items int, body ...byte) *builder {
	b.sections[id] = &section{items: items, body: body}
	return b
}

// start sets the start function.
func (b *builder) start(f uint32) { b.raw(startSection, int(f)) }

func (b *builder) wasm() []byte {
	out := []byte(magic)
	for _, id := range sectionOrder {
		if s := b.sections[id]; s != nil {
			out = appendSection(out, id, append(appendU32(nil, uint32(s.items)), s.body...))
		}
	}
	return out
}

func appendSection(out []byte, id byte, body []byte) []byte {
	return append(appendU32(append(out, id), uint32(len(body))), body...)
}

func appendCustom(out []byte, name string, content []byte) []byte {
	return appendSection(out, customSection, append(appendName(nil, name), content...))
}

// ops returns code of these bytes.
func ops(b ...byte) []byte { return b }

// at returns an instruction with one index.
func at(op byte, i uint32) []byte { return appendU32([]byte{op}, i) }

func i32c(v int32) []byte { return appendSigned([]byte{opI32Const}, int64(v)) }
func i64c(v int64) []byte { return appendSigned([]byte{opI64Const}, v) }

// cat concatenates code.
func cat(code ...[]byte) []byte {
	var out []byte
	for _, c := range code {
		out = append(out, c...)
	}
	return out
}

// repeat concatenates the code for 0 to n-1.
func repeat(n int, code func(i int) []byte) []byte {
	var out []byte
	for i := range n {
		out = append(out, code(i)...)
	}
	return out
}
