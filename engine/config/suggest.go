package config

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/nearest"
)

// maxQuoted limits the part of a value that a message shows, in bytes.
const maxQuoted = 64

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
	best := nearest.Name(name, valid)
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

// sorted returns the sorted keys of a map.
func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
