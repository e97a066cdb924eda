package main

import (
	"encoding/json"
	"strings"

	moot "github.com/mootchat/moot/sdk/go"
)

// maskJSON masks the string values of a JSON text. The names of members and all other bytes
// stay the same.
func (l *list) maskJSON(text string) string {
	var b strings.Builder
	done := 0
	for at := 0; at < len(text); {
		start := strings.IndexByte(text[at:], '"')
		if start < 0 {
			break
		}
		start += at
		at = stringEnd(text, start)
		if isName(text[at:]) {
			continue
		}
		var value string
		if json.Unmarshal([]byte(text[start:at]), &value) != nil {
			continue
		}
		if masked := l.mask(value); masked != value {
			b.WriteString(text[done:start])
			b.WriteString(moot.Quote(masked))
			done = at
		}
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}

// stringEnd returns the end of the JSON string that begins at start.
func stringEnd(text string, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// isName reports whether the string before rest is the name of a member.
func isName(rest string) bool {
	return strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ":")
}
