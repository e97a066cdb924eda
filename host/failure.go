package host

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is the kind of a module's failure.
type Kind uint8

// The kinds.
const (
	Trap       Kind = iota // the guest trapped, recursed too deep or reported a failure
	Deadline               // it ran out of time
	Memory                 // it trapped or exited with its memory used up, or there was no memory for an instance
	Protocol               // its answer violates the contract
	Exit                   // it exited
	HostFault              // an error of the host
	NoInstance             // all instances were in use until the deadline
	Open                   // it was not called: its breaker is open
	kinds
)

var kindNames = [...]string{"trap", "deadline", "memory", "protocol", "exit", "host", "pool", "open"}

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
	errShare    = errors.New("deadline exceeded before it was asked: the tenant's modules have used their share of the processors")
)

// refused returns the failure of a call that an open breaker refused.
var refused = &failure{Open, errors.New("breaker is open")}

// brief returns a shortened text of an error, for people: a guest can make a stack trace long.
func brief(err error) string { return cut(err.Error(), 4<<10) }

// short is brief without the stack trace, for a decision's Error.
func (f *failure) short() string {
	text, _, _ := strings.Cut(f.err.Error(), "\nwasm stack trace:")
	return cut(text, 512)
}

func cut(text string, limit int) string {
	text = strings.TrimSpace(text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " ..."
	}
	return text
}
