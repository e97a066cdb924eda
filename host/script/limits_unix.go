//go:build unix

package script

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitProcess sets kernel limits above those of watch, makes the process the first one that the kernel kills when
// memory is short, and gives it a low priority. If a call fails, watch still applies.
func limitProcess(most time.Duration) {
	seconds := uint64(2*most/time.Second) + 1
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds})
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if !raceEnabled { // the race detector needs much more memory
		_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 2 * maxMemory, Max: 2 * maxMemory})
	}
	if f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0); err == nil { // Linux
		_, _ = f.WriteString("1000")
		_ = f.Close()
	}
	_ = unix.Setpriority(unix.PRIO_PGRP, 0, 10)
}

// processorTime returns the CPU time that the process has used.
func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
