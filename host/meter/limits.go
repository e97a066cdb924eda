package meter

import "time"

// Limits bound what a module may ask of the compiler and of an instance before it runs. In every field zero or less
// means the default, which is in parentheses. The defaults fit guests in C, Rust, Go and AssemblyScript, and
// interpreters of scripting languages.
type Limits struct {
	FileBytes       int // bytes of the binary as it was handed in (16 MiB)
	Types           int // function types (10,000)
	Params          int // parameters, and results, of one function type (1,000)
	Imports         int // imported functions (1,000)
	Functions       int // functions with a body (50,000)
	Tables          int // tables (16)
	TableElements   int // elements of one table; a larger maximum is lowered to it (65,536)
	MemoryPages     int // pages of 64 KiB; a larger maximum is lowered to it (256, which is 16 MiB)
	Globals         int // globals (10,000)
	Exports         int // exports (10,000)
	ElementSegments int // element segments (10,000)
	Elements        int // elements of all element segments (1,000,000)
	DataSegments    int // data segments (100,000, the most that Go links)
	BodyBytes       int // bytes of code of one function (512 KiB)
	Locals          int // parameters and locals of one function (10,000)
	Nesting         int // blocks within blocks of one function (5,000)

	// CompileTime bounds an estimate of what the compiler will need on one core (5 s). It grows with the code, and
	// much faster with the branches, locals, br_table targets and values passed in one function; the estimate is not
	// the time it really takes, but the same module always has the same. A Go program with fmt is at 1.2 s, one with
	// net/http and go/types at 10 s.
	CompileTime time.Duration

	// CallDepth is how many frames the stack of one call may have (8,000). It limits the calls, not the module.
	CallDepth int
}

// limit is the place of one of them in the tables below.
type limit int

const (
	fileBytes limit = iota
	types
	params
	imports
	functions
	tables
	tableElements
	memoryPages
	globals
	exports
	elementSegments
	elements
	dataSegments
	bodyBytes
	locals
	nesting
	compileMillis
	limitCount
)

var limitWords = [limitCount]string{
	fileBytes:       "bytes",
	types:           "types",
	params:          "parameters or results of one type",
	imports:         "imports",
	functions:       "functions",
	tables:          "tables",
	tableElements:   "elements in one table",
	memoryPages:     "pages of memory",
	globals:         "globals",
	exports:         "exports",
	elementSegments: "element segments",
	elements:        "elements in segments",
	dataSegments:    "data segments",
	bodyBytes:       "bytes of code in one function",
	locals:          "parameters and locals in one function",
	nesting:         "nested blocks in one function",
	compileMillis:   "estimated milliseconds to compile",
}

func (l *Limits) values() [limitCount]uint64 {
	or := func(n, byDefault int) uint64 {
		if n <= 0 {
			n = byDefault
		}
		return uint64(n)
	}
	return [limitCount]uint64{
		fileBytes:       or(l.FileBytes, 16<<20),
		types:           or(l.Types, 10_000),
		params:          or(l.Params, 1_000),
		imports:         or(l.Imports, 1_000),
		functions:       or(l.Functions, 50_000),
		tables:          or(l.Tables, 16),
		tableElements:   min(or(l.TableElements, 1<<16), 1<<27),
		memoryPages:     min(or(l.MemoryPages, 256), maxPages),
		globals:         or(l.Globals, 10_000),
		exports:         or(l.Exports, 10_000),
		elementSegments: or(l.ElementSegments, 10_000),
		elements:        or(l.Elements, 1_000_000),
		dataSegments:    or(l.DataSegments, 100_000),
		bodyBytes:       or(l.BodyBytes, 512<<10),
		locals:          or(l.Locals, 10_000),
		nesting:         or(l.Nesting, 5_000),
		compileMillis:   or(int(l.CompileTime.Milliseconds()), 5_000),
	}
}

func (l *Limits) callDepth() int64 {
	if l.CallDepth <= 0 {
		return 8_000
	}
	return int64(l.CallDepth)
}

// maxPages is the most that 32 bits of address can reach.
const maxPages = 1 << 16

// budget holds what a module has used of each limit.
type budget struct {
	max, have [limitCount]uint64
}

// atMost records that one thing of the kind has n, and fails if that is too many.
func (b *budget) atMost(r *reader, l limit, n uint64) {
	b.have[l] = max(b.have[l], n)
	if n > b.max[l] {
		r.fail(ErrLimit, "%d %s, the limit is %d", n, limitWords[l], b.max[l])
	}
}

// add records n more of the kind in the whole module, and fails if that is too many.
func (b *budget) add(r *reader, l limit, n uint64) { b.atMost(r, l, b.have[l]+n) }

func (b *budget) usage() []Usage {
	u := make([]Usage, limitCount)
	for l := range u {
		u[l] = Usage{Limit: limitWords[l], Have: b.have[l], Max: b.max[l]}
	}
	return u
}
