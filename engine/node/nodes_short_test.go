//go:build !chaos

package node

import "time"

// grace is time for what has to be scheduled, in the suite, which may run on a busy
// machine. `make chaos` is stricter.
const grace = 5 * time.Second
