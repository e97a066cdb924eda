package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/mootchat/moot/host/meter"
)

// unitsPerMillisecond limits the fuel of a call in case the clock stands still. Scripts, which pay for parts of their
// interpreter that do not run, use up to 600 << 20 units in a millisecond of a slow processor.
const unitsPerMillisecond = 1 << 32

// epoch is the zero of the host's clock, which is monotonic.
var epoch = time.Now()

// now returns the time of the host's clock, in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

// keptStack is the size of the largest stack that is kept after a call, in values of 8 bytes. mostStack is the size in
// bytes up to which a stack may still grow. wazero counts in these units.
const (
	keptStack = 64 << 10
	mostStack = meter.StackBudget
)

// stackExceeds reports whether the stack of fn, which was called before, is larger than the given size. wazero has the size
// in an unexported field; if the field is not found, stackExceeds returns true.
func stackExceeds(fn api.Function, than int) bool {
	v := reflect.Indirect(reflect.ValueOf(fn))
	if v.Kind() != reflect.Struct {
		return true
	}
	stack := v.FieldByName("stack")
	return stack.Kind() != reflect.Slice || stack.Len() > than
}

// call calls an exported function and returns its first result. After a failure the instance is broken. A guest pays
// fuel for every value on its stack, so the stack is small if the first slice and the initial stack budget were enough.
func (in *instance) call(fn api.Function, args ...uint64) (uint64, *failure) {
	in.stack[0] = 0
	copy(in.stack[:], args)
	in.fuel.Set(uint64(in.firstSlice()))
	rest := in.rest
	in.running, in.widened = fn, false
	err := fn.CallWithStack(in, in.stack[:])
	in.running = nil
	if in.tracing != nil {
		in.tracing.Fuel += uint64(rest - in.rest + in.slice - int64(in.fuel.Get()))
	}
	if err != nil {
		in.broken = true
		return 0, in.classify(err)
	}
	in.large = in.large || (in.rest < rest || in.widened) && stackExceeds(fn, keptStack)
	return in.stack[0], nil
}

// settle charges the time since the mark to the gate, and moves the mark.
func (in *instance) settle() {
	t := now()
	in.generation.gate.spend(t, t-in.mark)
	in.mark = t
}

// sleep waits, at most until the deadline, and does not charge that time to the gate. It charges the time before,
// because otherwise the work of a guest that sleeps regularly would be free.
func (in *instance) sleep(d time.Duration) {
	in.settle()
	in.starting.leave()
	in.generation.host.nap(min(d, time.Duration(in.deadline-in.mark)))
	in.startAgain()
	in.mark = now()
	if in.mark >= in.deadline || in.generation.host.aborted() {
		panic(errDeadline)
	}
}

// pace waits before a call if the tenant has used more than its share.
func (in *instance) pace() *failure {
	if wait := in.generation.gate.wait(in.mark); wait > 0 {
		in.generation.host.nap(min(wait, time.Duration(in.deadline-in.mark)))
		in.mark = now()
		in.from = in.mark
	}
	if in.mark >= in.deadline || in.generation.host.aborted() {
		return &failure{Deadline, errShare}
	}
	in.hurried = in.deadline-in.mark < in.timeout/2
	return nil
}

// unitsPerNanosecond is the speed of a fast machine.
const unitsPerNanosecond = 4

// charge charges the guest for bytes that the host copied for it, one unit for 16 bytes.
func (in *instance) charge(bytes uint32) { in.pay(int64(bytes / 16)) }

func (in *instance) pay(units int64) {
	in.fuel.Set(uint64(int64(in.fuel.Get()) - units))
}

// wait returns the context for a wait on storage or other nodes: it ends at the call's deadline. The caller calls
// waited afterwards.
func (in *instance) wait() context.Context {
	if in.calls == nil {
		in.calls, in.cancel = context.WithDeadline(context.Background(), epoch.Add(time.Duration(in.deadline)))
	}
	in.waiting = now()
	in.starting.leave()
	return in.calls
}

// waited removes the waiting time from the gate's account, because waiting uses no processor. A short wait counts as
// work.
func (in *instance) waited() {
	const work = int64(100 * time.Microsecond)
	in.startAgain()
	if d := now() - in.waiting; d > work {
		in.mark += d
	}
}

// startAgain waits until a start may run again after a wait. That time does not count against the limit of the start.
func (in *instance) startAgain() {
	if in.starting == nil {
		return
	}
	begin := now()
	in.starting.enter()
	in.extend(now() - begin)
}

// classify returns the kind of an error of the guest.
func (in *instance) classify(err error) *failure {
	var exit *sys.ExitError
	var bug runtime.Error
	kind := Trap
	switch {
	case errors.Is(err, errDeadline) && in.hurried:
		return &failure{Deadline, errHurried}
	case errors.Is(err, errDeadline):
		return in.late(in.place(err))
	case errors.As(err, &bug):
		return &failure{HostFault, err}
	case errors.As(err, &exit):
		kind = Exit
	case errors.Is(err, errDeep), int64(in.depth.Get()) < 0:
		return &failure{Trap, errDeep}
	}
	if in.linear.short() {
		kind = Memory
	}
	said, why := in.takeOutput(), in.linear.refused
	if said != "" && in.generation.program != nil { // the stack is that of the runner, not of the script
		err, said = errors.New(strings.TrimSpace(said)), ""
	}
	if why != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return fail(kind, "%s%w", said, err)
}
