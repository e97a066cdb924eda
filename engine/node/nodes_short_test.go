//go:build !chaos

package node

import "time"

// grace is the time that leaves may take beyond the promise. The suite may run on a busy machine, so it checks the
// order and the number of leaves; `make chaos` checks their time.
const grace = time.Minute
