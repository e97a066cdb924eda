// Package glob matches room names against patterns.
//
// A pattern is matched against the whole name:
//
//	?        one character
//	*        any number of any characters, "/" and "." included
//	[a-z_]   one character of the set; [!a-z] or [^a-z]: one character not in the set
//	{a,b*}   one of the alternatives, which are patterns
//	\x       the character x itself
//
// Matching takes time linear in the length of the name for every pattern, because package
// regexp, which executes the translated patterns, does not backtrack.
package glob

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// MaxPattern is the maximum length of a pattern, in bytes.
const MaxPattern = 1024

// Glob is a compiled pattern. It is immutable and safe for concurrent use.
type Glob struct {
	pattern string
	re      *regexp.Regexp // nil: the pattern contains no special characters and matches itself only
}

// Compile compiles a pattern. The error describes the problem and does not contain the
// pattern.
func Compile(pattern string) (*Glob, error) {
	switch {
	case pattern == "":
		return nil, errors.New("the pattern is empty")
	case len(pattern) > MaxPattern:
		return nil, fmt.Errorf("the pattern has more than %d bytes", MaxPattern)
	case !utf8.ValidString(pattern):
		return nil, errors.New("the pattern is not UTF-8")
	}
	if !strings.ContainsAny(pattern, `*?[]{}\`) {
		return &Glob{pattern, nil}, nil
	}
	t := translation{rest: []rune(pattern)}
	if err := t.run(); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`\A(?s:` + t.out.String() + `)\z`)
	if err != nil { // package regexp limits the nesting of braces
		return nil, errors.New("the pattern is too complex")
	}
	return &Glob{pattern, re}, nil
}

// Match reports whether the whole name matches the pattern.
func (g *Glob) Match(name string) bool {
	if g.re == nil {
		return name == g.pattern
	}
	return g.re.MatchString(name)
}

// String returns the pattern that was passed to Compile.
func (g *Glob) String() string { return g.pattern }

// translation translates a pattern into a regular expression.
type translation struct {
	rest  []rune
	out   strings.Builder
	depth int // the number of open braces
}

func (t *translation) run() error {
	for len(t.rest) > 0 {
		if err := t.step(t.next()); err != nil {
			return err
		}
	}
	if t.depth > 0 {
		return errors.New(`a "{" has no "}"`)
	}
	return nil
}

func (t *translation) step(c rune) error {
	switch {
	case c == '*':
		t.out.WriteString(`.*`)
	case c == '?':
		t.out.WriteString(`.`)
	case c == '[':
		return t.set()
	case c == '{':
		t.depth++
		t.out.WriteString(`(?:`)
	case c == '}' && t.depth == 0:
		return errors.New(`a "}" has no "{"`)
	case c == '}':
		t.depth--
		t.out.WriteString(`)`)
	case c == ',' && t.depth > 0:
		t.out.WriteString(`|`)
	case c == '\\' && len(t.rest) == 0:
		return errors.New(`the pattern ends with a single "\"`)
	case c == '\\':
		t.literal(t.next())
	default:
		t.literal(c)
	}
	return nil
}

// set translates a set, from the character after "[" to "]".
func (t *translation) set() error {
	t.out.WriteString(`[`)
	if len(t.rest) > 0 && (t.rest[0] == '!' || t.rest[0] == '^') {
		t.next()
		t.out.WriteString(`^`)
	}
	for n := 0; ; n++ {
		low, closed, err := t.member()
		if err != nil {
			return err
		}
		if closed && n == 0 {
			return errors.New(`a "[]" is empty`)
		}
		if closed {
			t.out.WriteString(`]`)
			return nil
		}
		high := low
		if len(t.rest) > 1 && t.rest[0] == '-' && t.rest[1] != ']' {
			t.next()
			if high, _, err = t.member(); err != nil {
				return err
			}
		}
		if high < low {
			return errors.New(`a range begins with the larger character`)
		}
		t.literal(low)
		t.out.WriteString(`-`)
		t.literal(high)
	}
}

// member reads one character of a set, or the "]" at its end.
func (t *translation) member() (c rune, closed bool, err error) {
	if len(t.rest) == 0 {
		return 0, false, errors.New(`a "[" has no "]"`)
	}
	c = t.next()
	if c == '\\' {
		if len(t.rest) == 0 {
			return 0, false, errors.New(`a "[" has no "]"`)
		}
		return t.next(), false, nil
	}
	return c, c == ']', nil
}

func (t *translation) next() rune {
	c := t.rest[0]
	t.rest = t.rest[1:]
	return c
}

func (t *translation) literal(c rune) { fmt.Fprintf(&t.out, `\x{%x}`, c) }
