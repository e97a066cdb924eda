package config

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxQuoted limits the part of a value that a message shows, in bytes.
const maxQuoted = 64

// maxCompared limits the names that are compared with a wrong name: 10,000 tenants with
// a wrong module each would need a billion comparisons.
const maxCompared = 1000

// maxListed limits the names that a message lists.
const maxListed = 19

// quote returns a value for a message: in quotes, on one line, and truncated if it is
// long.
func quote(text string) string {
	if len(text) <= maxQuoted {
		return strconv.Quote(text)
	}
	end := maxQuoted
	for end > maxQuoted-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return strconv.Quote(text[:end]) + "..."
}

// suggest returns the end of a message about an unknown name. This is the most similar
// valid name, or a list of all valid names if none is similar and there are few.
func suggest(name string, valid []string) string {
	best, least := "", (len(name)+1)/3+1
	for _, v := range valid {
		if len(name) > maxQuoted || len(valid) > maxCompared {
			break
		}
		if n := distance(strings.ToLower(name), strings.ToLower(v)); n < least {
			best, least = v, n
		}
	}
	switch {
	case best != "":
		return ": did you mean " + quote(best) + "?"
	case len(valid) == 0:
		return ": none is defined"
	case len(valid) > maxListed:
		return ""
	}
	return ": use " + either(valid)
}

// either returns a list such as "a, b or c".
func either(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// distance returns the smallest number of edits that turn a into b. An edit inserts,
// deletes or replaces a byte, or swaps two adjacent bytes.
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

// sorted returns the sorted keys of a map.
func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
