//go:build unix

package api

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"
)

// processorTime returns the processor time of the process.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0 // it fails only with an invalid argument
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// processMemory returns the resident memory of the process in bytes; NaN where there is no /proc.
func processMemory() float32 {
	text, err := os.ReadFile("/proc/self/statm")
	if fields := bytes.Fields(text); err == nil && len(fields) > 1 {
		if pages, err := strconv.Atoi(string(fields[1])); err == nil {
			return float32(pages * os.Getpagesize())
		}
	}
	return float32(math.NaN())
}
