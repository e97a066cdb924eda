package fanout

import (
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Sink is the socket under an [Outbox]. The outbox calls its writing methods from one
// goroutine at a time.
type Sink interface {
	// TryWrite writes as much of p as the socket takes at once and never
	// waits. n may be less than len(p), or 0, without an error: the rest is
	// then given to Write. A socket that cannot do this (TLS) returns 0, nil.
	TryWrite(p []byte) (n int, err error)

	// Write waits until all of p is written, or the write deadline has passed.
	Write(p []byte) (n int, err error)
	SetWriteDeadline(t time.Time) error

	// Bytes is the form of a frame on this transport, shared by all: it is
	// never written to.
	Bytes(f *wire.Frame) []byte

	// Close ends the socket, both ways, once all that was written has left (in
	// at most a second). The transport's reader then returns. It does not wait
	// and may be called more than once, from any goroutine.
	Close() error
}
