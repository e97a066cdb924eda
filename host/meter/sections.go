package meter

import "strings"

func (w *rewriter) readTypes(r *reader) {
	n := r.count()
	w.budget.check(r, types, uint64(n))
	s := &w.sections[typeSection]
	for ; n > 0; n-- {
		switch form := r.byte(); form {
		case 0x60:
		case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
			r.fail(ErrNotAllowed, "type form %#x: garbage collected types are not supported", form)
		default:
			r.malformed("type form %#x", form)
		}
		t := Signature{Params: w.readValueTypes(r), Results: w.readValueTypes(r)}
		w.types = append(w.types, t)
		s.items++
		s.body = appendFuncType(s.body, t.Params, t.Results)
	}
	w.wideTypes = make(map[string]int)
	for _, t := range w.types {
		w.blockTypes = append(w.blockTypes, w.blockTypeOf(t.Results))
	}
}

func (w *rewriter) readValueTypes(r *reader) []ValueType {
	n := r.count()
	w.budget.check(r, params, uint64(n))
	list := make([]ValueType, n)
	for i := range list {
		list[i] = r.valueType()
	}
	return list
}

// blockTypeOf encodes the type of a block without parameters that has these results.
func (w *rewriter) blockTypeOf(results []ValueType) int64 {
	switch len(results) {
	case 0:
		return emptyBlock
	case 1:
		return int64(results[0]) - 0x80
	}
	k, ok := w.wideTypes[string(results)]
	if !ok {
		k = len(w.wide)
		w.wide = append(w.wide, results)
		w.wideTypes[string(results)] = k
	}
	return int64(w.refuelType()) + 1 + int64(k)
}

func (w *rewriter) readImports(r *reader) {
	n := r.count()
	w.budget.check(r, imports, uint64(n))
	s := &w.sections[importSection]
	for ; n > 0; n-- {
		module, name := r.name(), r.name()
		if module == ImportModule {
			r.fail(ErrNotAllowed, "import of %q from %q, which is the host's", name, module)
		}
		switch kind := r.byte(); kind {
		case byte(Func):
		case byte(Table), byte(Mem), byte(Global):
			r.fail(ErrNotAllowed, "import of the %s %q from %q: only functions can be imported", Kind(kind), name, module)
		case 4:
			r.fail(ErrNotAllowed, "import of the tag %q: exceptions are not supported", name)
		default:
			r.malformed("import of kind %d", kind)
		}
		t := r.index("type", len(w.types))
		w.funcs = append(w.funcs, t)
		w.imported++
		w.module.Imports = append(w.module.Imports, Import{Module: module, Name: name, Type: w.types[t]})
		s.items++
		s.body = appendImport(s.body, module, name, t)
	}
}

func (w *rewriter) readFunctions(r *reader) {
	n := r.count()
	w.budget.check(r, functions, uint64(n))
	s := &w.sections[functionSection]
	for ; n > 0; n-- {
		t := r.index("type", len(w.types))
		w.funcs = append(w.funcs, t)
		s.items++
		s.body = appendU32(s.body, t)
	}
}

func (w *rewriter) readTables(r *reader) {
	w.tables = int(r.count())
	w.budget.check(r, tables, uint64(w.tables))
	s := &w.sections[tableSection]
	for range w.tables {
		if r.p < len(r.b) && r.b[r.p] == 0x40 {
			r.fail(ErrNotAllowed, "table with an initial value: typed function references are not supported")
		}
		t := r.refType()
		size := r.sizes(1<<32 - 1)
		w.budget.check(r, tableElements, uint64(size.Min))
		w.least += uint64(size.Min)
		w.most += min(uint64(size.Max), w.budget.max[tableElements])
		s.items++
		s.body = size.append(append(s.body, t), w.budget.max[tableElements])
	}
}

func (w *rewriter) readMemory(r *reader) {
	n := r.count()
	if n > 1 {
		r.fail(ErrNotAllowed, "%d memories: only one is supported", n)
	}
	if n == 0 {
		return
	}
	size := r.sizes(maxPages)
	w.budget.check(r, memoryPages, uint64(size.Min))
	limit := w.budget.max[memoryPages]
	w.module.Memory = &Memory{Min: size.Min, Max: min(size.Max, uint32(limit))}
	w.sections[memorySection] = section{items: 1, body: size.append(nil, limit)}
}

// sizes reads the initial and the maximum size of a table or memory. The maximum must be at most most; if there is
// none, it is most.
func (r *reader) sizes(most uint64) Memory {
	flags := r.byte()
	switch {
	case flags == 2 || flags == 3:
		r.fail(ErrNotAllowed, "shared memory: threads are not supported")
	case flags > 3:
		r.fail(ErrNotAllowed, "limits of kind %d: 64-bit memories and tables are not supported", flags)
	}
	m := Memory{Min: r.u32(), Max: uint32(min(most, 1<<32-1))}
	if flags == 1 {
		m.Max = r.u32()
	}
	if m.Min > m.Max || uint64(m.Max) > most {
		r.malformed("sizes from %d to %d, the most possible is %d", m.Min, m.Max, most)
	}
	return m
}

// append encodes the sizes. The maximum is at most limit.
func (m Memory) append(b []byte, limit uint64) []byte {
	b = appendU32(append(b, 1), m.Min)
	return appendU32(b, min(m.Max, uint32(limit)))
}

func (w *rewriter) readGlobals(r *reader) {
	w.globals = int(r.count())
	w.budget.check(r, globals, uint64(w.globals))
	s := &w.sections[globalSection]
	for range w.globals {
		t, mutable := r.valueType(), r.byte()
		if mutable > 1 {
			r.malformed("global of kind %d", mutable)
		}
		s.items++
		s.body = w.constant(r, append(s.body, t, mutable))
		if mutable == 1 {
			w.state.global(uint32(s.items-1), t)
		}
	}
}

func (w *rewriter) readExports(r *reader) {
	n := r.count()
	w.budget.check(r, exports, uint64(n))
	s := &w.sections[exportSection]
	seen := make(map[string]bool, n)
	for ; n > 0; n-- {
		e := Export{Name: r.name(), Kind: Kind(r.byte())}
		var i uint32
		switch e.Kind {
		case Func:
			i = r.index("function", len(w.funcs))
			e.Type = w.types[w.funcs[i]]
			i = w.declare(i)
		case Table:
			i = r.index("table", w.tables)
		case Mem:
			i = r.index("memory", w.sections[memorySection].items)
		case Global:
			i = r.index("global", w.globals)
		case 4:
			r.fail(ErrNotAllowed, "export of the tag %q: exceptions are not supported", e.Name)
		default:
			r.malformed("export of kind %d", byte(e.Kind))
		}
		if strings.HasPrefix(e.Name, ImportModule) {
			r.fail(ErrNotAllowed, "export of %q: names that begin with %q are the host's", e.Name, ImportModule)
		}
		if seen[e.Name] {
			r.malformed("export of %q twice", e.Name)
		}
		seen[e.Name] = true
		w.module.Exports = append(w.module.Exports, e)
		s.items++
		s.body = appendExport(s.body, e.Name, e.Kind, i)
	}
}

func (w *rewriter) readStart(r *reader) {
	f := r.index("function", len(w.funcs))
	if t := w.types[w.funcs[f]]; len(t.Params)+len(t.Results) > 0 {
		r.malformed("start function of type %v", t)
	}
	w.startFunc = int(f)
	w.module.Start = true
}
