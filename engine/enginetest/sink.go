package enginetest

import (
	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/fanout/fanouttest"
	"github.com/mootchat/moot/engine/wire"
)

// Sink is an engine.Sink: a socket whose buffer the test controls.
type Sink struct{ *fanouttest.Sink }

// NewSink returns a sink that accepts all bytes.
func NewSink(d wire.Dialect) *Sink { return &Sink{fanouttest.NewSink(d)} }

// Farewell implements engine.Sink. It returns a frame with "bye REASON (CODE)" and " after
// TIME" if the client should come back after a time, or nil for a connection that was lost.
func (s *Sink) Farewell(c engine.Close) []byte {
	if c == (engine.Close{}) {
		return nil
	}
	bye := "bye " + c.Error()
	if c.RetryAfter > 0 {
		bye += " after " + c.RetryAfter.String()
	}
	return s.Bytes(wire.FrameOf([]byte(bye)))
}
