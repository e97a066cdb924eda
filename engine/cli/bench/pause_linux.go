package bench

import (
	"context"
	"syscall"
	"time"
)

// pause waits for d, or until ctx ends. Go's timers are up to a millisecond late on an idle processor, because
// epoll counts in milliseconds; nanosleep is not.
func pause(ctx context.Context, d time.Duration) {
	if d > grain {
		sleep(ctx, d-grain)
		d = grain
	}
	if d > 0 && ctx.Err() == nil {
		t := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&t, nil) // a signal may end it early: the next message is then early by less than grain
	}
}
