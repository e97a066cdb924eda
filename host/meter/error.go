package meter

import (
	"errors"
	"fmt"
)

// Kinds of errors. Each error of [Rewrite] is an [*Error] and wraps one of them.
var (
	ErrMalformed  = errors.New("not a valid WebAssembly module")
	ErrNotAllowed = errors.New("not allowed in a module")
	ErrLimit      = errors.New("module exceeds a limit")
)

// Error is the reason why a module was refused.
type Error struct {
	Kind     error  // ErrMalformed, ErrNotAllowed or ErrLimit
	What     string // for the operator, such as "700000 bytes of code in one function, the limit is 524288"
	Function int    // index of the function that it is about, as the guest numbers them; -1: none
	Offset   int    // bytes from the start of the binary
}

// Error returns the fields in one line.
func (e *Error) Error() string {
	if e.Function >= 0 {
		return fmt.Sprintf("%v: function %d, offset %#x: %s", e.Kind, e.Function, e.Offset, e.What)
	}
	return fmt.Sprintf("%v: offset %#x: %s", e.Kind, e.Offset, e.What)
}

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }
