package wire

import "unicode/utf8"

// ValidPrefix checks text of which more may follow. It returns how many bytes of b
// are whole characters; the at most three bytes behind them may begin one. It returns
// false as soon as no text that begins with b is valid UTF-8: at the first byte that
// makes it so.
func ValidPrefix(b []byte) (whole int, ok bool) {
	whole = len(b)
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				whole = i
			}
			break
		}
	}
	return whole, utf8.Valid(b[:whole])
}
