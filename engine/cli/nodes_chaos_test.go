//go:build chaos

package cli

import "time"

const (
	cut   = 20 * time.Second // longer than publishTimeout, and than the lease
	grace = 0
)
