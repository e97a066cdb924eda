package moderation

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// rooms is a pattern of room names: the zero rooms matches the empty name alone. A pattern has at most one *, so
// that a sanction takes no more memory than its text, and a match takes no longer than a comparison of two
// names: each message is checked against all sanctions of its sender.
type rooms struct {
	prefix, suffix string
	any            bool // any text may be between prefix and suffix; false: suffix is ""
}

// parseRooms parses a pattern. The text of an error is for users.
func parseRooms(pattern string) (rooms, error) {
	switch {
	case pattern == "":
		return rooms{}, errors.New("the pattern is empty")
	case len(pattern) > MaxRooms:
		return rooms{}, fmt.Errorf("the pattern has more than %d bytes", MaxRooms)
	case !utf8.ValidString(pattern):
		return rooms{}, errors.New("the pattern is not UTF-8")
	}
	star := -1
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '*' && star >= 0:
			return rooms{}, errors.New("the pattern has more than one *: set several sanctions")
		case c == '*':
			star = i
		case c == '\\' && i+1 == len(pattern):
			return rooms{}, errors.New(`the pattern ends with a single "\"`)
		case c == '\\':
			i++
		case strings.IndexByte(special, c) >= 0:
			return rooms{}, fmt.Errorf(`the pattern of a sanction has no %c: use one *, or "\%c" for the character itself`, c, c)
		}
	}
	if star < 0 {
		return rooms{prefix: literal(pattern)}, nil
	}
	return rooms{literal(pattern[:star]), literal(pattern[star+1:]), true}, nil
}

// literal returns a part of a pattern without its \. It shares the memory of a part that has none.
func literal(part string) string {
	if !strings.Contains(part, `\`) {
		return part
	}
	plain := make([]byte, 0, len(part))
	for i := 0; i < len(part); i++ {
		if part[i] == '\\' {
			i++
		}
		plain = append(plain, part[i])
	}
	return string(plain)
}

// special are the characters that have a meaning in the patterns of package glob.
const special = `*?[]{}\`

// match reports whether the whole name matches the pattern.
func (r *rooms) match(name string) bool {
	if !r.any {
		return name == r.prefix
	}
	return len(name) >= len(r.prefix)+len(r.suffix) && strings.HasPrefix(name, r.prefix) && strings.HasSuffix(name, r.suffix)
}
