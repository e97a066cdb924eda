package engine

import "github.com/mootchat/moot/engine/fanout"

// Sink is the socket of a connection. The transport implements it.
type Sink interface {
	fanout.Sink

	// Farewell returns the last bytes for the client. It may return nil.
	Farewell(c Close) []byte
}

// WhileWriting makes the engine call poll repeatedly while it writes to large rooms, until
// end is called. poll may be called from several goroutines at once. A transport checks in
// poll whether clients have sent input, and must not wait. A call that has begun may return
// after end.
func (e *Engine) WhileWriting(poll func()) (end func()) { return e.writers.WhileWriting(poll) }
