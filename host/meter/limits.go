package meter

import "time"

// Limits limit the work of the compiler for a module, and the size of an instance before it runs. A field of zero or
// less means the default, which is in parentheses. The defaults are large enough for guests in C, Rust, Go and
// AssemblyScript, and for interpreters of scripting languages.
type Limits struct {
	FileBytes       int // bytes of the binary, before it is rewritten (16 MiB)
	Types           int // function types (10,000)
	Params          int // parameters of one function type, and its results (1,000)
	Imports         int // imported functions (1,000)
	Functions       int // functions, without those that are imported (50,000)
	Tables          int // tables (16)
	TableElements   int // initial elements of one table; a larger maximum becomes this one (65,536)
	MemoryPages     int // initial pages of 64 KiB; a larger maximum becomes this one (256: 16 MiB)
	Globals         int // globals (10,000)
	Exports         int // exports (10,000)
	ElementSegments int // element segments (10,000)
	Elements        int // elements of all element segments together (1,000,000)
	DataSegments    int // data segments (100,000, the most that the Go linker makes)
	BodyBytes       int // bytes of code of one function (512 KiB)
	Locals          int // parameters and locals of one function (10,000)
	AllLocals       int // locals of all functions together, which a decoded module has one by one (1,000,000)
	Nesting         int // blocks within blocks of one function (5,000)

	// CompileTime limits an estimate of the time to compile the module on one core (5 s). The estimate is proportional
	// to the amount of code, and grows faster with the branches, locals, br_table targets and passed values of one
	// function. It is not the real time, but a module has the same estimate on every machine: 1.2 s for a Go program
	// that uses fmt, and 10 s for one that uses net/http and go/types.
	CompileTime time.Duration

	// CallDepth is the maximum number of frames on the stack of one call (8,000). It is enforced when the module runs.
	CallDepth int
}

// limit is the index of a limit in the tables below, in the order of the fields of Limits.
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
	allLocals
	nesting
	compileMillis
	limitCount
)

var limitNames = [limitCount]string{
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
	allLocals:       "locals in all functions",
	nesting:         "nested blocks in one function",
	compileMillis:   "estimated milliseconds to compile",
}

func (l *Limits) values() [limitCount]uint64 {
	or := func(n, fallback int) uint64 {
		if n <= 0 {
			n = fallback
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
		allLocals:       or(l.AllLocals, 1_000_000),
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

// maxPages is the number of pages that 32-bit addresses can reach.
const maxPages = 1 << 16

// budget has the limits of a module and the part of each that the module uses.
type budget struct {
	max, used [limitCount]uint64
}

// check records that one part of the module uses n, and fails if n is over the limit.
func (b *budget) check(r *reader, l limit, n uint64) {
	b.used[l] = max(b.used[l], n)
	if n > b.max[l] {
		r.fail(ErrLimit, "%d %s, the limit is %d", n, limitNames[l], b.max[l])
	}
}

// add adds n to the use of the whole module, and fails if the sum is over the limit.
func (b *budget) add(r *reader, l limit, n uint64) { b.check(r, l, b.used[l]+n) }

func (b *budget) usage() []Usage {
	u := make([]Usage, limitCount)
	for l := range u {
		u[l] = Usage{Limit: limitNames[l], Used: b.used[l], Max: b.max[l]}
	}
	return u
}
