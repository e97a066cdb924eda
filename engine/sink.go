package engine

import "github.com/mootchat/moot/engine/fanout"

// Sink is the socket of a connection, as a transport gives it.
type Sink interface {
	fanout.Sink

	// Farewell is what the client is sent last. It may be nil.
	Farewell(c Close) []byte
}

// WhileWriting has poll called again and again while much is written, from any
// goroutine and several at once, until end is called. A transport looks in poll whether
// clients have sent something, and must not wait. Calls that have begun may outlast
// end.
func (e *Engine) WhileWriting(poll func()) (end func()) { return e.writers.WhileWriting(poll) }
