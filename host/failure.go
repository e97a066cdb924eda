package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/script"
)

// Kind is the kind of a module's failure.
type Kind uint8

// Kinds of failures.
const (
	Trap       Kind = iota // the guest trapped, recursed too deep or reported a failure
	Deadline               // it ran out of time
	Memory                 // it trapped or exited with its memory used up, or there was no memory for an instance
	Protocol               // its answer violates the contract
	Exit                   // it exited
	HostFault              // an error of the host
	NoInstance             // all instances were in use until the deadline
	Open                   // it was not called: its breaker is open
	Outside                // an external service has not answered its ask
	kinds
)

var kindNames = [...]string{"trap", "deadline", "memory", "protocol", "exit", "host", "pool", "open", "ask"}

// String returns the kind's name in logs and metrics.
func (k Kind) String() string { return kindNames[k] }

// failure is a failed call. nil is a successful one.
type failure struct {
	kind Kind
	err  error
}

func (f *failure) Error() string { return f.kind.String() + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(kind Kind, format string, args ...any) *failure {
	return &failure{kind, fmt.Errorf(format, args...)}
}

// excused reports whether the failure does not count for the breaker: the module was not called, or
// was called with little time left; the message was too large for it; or the node had no memory
// left within the entry's limit. So neither a large message nor another tenant that uses shared
// memory can open a breaker, which would switch a rule off.
func (f *failure) excused() bool {
	return f.kind == NoInstance || f.err == errLate || f.err == errFrame || f.err == errShare || f.err == errHurried || errors.Is(f.err, errNoMemory)
}

var (
	errDeadline = errors.New("deadline exceeded")
	errDeep     = errors.New("call stack too deep")
	errFrame    = errors.New("the event is too large for the module's exchange buffer")
	errLate     = errors.New("the chain ran out of time before the module was called")
	errNoMemory = errors.New("no memory left")
	errGone     = errors.New("nobody waits for the answer any more")
	errHurried  = errors.New("deadline exceeded: less than half of the entry's timeout was left when it was called")
	errShare    = errors.New("deadline exceeded before the call: the tenant's modules have used their share of the processors")
)

// refused returns the failure of a call that an open breaker refused.
var refused = &failure{Open, errors.New("breaker is open")}

// late returns the failure of a call whose time is over; place is the function that ran, or "".
func (in *instance) late(place string) *failure {
	limit, whose := time.Duration(in.timeout), "the entry's timeout"
	if limit == 0 {
		limit, whose = in.generation.startTimeout(), "the limit of a start"
	}
	after := time.Duration(in.deadline - in.began - in.extended).Round(time.Millisecond / 10)
	if place != "" {
		place = " in " + place
	}
	return fail(Deadline, "%w after %v%s: %s is %v", errDeadline, after, place, whose, limit)
}

// place returns the place in the guest at which it ran out of time: the line of a script, or the innermost function of a
// module; "" if it is not known.
func (in *instance) place(err error) string {
	p := in.generation.program
	if p == nil {
		return placeIn(err.Error())
	}
	return p.Locate(string(in.stopped(script.PlaceExport, len(p.Name)+16)))
}

// stopped calls an export of a runner after a call has failed, and returns its text; nil if it takes more than a slice of
// fuel. The stacks of the failed call are left as they are, so the instance must not be called for an event.
func (in *instance) stopped(export string, limit int) []byte {
	fn := in.module.ExportedFunction(export)
	if fn == nil {
		return nil
	}
	in.slice, in.rest = meter.Slice, 0 // no further slice
	in.fuel.Set(meter.Slice)
	in.depth.Set(in.initial)
	in.chain.Set(meter.StackBudget)
	in.running = fn
	defer func() { in.running = nil }()
	if err := fn.CallWithStack(in, in.stack[:]); err != nil {
		return nil
	}
	b, _ := spanOf(in.stack[0]).In(in.memory(), limit)
	return slices.Clone(b)
}

// spanOf returns the span that a function returns as ptr << 32 | len.
func spanOf(packed uint64) abi.Span { return abi.Span{Ptr: uint32(packed >> 32), Len: uint32(packed)} }

const stackTrace = "\nwasm stack trace:"

// placeIn returns the name of the innermost function of the stack trace in an error's text; "" if the module has no names.
func placeIn(text string) string {
	_, trace, _ := strings.Cut(text, stackTrace)
	for line := range strings.Lines(trace) {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "."), "(")
		if name != "" && !strings.HasPrefix(name, "$") && !strings.HasPrefix(name, meter.ImportModule+".") {
			return cut(name, 100)
		}
	}
	return ""
}

// brief returns a shortened text of an error, for people: a guest can make a stack trace long.
func brief(err error) string { return cut(err.Error(), 4<<10) }

// short returns the text for a decision's Error: the last panic of the guest's output, if there is one, and the innermost
// function of the stack trace in place of the trace.
func (f *failure) short() string {
	text, _, traced := strings.Cut(f.err.Error(), stackTrace)
	if i := strings.LastIndex(text, "\npanic: "); i >= 0 {
		text = text[i+1:]
	}
	if text = cut(text, 512); traced {
		if place := placeIn(f.err.Error()); place != "" {
			text += " in " + place
		}
	}
	return text
}

func cut(text string, limit int) string {
	text = strings.TrimSpace(text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " ..."
	}
	return text
}
