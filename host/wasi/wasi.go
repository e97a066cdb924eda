// Package wasi implements WASI preview 1 for guests without any grants. A guest can import all functions of
// wasi_snapshot_preview1, because compilers add such imports to every program. None of them gives access to files,
// sockets, environment or arguments of the host.
//
// A guest has:
//
//   - File descriptors 0, 1 and 2. Any other descriptor, and any path, is answered with EBADF. Descriptor 0 is at its end.
//     Text written to 1 and 2 becomes lines, see [Output].
//   - No arguments, no environment and no preopened directories.
//   - The real-time clock, a monotonic clock, and random bytes, at most [MaxRandom] at a time.
//   - Sleep with poll_oneoff, within the time that the call has left.
//   - proc_exit, which ends the call with wazero's *sys.ExitError. The instance must be discarded, whatever the exit code.
//
// Each function limits its work, and charges the guest for the bytes that it moves. If a pointer is outside of the
// guest's memory, the function answers with EFAULT and writes nothing. The upper halves of i32 parameters are ignored,
// because compiled code may leave any bits there.
//
// The package has no state: the state of an instance is in its [Guest]. Functions may be called concurrently for
// different guests, but not for the same one.
package wasi

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the module from which guests import these functions.
const ModuleName = "wasi_snapshot_preview1"

// Guest is the instance that calls a function. Its methods are called only during the call, on the call's goroutine.
type Guest interface {
	// Charge charges the guest for n copied bytes.
	Charge(n uint32)
	// Sleep returns after d, which is not negative. If less time is left for the call, Sleep may return earlier, or end
	// the call with a panic.
	Sleep(d time.Duration)
	// Line receives one line of output: valid UTF-8 of at most MaxLine bytes, without the line end.
	Line(stream Stream, text string)
	// Output returns the Output of the instance.
	Output() *Output
}

// Function is one function of preview 1.
type Function struct {
	Params, Results []api.ValueType
	// Call calls the function for a guest. stack contains the parameters, and has space for at least one result. memory
	// is the memory that the guest exports, or nil if it exports none.
	Call func(g Guest, memory api.Memory, stack []uint64)
}

// Lookup returns the function with that name. ok is false if preview 1 has no such function.
func Lookup(name string) (f Function, ok bool) {
	for _, d := range functions() {
		if d.name == name {
			return d.function(), true
		}
	}
	return Function{}, false
}

// Names returns the names of all functions, in the order of the specification.
func Names() []string {
	var names []string
	for _, d := range functions() {
		names = append(names, d.name)
	}
	return names
}

// Instantiate adds a host module with all functions to rt. guest returns the guest for the context of its call; it must
// not return nil. To provide only the imported functions, use Lookup instead.
func Instantiate(ctx context.Context, rt wazero.Runtime, guest func(context.Context) Guest) error {
	b := rt.NewHostModuleBuilder(ModuleName)
	for _, d := range functions() {
		f := d.function()
		call := func(ctx context.Context, m api.Module, stack []uint64) {
			f.Call(guest(ctx), m.ExportedMemory("memory"), stack)
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(call), f.Params, f.Results).Export(d.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// errno is the result of a function of preview 1.
type errno uint32

const (
	success errno = 0
	badf    errno = 8  // bad file descriptor
	fault   errno = 21 // bad pointer
	inval   errno = 28
	nosys   errno = 52
	notsup  errno = 58
	spipe   errno = 70 // a stream has no positions
)

// call is a call of a function.
type call struct {
	guest  Guest
	memory memory
	stack  []uint64
}

// u32 returns parameter i.
func (c *call) u32(i int) uint32 { return uint32(c.stack[i]) }
