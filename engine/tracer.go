package engine

import (
	"context"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// Tracer traces verbs and actions. Its methods are called concurrently.
type Tracer interface {
	// Begin is called before a verb or an action runs and returns its ctx. end is called
	// once, after the client was answered and effects were applied. Its argument is the
	// error of the answer, or nil. Begin must not keep the request.
	Begin(ctx context.Context, who *hook.Profile, r *wire.Request) (traced context.Context, end func(error))
}

// begin calls the tracer. end is nil if there is none.
func (c *Connection) begin(ctx context.Context, r *wire.Request) (traced context.Context, end func(error)) {
	if c.engine.tracer == nil {
		return ctx, nil
	}
	return c.engine.tracer.Begin(ctx, c.profile.Load(), r)
}
