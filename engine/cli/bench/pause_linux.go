package bench

import (
	"context"
	"syscall"
	"time"
)

// pause waits for d, or until ctx ends. It uses nanosleep, because Go's timers are up to a millisecond late on an idle
// processor: epoll counts in milliseconds.
func pause(ctx context.Context, d time.Duration) {
	if d > grain {
		sleep(ctx, d-grain)
		d = grain
	}
	if d > 0 && ctx.Err() == nil {
		t := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&t, nil) // if a signal ends it early, the next message is early by less than grain
	}
}
