//go:build !chaos

package cli

import "time"

// In the suite, which may run on a busy machine: a cut of seconds, and time for what
// has to be scheduled. `make chaos` is stricter.
const (
	cut   = 5 * time.Second
	grace = 5 * time.Second
)
