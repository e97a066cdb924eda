package bench

import (
	"fmt"
	"time"
)

// Progress is the progress of a run.
type Progress struct {
	Phase       Phase
	Connected   int // of Connections
	Connections int

	// The following fields are set in the phases Warmup and Measuring. Rates and latencies are those of the last second.
	Elapsed    time.Duration // since the phase began
	Deliveries float64       // per second
	P99        time.Duration // of their latencies
}

// Phase is a part of a run.
type Phase string

// The phases, in their order.
const (
	Connecting Phase = "connecting"
	Warmup     Phase = "warm-up"
	Measuring  Phase = "measuring"
)

// String formats p in one line.
func (p Progress) String() string {
	if p.Phase == Connecting {
		return fmt.Sprintf("connected %d/%d", p.Connected, p.Connections)
	}
	return fmt.Sprintf("%s %.0f s: %s deliveries/s, p99 %s", p.Phase, p.Elapsed.Seconds(), grouped(p.Deliveries), millis(p.P99.Seconds()*1000))
}
