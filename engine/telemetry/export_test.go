package telemetry

import "context"

// Flush sends what waits.
func (t *Traces) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }
