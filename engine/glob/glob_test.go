package glob_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/glob"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct{ pattern, yes, no string }{ // names are separated by spaces
		{"*", "a a/b a.b é .", ""},
		{"room", "room", "Room rooms aroom"},
		{"secure*", "secure secure/x secured", "Secure insecure"},
		{"*-chat", "a-chat -chat a/b-chat", "a-chats chat"},
		{"a?c", "abc aéc a/c a?c", "ac abbc"},
		{"??", "ab éé", "a abc"},
		{"[a-c]x", "ax bx cx", "dx x Ax -x"},
		{"[!a-c]x", "dx -x éx", "ax bx x"},
		{"[^a-c]x", "dx -x", "ax"},
		{"[a-]", "a -", "b"},
		{"[-a]", "a -", "b"},
		{`[\]\-]`, "] -", `\ a`},
		{"[*?{},]", "* ? { } ,", "a"},
		{"{a,b}", "a b", "ab c {a,b} ,"},
		{"{a*,b?}c", "ac abc bxc", "bc c"},
		{"x{,y}", "x xy", "y xyy"},
		{"{a,b{c,d}}e", "ae bce bde", "be abe"},
		{"{}x", "x", "{}x"},
		{"a,b", "a,b", "a b"},
		{`\*\?\[\{\}\\\a`, `*?[{}\a`, "x"},
		{"a.b+c(d)|e^$", "a.b+c(d)|e^$", "axb+c(d)|e^$ e"},
		{"]", "]", "["},
		{"**", "a ab", ""},
		{"[а-я]*", "привет", "hello"},
	} {
		g, err := glob.Compile(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		for _, name := range strings.Fields(test.yes) {
			if !g.Match(name) {
				t.Errorf("%s does not match %s", test.pattern, name)
			}
		}
		for _, name := range strings.Fields(test.no) {
			if g.Match(name) {
				t.Errorf("%s matches %s", test.pattern, name)
			}
		}
		if g.String() != test.pattern {
			t.Errorf("%s prints as %s", test.pattern, g)
		}
	}
}

func TestNamesMayBeEmptyOrHaveNewlines(t *testing.T) {
	for pattern, name := range map[string]string{"*": "", "a*b": "a\nb", "?": "\n", "{,a}": "", "[!a]": "\n"} {
		g, err := glob.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if !g.Match(name) {
			t.Errorf("%s does not match %q", pattern, name)
		}
	}
}

func TestInvalidPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                        "the pattern is empty",
		strings.Repeat("a", 1025): "the pattern has more than 1024 bytes",
		"\xff":                    "the pattern is not UTF-8",
		"[a":                      `a "[" has no "]"`,
		"[":                       `a "[" has no "]"`,
		`[a\`:                     `a "[" has no "]"`,
		"[a-":                     `a "[" has no "]"`,
		"[]":                      `a "[]" is empty`,
		"[!]a":                    `a "[]" is empty`,
		"[z-a]":                   "a range begins with the larger character",
		"{a,b":                    `a "{" has no "}"`,
		"a}":                      `a "}" has no "{"`,
		`a\`:                      `the pattern ends with a single "\"`,
	} {
		if _, err := glob.Compile(pattern); err == nil || err.Error() != want {
			t.Errorf("%.20q: got %v, want %s", pattern, err, want)
		}
	}
}

// TestMatchingTakesLinearTime matches patterns that would not end in a matcher that
// backtracks.
func TestMatchingTakesLinearTime(t *testing.T) {
	name := strings.Repeat("a", 200)
	for _, pattern := range []string{strings.Repeat("*a", 200) + "b", strings.Repeat("{a,aa,*}", 100) + "b", strings.Repeat("{*", 200) + strings.Repeat("}", 200) + "b"} {
		g, err := glob.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if g.Match(name) {
			t.Errorf("%.20s... matches", pattern)
		}
	}
}

// FuzzGlob compares Match with a matcher that tries all possibilities.
func FuzzGlob(f *testing.F) {
	for _, seed := range []string{"*|a", "a*b?[a-c]|aab", "{a,b*}c|bc", `[!\]-]|]`, "{,{a,b}}|", "[a-b-c]|-", "[\x00-\U0010ffff]|é", "}|}"} {
		pattern, name, _ := strings.Cut(seed, "|")
		f.Add(pattern, name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := glob.Compile(pattern)
		if err != nil || len(pattern) > 16 || len(name) > 8 || !utf8.ValidString(name) {
			return
		}
		if got, want := g.Match(name), matches([]rune(pattern), []rune(name)); got != want {
			t.Errorf("%q and %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// matches implements the package documentation literally, for valid patterns. It may take
// exponential time.
func matches(p, name []rune) bool {
	if len(p) == 0 {
		return len(name) == 0
	}
	rest := p[1:]
	switch p[0] {
	case '*':
		return matches(rest, name) || len(name) > 0 && matches(p, name[1:])
	case '?':
		return len(name) > 0 && matches(rest, name[1:])
	case '\\':
		return len(name) > 0 && name[0] == rest[0] && matches(rest[1:], name[1:])
	case '[':
		in, rest := inSet(rest, name)
		return len(name) > 0 && in && matches(rest, name[1:])
	case '{':
		alternatives, rest := split(rest)
		for _, a := range alternatives {
			if matches(append(append([]rune{}, a...), rest...), name) {
				return true
			}
		}
		return false
	}
	return len(name) > 0 && name[0] == p[0] && matches(rest, name[1:])
}

func inSet(p, name []rune) (in bool, rest []rune) {
	not := p[0] == '!' || p[0] == '^'
	if not {
		p = p[1:]
	}
	take := func() (c rune) {
		if p[0] == '\\' {
			p = p[1:]
		}
		c, p = p[0], p[1:]
		return c
	}
	for p[0] != ']' {
		low := take()
		high := low
		if p[0] == '-' && p[1] != ']' {
			p = p[1:]
			high = take()
		}
		in = in || len(name) > 0 && low <= name[0] && name[0] <= high
	}
	return in != not, p[1:]
}

// split returns the alternatives up to the closing brace. Commas outside of braces are
// literal, so split escapes those of nested braces.
func split(p []rune) (alternatives [][]rune, rest []rune) {
	depth, current := 0, []rune{}
	for i := 0; ; i++ {
		switch c := p[i]; {
		case c == '\\':
			current = append(current, c, p[i+1])
			i++
			continue
		case c == '[':
			_, after := inSet(p[i+1:], nil)
			end := len(p) - len(after)
			current = append(current, p[i:end]...)
			i = end - 1
			continue
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return append(alternatives, current), p[i+1:]
		case c == '}':
			depth--
		case c == ',' && depth == 0:
			alternatives, current = append(alternatives, current), []rune{}
			continue
		}
		current = append(current, p[i])
	}
}

func ExampleCompile() {
	g, err := glob.Compile("{lobby,team-*}")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Match("lobby"), g.Match("team-red/left"), g.Match("teams"))
	// Output: true true false
}
