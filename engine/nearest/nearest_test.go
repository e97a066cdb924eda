package nearest

import (
	"strings"
	"testing"
)

func TestDistanceCountsLetters(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"flaw", "lawn", 2}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("from %q to %q are %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestLongNamesAndLongListsAreNotCompared(t *testing.T) {
	many := make([]string, maxNames+1)
	if got := Name(strings.Repeat("a", maxBytes+1), []string{"a"}) + Name("a", many); got != "" {
		t.Errorf("%q", got)
	}
	if got := Name("wrods", []string{"id", "words"}); got != "words" {
		t.Errorf("%q", got)
	}
}
