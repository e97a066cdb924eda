//go:build unix

package bench

import (
	"syscall"
	"time"
)

// processorTime returns the CPU time of the process.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // it fails only with an invalid argument
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
