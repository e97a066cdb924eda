//go:build !unix

package bench

import "time"

var epoch = time.Now()

// processorTime returns the real time: an approximation on an idle machine, for systems that have no CPU time.
func processorTime() time.Duration { return time.Since(epoch) }
