package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestValidPrefix checks that ValidPrefix is false from the first byte on that makes
// the text invalid.
func TestValidPrefix(t *testing.T) {
	for _, c := range []struct {
		text string
		bad  int // index of the first bad byte; -1: none
	}{
		{"", -1}, {"plain", -1}, {"aé€😀z", -1},
		{"é\xff", 2}, {"ab\x80", 2}, {"\xc0\x80", 0}, {"\xc3(", 1},
		{"\xe2\x82(", 2}, {"\xe0\x80", 1}, {"\xed\xa0\x80", 1}, // overlong; half a surrogate pair
		{"\xf0\x90\x80(", 3}, {"\xf0\x80", 1}, {"\xf4\x90\x80\x80", 1}, {"\xf5", 0}, // beyond U+10FFFF
	} {
		for n := range len(c.text) + 1 {
			b := c.text[:n]
			whole, ok := ValidPrefix([]byte(b))
			if want := c.bad < 0 || n <= c.bad; ok != want {
				t.Errorf("%q: valid so far is %t, want %t", b, ok, want)
			}
			if ok && (!utf8.ValidString(b[:whole]) || n-whole > 3 || n > whole && utf8.FullRuneInString(b[whole:])) {
				t.Errorf("%q: %d bytes are reported as complete characters", b, whole)
			}
		}
	}
	if whole, ok := ValidPrefix([]byte(strings.Repeat("\x80", 10))); ok {
		t.Errorf("continuation bytes alone are valid: %d", whole)
	}
}
