// Package wasi is WASI preview 1 for guests that are granted nothing. Every function of wasi_snapshot_preview1 links,
// so that what compilers put into a program by themselves starts; none of them reaches the host's files, sockets,
// environment or arguments.
//
// What a guest gets:
//
//   - File descriptors 0, 1 and 2 and no other; everything about others, and every path, answers EBADF. Reading 0 finds
//     its end at once. What is written to 1 and 2 becomes lines, see [Output].
//   - No arguments, no environment, no preopened directories.
//   - The real clocks (real time and a monotonic one) and real random bytes, at most [MaxRandom] at a time.
//   - Sleep, by poll_oneoff, out of the time that the call has left.
//   - proc_exit, which ends the call: its error is wazero's *sys.ExitError, and the instance must be discarded, whatever the code.
//
// Every function bounds its own work and has the guest pay for what it moves. A pointer outside of the guest's memory
// answers EFAULT, and nothing was written. The upper halves of i32 parameters are ignored: compiled code leaves
// anything there.
//
// The package keeps no state: what there is belongs to the instance, and comes with the [Guest]. Its functions may be
// called for any number of guests at once, but for one guest at a time.
package wasi

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the module that guests import these functions from.
const ModuleName = "wasi_snapshot_preview1"

// Guest is what the functions need of the instance that calls them. It is called only from within a
// call of that instance, on the same goroutine.
type Guest interface {
	// Charge makes the guest pay for n bytes that were moved for it.
	Charge(n uint32)
	// Sleep returns after d, which is not negative. If that is longer than the call has left, it may return earlier or
	// end the call with a panic, as refuel does.
	Sleep(d time.Duration)
	// Line takes one line that the guest wrote, valid UTF-8 without its end, at most MaxLine bytes.
	Line(stream Stream, text string)
	// Output is where the instance keeps what it has written so far.
	Output() *Output
}

// Function is one function of preview 1.
type Function struct {
	Params, Results []api.ValueType
	// Call runs it for a guest. The stack holds the parameters, and has room for one result at least. Memory is what
	// the guest exports as its memory; nil if it has none.
	Call func(g Guest, memory api.Memory, stack []uint64)
}

// Lookup returns the function of that name, and false for a name that preview 1 has not.
func Lookup(name string) (f Function, ok bool) {
	for _, d := range functions() {
		if d.name == name {
			return d.function(), true
		}
	}
	return Function{}, false
}

// Names are those of all functions, in the order of the specification.
func Names() []string {
	var names []string
	for _, d := range functions() {
		names = append(names, d.name)
	}
	return names
}

// Instantiate makes the host module with all functions in rt. Guest finds the guest from the context of its call; it
// must not return nil. For a host that links only what is imported there is Lookup.
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

// errno is what a function of preview 1 returns.
type errno uint32

const (
	success errno = 0
	badf    errno = 8  // no such file descriptor
	fault   errno = 21 // a pointer outside of the memory
	inval   errno = 28
	nosys   errno = 52
	notsup  errno = 58
	spipe   errno = 70 // no seeking in a stream
)

// call is one call under way.
type call struct {
	guest  Guest
	memory memory
	stack  []uint64
}

// u32 is the parameter at i.
func (c *call) u32(i int) uint32 { return uint32(c.stack[i]) }
