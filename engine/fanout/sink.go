package fanout

import (
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Sink is the socket of an [Outbox]. The outbox calls TryWrite and Write from one goroutine
// at a time. It may call SetWriteDeadline during a Write.
type Sink interface {
	// TryWrite writes as much of p as the socket accepts at once and never waits. n may be
	// less than len(p), or 0, without an error: the rest is then passed to Write. A sink
	// that cannot do this (TLS) returns 0, nil.
	TryWrite(p []byte) (n int, err error)

	// Write waits until all of p is written or the write deadline has passed.
	Write(p []byte) (n int, err error)
	SetWriteDeadline(t time.Time) error

	// Bytes returns the form of a frame on this transport. All sinks share the result, and
	// nobody changes it.
	Bytes(f *wire.Frame) []byte

	// Close closes the socket in both directions after all written bytes have left, at the
	// latest after a second. The transport's reader then returns. Close does not wait. It
	// may be called more than once and from any goroutine.
	Close() error
}
