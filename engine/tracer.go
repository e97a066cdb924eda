package engine

import (
	"context"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// Tracer is told of what clients ask, for traces. Its methods are called
// concurrently.
type Tracer interface {
	// Begin is called before a verb or an action is carried out. All that comes of
	// it is given the ctx that Begin gives. end is called once, when the client
	// has its answer and effects were applied, with the error that it was told of;
	// nil: none. The request is not kept.
	Begin(ctx context.Context, who *hook.Profile, r *wire.Request) (traced context.Context, end func(error))
}

// begin has the tracer told, if there is one; end is nil if not.
func (c *Connection) begin(ctx context.Context, r *wire.Request) (traced context.Context, end func(error)) {
	if c.engine.tracer == nil {
		return ctx, nil
	}
	return c.engine.tracer.Begin(ctx, c.profile.Load(), r)
}
