package meter

import (
	"slices"
	"strconv"
)

// state is where an instance keeps state between two calls, besides its memory.
type state struct {
	globals    []uint32 // indices of the mutable globals of number types
	references bool     // there are mutable globals of other types
	vectors    bool
	tables     bool // the code changes tables, or drops element segments
	segments   bool // the code copies or drops data segments
	passive    bool // there are passive data segments
}

// maxMutable is the maximum number of mutable globals in Module.Globals. Compilers need about twenty.
const maxMutable = 256

// global adds a mutable global.
func (s *state) global(i uint32, t ValueType) {
	switch t {
	case funcref, externref:
		s.references = true
	case v128: // wazero's api sets only half of one
		s.vectors = true
	default:
		s.globals = append(s.globals, i)
	}
}

// instr adds an instruction of the code.
func (s *state) instr(op uint16) {
	switch op {
	case opTableSet, opTableInit, opElemDrop, opTableCopy, opTableGrow, opTableFill:
		s.tables = true
	case opMemoryInit, opDataDrop:
		s.segments = true
	}
}

// describe sets Globals and Unsaved of the module.
func (s *state) describe(m *Module) {
	for _, is := range []struct {
		so   bool
		what string
	}{
		{s.tables, "writes to tables"},
		{s.segments, "copies or drops data segments"},
		{s.passive, "has passive data segments"},
		{s.references, "has mutable globals that are references"},
		{s.vectors, "has mutable globals that are vectors"},
		{len(s.globals) > maxMutable, "has more than " + strconv.Itoa(maxMutable) + " mutable globals"},
	} {
		if is.so {
			m.Unsaved = append(m.Unsaved, is.what)
		}
	}
	if m.Unsaved != nil {
		return
	}
	for _, i := range s.globals {
		m.Globals = append(m.Globals, GlobalExport+strconv.Itoa(int(i)))
	}
	m.Globals = slices.Clip(m.Globals)
}
