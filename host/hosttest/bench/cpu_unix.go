//go:build unix

package bench

import (
	"syscall"
	"time"
)

// processorTime is what the process has used of the processors.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // there is no other way to fail than a bad argument
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
