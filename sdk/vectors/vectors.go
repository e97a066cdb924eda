// Package vectors embeds the golden frames: examples of the data that host and guest exchange.
// README.md describes them.
package vectors

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed frames.json
var frames []byte

//go:embed results.json
var results []byte

// Frame is a call of the host: its bytes, and the values that a guest reads from them.
type Frame struct {
	Name, Hook, Hex string
	Number, Minor   int
	JSON            bool // the message is JSON text
	Event           struct {
		Fields           map[string]string // fields that are present
		SentAt, Sequence uint64
	}
	Connection *Connection // nil: none
	Receivers  []Connection
	Answer     *Answer // nil: a hook is called; else on_answer
}

// Answer is the answer of a service in a frame.
type Answer struct {
	Fields         map[string]string // name, body, state
	Status, Number uint64
}

// Connection is a connection in a frame.
type Connection struct {
	Fields                map[string]string
	Properties            []struct{ Name, Value string } // nil: absent
	ConnectedAt, JoinedAt uint64
}

// Result is an answer of a guest: the event, and the encoded verdict.
type Result struct {
	Name, Hook, Frame, Memory string
	Verdict                   Verdict
	Receivers                 []Verdict // of a say's receivers
	Returns                   int32
	FrameAt                   int // address of the frame in Memory
}

// Verdict is an answer by name. Zero fields are not set.
type Verdict struct {
	Answer, Reason, Extra, Room, From, Reply string
	Code, Kind                               uint32
	Message                                  *string
	SentAt                                   int64
	TTL                                      int64 // ms
	Ask, Body, State                         string
}

// Frames returns the golden frames.
func Frames() []Frame { return read[Frame](frames) }

// Results returns the golden answers.
func Results() []Result { return read[Result](results) }

func read[T any](b []byte) []T {
	var list []T
	if err := json.Unmarshal(b, &list); err != nil {
		panic(fmt.Sprintf("vectors: %v", err)) // the embedded files are valid
	}
	return list
}
