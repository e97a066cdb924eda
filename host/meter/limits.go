package meter

// Limits bound what a module may ask of the compiler and of an instance before it runs. In every field zero
// means the default, which is in parentheses; a negative number is as zero. The defaults fit guests in C, Rust, Go, AssemblyScript and
// interpreters of scripting languages, and hold the time to compile the worst module known to a few seconds.
type Limits struct {
	FileBytes       int // the binary as it was handed in (16 MiB)
	Types           int // function types (10,000)
	Imports         int // imported functions (1,000)
	Functions       int // functions with a body (50,000)
	Tables          int // tables (16)
	TableElements   int // elements of one table; a larger maximum is lowered to it (65,536)
	MemoryPages     int // pages of 64 KiB; a larger maximum is lowered to it (256, which is 16 MiB)
	Globals         int // globals (10,000)
	Exports         int // exports (10,000)
	ElementSegments int // element segments (10,000)
	Elements        int // elements of all element segments (1,000,000)
	DataSegments    int // data segments (10,000)
	BodyBytes       int // code of one function (512 KiB)
	Locals          int // parameters and locals of one function (10,000)
	Nesting         int // blocks within blocks of one function (1,000)
	BlocksLocals    int // blocks and conditional branches times locals, of one function (16,000,000)
	BranchTargets   int // targets of all br_table of the module (500,000)
	CallDepth       int // frames on the stack of one call (8,000)
}
