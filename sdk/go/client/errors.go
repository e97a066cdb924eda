package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// ErrLost says that no answer came: what was asked may have been done, or may be done
// yet. Find it with errors.Is.
var ErrLost = errors.New("no answer came, it may have been done")

// VerbError is the server's refusal: by a rule, by a limit, or because the request made
// no sense. Find it with errors.As. One that says that the outcome is unknown is an
// ErrLost too.
type VerbError struct {
	// Message is in the server's words, or those of the rule that refused.
	Message string
	// RetryAfter is when it may be tried again, where the server says so: the client was too
	// fast, or the rules of a room cannot be asked now. Else it is 0.
	RetryAfter time.Duration
}

// Error is the message.
func (e *VerbError) Error() string { return e.Message }

// Is says whether target is ErrLost and the server does not know what became of it.
func (e *VerbError) Is(target error) bool { return target == ErrLost && e.Message == "outcome unknown" }

// says reports whether the server refused in words that begin so.
func says(err error, words ...string) bool {
	var v *VerbError
	return errors.As(err, &v) && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(v.Message, w) })
}

// alreadyThere says whether a roomAdd was refused because the room was joined before.
func alreadyThere(err error) bool { return says(err, "connection already in this room") }

// mayPass says whether a refusal of resume may be another in a moment.
func mayPass(err error) bool {
	var v *VerbError
	return errors.As(err, &v) && v.RetryAfter > 0 || says(err, "session is busy", "cluster unavailable", "outcome unknown")
}

// ClosedError says that the client is closed and does not come back. Find it with
// errors.As.
type ClosedError struct {
	// Code is the close code: 1000 after Close or where the server said goodbye, 3500
	// to 3999 where it wants this client gone; or the HTTP status, from 400, where the
	// URL leads to no WebSocket.
	Code int
	// Reason is in the server's words.
	Reason string
}

// Error has the reason and the code.
func (e *ClosedError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("closed (%d)", e.Code)
	}
	return fmt.Sprintf("closed: %s (%d)", e.Reason, e.Code)
}

// final says whether coming back makes no sense.
func (e *ClosedError) final() bool {
	return e.Code < 500 || e.Code == int(websocket.StatusNormalClosure) || e.Code >= 3500 && e.Code < 4000
}

// closed is why a connection ended: a *ClosedError if the server said so.
func closed(err error) error {
	var c websocket.CloseError
	if errors.As(err, &c) {
		return &ClosedError{int(c.Code), c.Reason}
	}
	return fmt.Errorf("connection lost: %w", err)
}
