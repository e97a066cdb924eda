//go:build !unix

package api

import (
	"math"
	"time"
)

// processorTime returns 0: this operating system does not tell the processor time of the process.
func processorTime() time.Duration { return 0 }

// processMemory returns NaN: this operating system does not tell the memory of the process.
func processMemory() float32 { return float32(math.NaN()) }
