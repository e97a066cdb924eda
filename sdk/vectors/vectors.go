// Package vectors has the golden frames: what crosses between the host and a
// guest, as data. README.md says what is in them.
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

// Frame is a question: the bytes, and what a guest reads from them.
type Frame struct {
	Name, Hook, Hex string
	Number, Minor   int
	JSON            bool // the message is JSON text
	Event           struct {
		Fields           map[string]string // those that are there
		SentAt, Sequence uint64
	}
	Connection *Connection // nil: none
	Receivers  []Connection
}

// Connection is a connection in a frame.
type Connection struct {
	Fields                map[string]string
	Properties            []struct{ Name, Value string } // nil: not there
	ConnectedAt, JoinedAt uint64
}

// Result is an answer: what a guest is asked, and what it says.
type Result struct {
	Name, Hook, Frame, Memory string
	Verdict                   Verdict
	Receivers                 []Verdict // of a say's receivers
	Returns                   int32
	FrameAt                   int // address of the frame in Memory
}

// Verdict is an answer in words; what is zero was not said.
type Verdict struct {
	Answer, Reason, Extra, Room, From, Reply string
	Code, Kind                               uint32
	Message                                  *string
	SentAt                                   int64
}

// Frames are the golden questions.
func Frames() []Frame { return read[Frame](frames) }

// Results are the golden answers.
func Results() []Result { return read[Result](results) }

func read[T any](b []byte) []T {
	var list []T
	if err := json.Unmarshal(b, &list); err != nil {
		panic(fmt.Sprintf("vectors: %v", err)) // they are part of the program
	}
	return list
}
