//go:build unix

package script

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitProcess has the kernel end the process that outruns its watch, and gives way to
// others. What fails leaves the watch.
func limitProcess() {
	seconds := uint64(2*maxTime/time.Second) + 1
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds})
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if !raceEnabled { // the race detector's own memory is many times as large
		_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 2 * maxMemory, Max: 2 * maxMemory})
	}
	_ = unix.Setpriority(unix.PRIO_PGRP, 0, 10)
}

// processorTime is what the process has used.
func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
