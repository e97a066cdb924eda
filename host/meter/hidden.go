package meter

// This file defines the indices of the items that the rewriter adds. The import of refuel follows the imports of the
// guest, so the indices of the guest's functions with a body grow by one. All other added items follow those of the
// guest.

func (w *rewriter) refuelType() uint32  { return uint32(len(w.types)) }
func (w *rewriter) refuelFunc() uint32  { return uint32(w.imported) }
func (w *rewriter) fuelGlobal() uint32  { return uint32(w.globals) }
func (w *rewriter) depthGlobal() uint32 { return uint32(w.globals) + 1 }
func (w *rewriter) stackGlobal() uint32 { return uint32(w.globals) + 2 }

// funcIndex translates an index of a function of the guest to the index in the output.
func (w *rewriter) funcIndex(f uint32) uint32 {
	if int(f) >= w.imported {
		return f + 1
	}
	return f
}

// addHidden appends the items that the rewriter adds to section id.
func (w *rewriter) addHidden(id byte, s *section) {
	switch id {
	case typeSection:
		s.items += 1 + len(w.wide)
		s.body = appendFuncType(s.body, []ValueType{i64}, []ValueType{i64})
		for _, results := range w.wide {
			s.body = appendFuncType(s.body, nil, results)
		}
		if len(w.movers) > 0 {
			s.items += 2
			s.body = appendFuncType(s.body, []ValueType{i32, i32, i32}, []ValueType{i32, i32})
			s.body = appendFuncType(s.body, []ValueType{i32, i32}, []ValueType{i32, i32})
		}
	case importSection:
		s.items++
		s.body = appendImport(s.body, ImportModule, RefuelImport, w.refuelType())
	case functionSection:
		s.items += len(w.movers)
		for range w.movers {
			s.body = appendU32(s.body, w.moverType())
		}
	case codeSection:
		s.items += len(w.movers)
		for _, m := range w.movers {
			s.body = w.appendMover(s.body, m)
		}
	case globalSection:
		s.items += 3
		s.body = appendCounter(s.body, 0)
		s.body = appendCounter(s.body, w.callDepth)
		s.body = appendCounter(s.body, FirstStackBudget)
	case exportSection:
		s.items += 3
		s.body = appendExport(s.body, FuelExport, Global, w.fuelGlobal())
		s.body = appendExport(s.body, DepthExport, Global, w.depthGlobal())
		s.body = appendExport(s.body, StackExport, Global, w.stackGlobal())
		for i, name := range w.module.Globals {
			s.items++
			s.body = appendExport(s.body, name, Global, w.state.globals[i])
		}
		if w.startFunc >= 0 {
			s.items++
			s.body = appendExport(s.body, StartExport, Func, w.funcIndex(uint32(w.startFunc)))
		}
	}
}

func appendFuncType(b []byte, params, results []ValueType) []byte {
	b = append(appendU32(append(b, 0x60), uint32(len(params))), params...)
	return append(appendU32(b, uint32(len(results))), results...)
}

func appendImport(b []byte, module, name string, t uint32) []byte {
	b = appendName(appendName(b, module), name)
	return appendU32(append(b, byte(Func)), t)
}

func appendExport(b []byte, name string, kind Kind, i uint32) []byte {
	return appendU32(append(appendName(b, name), byte(kind)), i)
}

// appendCounter appends a mutable global of type i64 with the initial value v.
func appendCounter(b []byte, v int64) []byte {
	b = append(b, i64, 1, opI64Const)
	return append(appendSigned(b, v), opEnd)
}
