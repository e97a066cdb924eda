package telemetry

import "context"

// Flush sends the spans that wait.
func (t *Traces) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }
