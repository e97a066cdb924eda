package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// ErrLost means that the connection broke before the answer came: the server may have
// carried out the request, or may still do so. Test for it with errors.Is.
var ErrLost = errors.New("the answer was lost: the request may have been carried out")

// VerbError is the server's refusal of a request: by a rule, by a limit, or because the
// request was not valid. Test for it with errors.As. A VerbError with the message
// "outcome unknown" is an ErrLost too.
type VerbError struct {
	// Message is the reason that the server or the rule gave.
	Message string
	// RetryAfter is the time after which the request may be repeated: the client sent too
	// many requests, or the rules of a room do not answer now. 0 means that the server gave none.
	RetryAfter time.Duration
	// Code is the number that the rule gave with its denial. Rules define their numbers. 0 means
	// that there is none.
	Code uint32
}

// Error returns the message.
func (e *VerbError) Error() string { return e.Message }

// Is reports whether target is ErrLost and the server does not know the outcome.
func (e *VerbError) Is(target error) bool { return target == ErrLost && e.Message == "outcome unknown" }

// refusedWith reports whether err is a refusal whose message begins with one of prefixes.
func refusedWith(err error, prefixes ...string) bool {
	var v *VerbError
	return errors.As(err, &v) && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(v.Message, p) })
}

// alreadyInRoom reports whether a roomAdd was refused because the client is in the room.
func alreadyInRoom(err error) bool { return refusedWith(err, "connection already in this room") }

// isTemporary reports whether resume was refused for a temporary reason.
func isTemporary(err error) bool {
	var v *VerbError
	return errors.As(err, &v) && v.RetryAfter > 0 || refusedWith(err, "session is busy", "cluster unavailable", "outcome unknown")
}

// ClosedError means that the client is closed for good. Test for it with errors.As.
type ClosedError struct {
	// Code is the WebSocket close code, such as CloseBanned: 1000 after Close or the server's normal close, 3500
	// to 3999 if the server refuses the client for good, others if the client connects again. If the URL does not lead to a WebSocket,
	// it is the HTTP status, 400 or higher.
	Code int
	// Reason is the reason that the server gave; may be "".
	Reason string
}

// Error returns the reason and the code.
func (e *ClosedError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("closed (%d)", e.Code)
	}
	return fmt.Sprintf("closed: %s (%d)", e.Reason, e.Code)
}

// final reports whether reconnecting is pointless.
func (e *ClosedError) final() bool {
	return e.Code < 500 || e.Code == int(websocket.StatusNormalClosure) || e.Code >= 3500 && e.Code < 4000
}

// closed returns the reason for the end of a connection: a *ClosedError if the server closed it.
func closed(err error) error {
	var c websocket.CloseError
	if errors.As(err, &c) {
		return &ClosedError{int(c.Code), c.Reason}
	}
	return fmt.Errorf("connection lost: %w", err)
}
