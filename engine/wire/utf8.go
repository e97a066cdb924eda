package wire

import "unicode/utf8"

// ValidPrefix reports whether b can be the beginning of valid UTF-8 text. n is the
// number of bytes of b in complete characters. At most three bytes follow them, which
// begin a character.
func ValidPrefix(b []byte) (n int, ok bool) {
	n = len(b)
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				n = i
			}
			break
		}
	}
	return n, utf8.Valid(b[:n])
}
