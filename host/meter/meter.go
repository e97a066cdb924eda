// Package meter makes a guest module safe to run before it is compiled. It is a security boundary: bytes in,
// bytes out, no runtime, no state, nothing of ours imported.
//
// [Rewrite] reads a WebAssembly binary strictly, refuses what the features or the [Limits] do not allow, and
// writes a module that does the same as the guest's own, except that it cannot run, recurse or grow unseen:
//
//   - Every function entry and every turn of a loop pays for the instructions that follow it, and again after some
//     thousand units; bulk memory and table operations and the two grows pay for their size as well. A charge that
//     leaves the fuel below zero calls the host, but for that of a function that comes to a loop before anything else:
//     there the loop asks for both.
//   - Bulk operations move 64 KiB of memory at a time.
//   - Functions that call others count the frames they stand on and trap when there are too many.
//   - Memory and tables get a maximum, no larger than the limit.
//   - The start section is gone: the host calls the start function when it has a budget for it.
//   - Custom sections are gone, but for the names of functions.
//   - Nothing but functions is imported.
//
// # What the host does
//
// The rewritten module imports one function more than the guest did and exports up to four names more:
//
//	import  moot_meter.refuel (left i64) -> i64   function, see below
//	export  moot_meter_fuel                       mutable global i64: fuel left; 0 in a new instance
//	export  moot_meter_depth                      mutable global i64: frames left; Limits.CallDepth in a new instance
//	export  moot_meter_room                       mutable global i64: bytes left for large frames; FirstRoom in a new instance
//	export  moot_meter_start                      function () -> (): only if the module has a start function
//
// A guest that imports from [ImportModule] or exports a name that begins with it is refused, so these names are
// the host's alone. Guest code cannot name the added function, types, globals or locals: every index is checked
// against the guest's own numbering before it is moved to the new one.
//
// Fuel. An instruction costs 1 unit, or as much more as it can be made to take longer than others: a load or a store 16,
// a call that may be the host's 64, and 16 bytes or two table elements of a bulk operation 1. Fuel paces the checks and
// is no measure of time: the host hands out slices and looks at the clock at each, see [Slice]. When a charge leaves the
// fuel below zero
// the guest calls refuel with what is left (negative: the debt). What refuel returns becomes the fuel, and the guest
// runs on; returning 0 is allowed and brings the next call at the next charge, and what is below 0 is asked for again
// at once. To stop the guest, refuel panics: the panic comes out of the exported function's Call as its error, and the
// instance must be discarded. The work that one charge pays for is at most [MaxCharge] units.
//
// Before each call the host may set the fuel to a slice; left alone it carries on from the last call, which
// is as safe. Host functions that work on a guest's behalf subtract from the same global.
// Code that runs while no fuel was set (data segments, table segments) is bounded by the limits.
//
// Depth. The count is right again after every return, so the host need not touch it. When a call ends with a trap, a
// panic in a host function or an exit, the globals are whatever they were in the middle: discard the instance. If the
// depth is then below zero, the reason was the call depth ("unreachable" is what the runtime says); a guest's own trap
// leaves it at zero or more. A function counts one frame, and one more for every 32 parameters and locals it has; one
// that calls nothing is not counted.
//
// Room. The runtime doubles a stack by copying all of it at once, and only the runtime knows how large the frame of a
// function is. So a function whose frame may be large takes what it may be at most from the room as well. When the room
// is below zero the guest calls refuel, which looks at how large the stack is, and either sets the room to [Room] or panics;
// where it does neither the guest traps. After every return the room is what it was before the call.
//
// Start. Instantiate with no start functions, then call the export [StartExport] if [Module.Start] says there is
// one, then _initialize: each under a budget of its own, with refuel working. Instantiation itself runs no guest code.
//
// What remains the host's job: the page limit and the deadline, refusing imports it does not grant, the signatures of
// exports, an allocator that does not commit memory it was not asked for, discarding instances. The runtime must be
// configured with WebAssembly 2.0 features and no more.
package meter

import "fmt"

// Names that the rewritten module adds. No guest may use ImportModule as a module to import from, nor export
// a name that begins with it.
const (
	ImportModule = "moot_meter"
	RefuelImport = "refuel"           // function (left i64) -> i64
	FuelExport   = "moot_meter_fuel"  // mutable global i64
	DepthExport  = "moot_meter_depth" // mutable global i64
	RoomExport   = "moot_meter_room"  // mutable global i64
	StartExport  = "moot_meter_start" // function () -> ()
)

// ManifestSection is the custom section whose content [Module.Manifest] hands back.
const ManifestSection = "moot.manifest"

// Slice is the most fuel to give at a time. A guest cannot be stopped before it has used it up and what it then pays at
// once, nor can the garbage collector stop the world. Ordinary code takes some microseconds for it, and the worst known 2 ms:
// 8,448 accesses to memory that miss every cache and the page table's. The first touch of a page may take as long as ten
// of these: where a guest may touch many for the first time, a Slice is too much.
const Slice = 1 << 17

// A Module is what Rewrite made, and what there is to know of it without compiling it. It holds no
// memory of the input; the caller owns it.
type Module struct {
	Wasm     []byte   // the rewritten binary
	Imports  []Import // the guest's own, in order; refuel is not among them
	Exports  []Export // the guest's own, in order
	Memory   *Memory  // nil without a memory
	Start    bool     // StartExport exists and is to be called before anything else
	Manifest []byte   // content of the custom section moot.manifest; nil without one
	Usage    []Usage  // what the module uses of each limit, in the order of Limits
}

// Import is one function that the guest asks for. Other kinds of import are refused.
type Import struct {
	Module, Name string
	Type         Signature
}

// Export is one name that the guest gives.
type Export struct {
	Name string
	Kind Kind
	Type Signature // of a Func; zero for the other kinds
}

// Kind is what an export is, numbered as in the binary format (and as in wazero's api.ExternType).
type Kind byte

// The kinds of export.
const (
	Func Kind = iota
	Table
	Mem
	Global
)

// String returns the word the text format has for k.
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

// String returns the signature in one canonical form, such as "(i32, i64) -> (i32)" or "() -> ()"; two signatures
// are equal if their strings are.
func (s Signature) String() string {
	return typeList(s.Params) + " -> " + typeList(s.Results)
}

// Memory is the size a memory starts with and the largest it may grow to, in pages of 64 KiB. Max is at most
// Limits.MemoryPages, whatever the guest declared.
type Memory struct {
	Min, Max uint32
}

// Usage is how much of one limit a module uses. Have is the sum over the module where the limit is for the module,
// else the largest of its functions, tables or memories.
type Usage struct {
	Limit     string // the words of the error that would say it is exceeded
	Have, Max uint64
}
