package meter

import (
	"errors"
	"fmt"
)

// What was wrong with a module, for errors.Is. Every error of this package is an [*Error] and is one of them.
var (
	ErrMalformed  = errors.New("not a valid WebAssembly module")
	ErrNotAllowed = errors.New("not allowed in a module")
	ErrLimit      = errors.New("module exceeds a limit")
)

// Error says why a module was refused.
type Error struct {
	Kind     error  // ErrMalformed, ErrNotAllowed or ErrLimit
	What     string // what was found, in words for the operator: "700000 bytes of code in one function, the limit is 524288"
	Function int    // the function it was found in, in the guest's own numbering; -1 if in none
	Offset   int    // where in the binary, in bytes from its start
}

// Error returns all of it in one line.
func (e *Error) Error() string {
	if e.Function >= 0 {
		return fmt.Sprintf("%v: function %d, offset %#x: %s", e.Kind, e.Function, e.Offset, e.What)
	}
	return fmt.Sprintf("%v: offset %#x: %s", e.Kind, e.Offset, e.What)
}

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }
