// Package meter makes a WebAssembly module safe to run before the module is compiled. It is a security boundary. The
// package takes and returns bytes, needs no runtime, keeps no state and imports no other package of this repository.
//
// [Rewrite] parses a binary strictly, and refuses modules that exceed [Limits] or use unsupported features. It writes a
// module that computes the same results as the guest's, with these differences:
//
//   - Each region of code pays for its instructions in units of fuel before it runs. A region begins at the entry of a
//     function, at each iteration of a loop, and where a region would cost more than [MaxCharge]. Bulk operations and
//     growth of memory and tables pay for their size as well. A charge that leaves the fuel below zero calls the host.
//     Only one charge has no check of its own: the charge at the entry of a function that always reaches a loop first.
//     The check at the head of that loop covers both charges.
//   - Bulk operations move at most 64 KiB of memory between two charges.
//   - A function that calls others counts its frames, and traps when the stack has too many.
//   - A function that may have a large stack frame counts the bytes of it.
//   - Memory and tables have a maximum, at most that of the limits.
//   - There is no start section: the host calls the start function after it has set the fuel.
//   - There are no custom sections, except for the names of functions.
//   - Only functions are imported.
//
// # Interface to the host
//
// The rewritten module has one import and some exports that the guest's module does not have:
//
//	import  moot_meter.refuel (left i64) -> i64   function, see below
//	export  moot_meter_fuel                       mutable global i64: fuel left; 0 in a new instance
//	export  moot_meter_depth                      mutable global i64: frames left; Limits.CallDepth in a new instance
//	export  moot_meter_stack                      mutable global i64: bytes left for large frames; FirstStackBudget in a new instance
//	export  moot_meter_start                      function () -> (): only if the module has a start function
//	export  moot_meter_global_N                   the guest's mutable global N, see below
//
// Rewrite refuses a guest that imports from [ImportModule] or exports a name that begins with it, so these names belong
// to the host. A guest cannot refer to the functions, types, globals and locals that the rewriter adds: each index is
// checked against the number of items that the guest has declared, and then renumbered.
//
// Fuel. A plain instruction costs 1 unit. Instructions that can take longer cost more: a load or a store costs 16, a
// call of a host function or an indirect call 64, and a bulk operation 1 for 16 bytes or two table elements. Fuel does
// not measure time. It determines how often the guest calls the host, and the host checks the clock at each call: see
// [Slice]. When a charge leaves the fuel below zero, the guest calls refuel with the remaining fuel, whose negative
// value is the debt. The result of refuel becomes the fuel, and the guest continues. The result 0 is allowed: the next
// charge calls refuel again. After a negative result a loop calls refuel again at once; other code continues to its
// next charge, which calls refuel. To stop the guest, refuel panics. The exported function that the host called then
// returns the panic as its error, and the host must discard the instance.
//
// The host may set the fuel before each call. Otherwise the guest continues with the fuel that the last call left,
// which is equally safe. A host function that works for the guest subtracts its cost from the same global.
// Instantiation copies element segments, and the data segments that are still in the module, without a charge and
// without a pause; the limits bound them. [RewriteCode] leaves data segments to the host, except in a module whose code
// refers to data segments.
//
// Depth. A return restores the count, so the host need not set it. A trap, a panic in a host function or an exit does
// not restore the globals: discard the instance. If the depth is then below zero, the call depth caused the trap,
// although the runtime reports "unreachable". After a trap of the guest's own code, the depth is zero or more. A
// function counts one frame, and one more for each 32 parameters and locals. A function that calls no other function is
// not counted.
//
// Stack. The runtime grows a stack by copying it to one twice as large, without a pause, and only the runtime knows the
// size of a function's frame. Therefore a function whose frame may be large subtracts an upper estimate of it from the
// stack budget. When the budget is below zero, the guest calls refuel. The host then checks the size of the stack, and
// either sets the budget to [StackBudget] or panics. If it does neither, the guest traps. A return restores the budget.
//
// Start. The host instantiates without start functions. Then it calls the export [StartExport], if [Module.Start] is
// true, and _initialize, with fuel for each. Instantiation runs no guest code.
//
// State. Between two calls the state of an instance is its memory, its mutable globals and its tables, and which of its
// segments are dropped. The mutable globals are exported, so that the host can save them with the memory and restore
// both in another instance. [Module.Unsaved] lists the parts of the state that such a copy would not have. If it is
// empty, a copy is complete.
//
// The host remains responsible for the page limit of the runtime, the deadline, refusing imports that are not granted,
// checking the signatures of exports, an allocator that does not commit memory before it is used, and discarding
// instances. Configure the runtime with the features of WebAssembly 2.0 and no others.
package meter

import "fmt"

// Names of the items that the rewriter adds. Rewrite refuses a guest that imports from ImportModule, or exports a name
// that begins with it.
const (
	ImportModule = "moot_meter"
	RefuelImport = "refuel"           // function (left i64) -> i64
	FuelExport   = "moot_meter_fuel"  // mutable global i64
	DepthExport  = "moot_meter_depth" // mutable global i64
	StackExport  = "moot_meter_stack" // mutable global i64
	StartExport  = "moot_meter_start" // function () -> ()

	GlobalExport = "moot_meter_global_" // and a number: a mutable global of the guest
)

// ManifestSection is the name of the custom section whose content is [Module.Manifest].
const ManifestSection = "moot.manifest"

// Slice is the maximum fuel that the host should give at a time. Nothing can stop the guest until it has used up the
// slice and the charge that exceeds it; the garbage collector waits until then. Ordinary code uses up a slice in some
// microseconds. The worst known code takes 2 ms, for 8,448 accesses to memory that miss all caches and the TLB. The
// first access to a page may take ten times as long as such a miss, so give less fuel to a guest that may access many
// pages for the first time.
const Slice = 1 << 17

// Module is a rewritten module and the facts about it that are known without compiling it. The caller owns it: it
// shares no memory with the input.
type Module struct {
	Wasm     []byte   // the rewritten binary
	Imports  []Import // of the guest, in order, without refuel
	Exports  []Export // of the guest, in order, without those that the rewriter adds
	Memory   *Memory  // nil if the module has none
	Data     []Data   // of RewriteCode, in the order in which they are to be copied
	Globals  []string // exports of the guest's mutable globals of number types; nil if Unsaved is not empty
	Unsaved  []string // state that neither the memory nor Globals have, such as "writes to tables"; nil: there is none
	Start    bool     // StartExport exists: the host calls it before any other function
	TypeSize int      // bytes of the type section of Wasm
	Decoded  int64    // estimate of the bytes of elements, exports, functions and globals in a decoded module
	Instance int64    // estimate of the bytes of tables, function references and globals in an instance, outside of its memory
	Manifest []byte   // the content of the custom section ManifestSection; nil if there is none
	Usage    []Usage  // of each limit but Limits.CallDepth, in the order of Limits
}

// Import is a function that the guest imports. Rewrite refuses imports of other kinds.
type Import struct {
	Module, Name string
	Type         Signature
}

// Export is one export of the guest.
type Export struct {
	Name string
	Kind Kind
	Type Signature // of a Func; zero for the other kinds
}

// Kind is the kind of an export, numbered as in the binary format and in wazero's api.ExternType.
type Kind byte

// The kinds of exports.
const (
	Func Kind = iota
	Table
	Mem
	Global
)

// String returns the keyword of the text format for k.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// ValueType is the binary format's byte for a type, the same as wazero's api.ValueType.
type ValueType = byte

// Signature is the type of a function.
type Signature struct {
	Params, Results []ValueType
}

// String returns the signature in a canonical form, such as "(i32, i64) -> (i32)" or "() -> ()". Two signatures are
// equal if and only if their strings are equal.
func (s Signature) String() string {
	return typeList(s.Params) + " -> " + typeList(s.Results)
}

// Memory is the initial and the maximum size of a memory, in pages of 64 KiB. Max is at most Limits.MemoryPages, even
// if the guest declares a larger maximum or none.
type Memory struct {
	Min, Max uint32
}

// Data is content that a new memory has at an offset.
type Data struct {
	Offset uint32
	Bytes  []byte
}

// Usage is the part of one limit that a module uses. If the limit applies to the whole module, Used is a sum; otherwise
// it is the largest value of a function, a type or a table.
type Usage struct {
	Limit     string // as in the error for a module that exceeds it
	Used, Max uint64
}
