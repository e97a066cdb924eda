//go:build !chaos

package node

import "time"

// grace is the time that leaves may take beyond the promise. The suite may run on a machine that is busy with other
// work, so it holds the order and the number of leaves; `make chaos` holds their time.
const grace = time.Minute
