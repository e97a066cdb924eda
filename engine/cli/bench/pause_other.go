//go:build !linux

package bench

import (
	"context"
	"time"
)

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) { sleep(ctx, d) }
