// Package nearest finds the valid name that a mistyped name most likely means.
package nearest

import "strings"

// Limits of a comparison: 10,000 tenants with a wrong module each would need a billion of them.
const (
	maxNames = 1000
	maxBytes = 64
)

// Name returns the valid name that is most similar to name, without regard to case; "" if none is similar, if name has
// more than 64 bytes, or if there are more than 1000 valid names.
func Name(name string, valid []string) (best string) {
	if len(name) > maxBytes || len(valid) > maxNames {
		return ""
	}
	least := (len(name)+1)/3 + 1
	for _, v := range valid {
		if n := distance(strings.ToLower(name), strings.ToLower(v)); n < least {
			best, least = v, n
		}
	}
	return best
}

// distance returns the smallest number of edits that turn a into b. An edit inserts, deletes or replaces a byte, or swaps
// two adjacent bytes.
func distance(a, b string) int {
	var before, previous []int
	current := make([]int, len(b)+1)
	for j := range current {
		current[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, previous, current = previous, current, make([]int, len(b)+1)
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
	}
	return current[len(b)]
}
