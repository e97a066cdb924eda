// Package ask is the contract between the host and external services of Moot that answer questions
// of rules. A rule asks by a name; the configuration of its entry defines the service. The host
// puts the question between two calls of the module. Package web implements Service for HTTP.
package ask

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Limits of an ask.
const (
	MaxBody   = 16 << 10         // bytes of a question
	MaxAnswer = 64 << 10         // bytes of an answer
	MaxTime   = 10 * time.Second // time of one question, with its answer
)

// Service answers the questions of one ask of one chain entry. Its methods are called
// concurrently.
type Service interface {
	// Ask puts a question and waits for the answer. body is JSON without white space; nil: the
	// question has no body. Ask must not change or keep it. The implementation limits the time
	// of the question, to at most MaxTime; the host ends ctx soon after that.
	//
	// The error is a *BusyError if a bound of the ask, the tenant or the node is exceeded, a
	// *Failure if there is no usable answer, and the error of ctx if ctx has ended.
	Ask(ctx context.Context, body []byte) (Answer, error)
}

// Answer is the answer of a service.
type Answer struct {
	Status int             // of HTTP, 200 to 499: other statuses are a Failure
	Body   json.RawMessage // at most MaxAnswer bytes; nil: none. It may be shared, and must not be changed
	Cached bool            // no request was sent for this question
}

// Kind is the kind of a Failure, in logs, decisions, metrics and files of tests.
type Kind string

// The kinds.
const (
	Timeout     Kind = "timeout"     // the service did not answer in time
	Unreachable Kind = "unreachable" // it cannot be reached, or may not be reached
	Open        Kind = "open"        // the breaker of the ask is open: the service was not asked
	Status      Kind = "status"      // the status of the answer is none that a rule receives: 1xx, 3xx, 408, 425, 429, 500 or more
	BadAnswer   Kind = "badAnswer"   // the answer is not JSON, is too large or compressed, or contains a secret; or the question is too large
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Timeout, Unreachable, Open, Status, BadAnswer} }

// Failure is the error of a question without a usable answer. The ask's onError applies.
type Failure struct {
	Kind Kind
	Err  error // the cause, for logs and decisions, without secrets; nil: none
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return string(f.Kind)
	}
	return string(f.Kind) + ": " + f.Err.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// BusyError is the error of a question over a bound. The event is refused, and the client may
// try again after Wait; onError does not apply, because a flood could otherwise avoid a rule.
type BusyError struct{ Wait time.Duration }

func (e *BusyError) Error() string {
	return fmt.Sprintf("too many questions: try again in %v", e.Wait)
}
