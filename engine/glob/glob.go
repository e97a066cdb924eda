// Package glob matches room names against patterns.
//
// A pattern is matched against the whole name:
//
//   - any run of characters, also none, also "/" and "."
//     ?        one character
//     [a-z_]   one character of the set; [!a-z] or [^a-z] one that is not in it
//     {a,b*}   any of the alternatives, which are patterns themselves
//     \x       the character x, whatever x is
//
// Matching takes time linear in the name for every pattern: a pattern becomes an
// automaton of package regexp, which never goes back.
package glob

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// MaxPattern is the longest pattern that Compile takes, in bytes.
const MaxPattern = 1024

// Glob is a compiled pattern. It never changes, so any number of goroutines may use
// one at a time.
type Glob struct {
	pattern string
	re      *regexp.Regexp
}

// Compile checks a pattern and makes it ready for use. The error says what is wrong
// with it, without the pattern itself.
func Compile(pattern string) (*Glob, error) {
	switch {
	case pattern == "":
		return nil, errors.New("the pattern is empty")
	case len(pattern) > MaxPattern:
		return nil, fmt.Errorf("the pattern has more than %d bytes", MaxPattern)
	case !utf8.ValidString(pattern):
		return nil, errors.New("the pattern is not UTF-8")
	}
	t := translation{rest: []rune(pattern)}
	if err := t.run(); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`\A(?s:` + t.out.String() + `)\z`)
	if err != nil { // braces nested deeper than regexp allows
		return nil, errors.New("the pattern is too complex")
	}
	return &Glob{pattern, re}, nil
}

// Match reports whether the whole name fits the pattern.
func (g *Glob) Match(name string) bool { return g.re.MatchString(name) }

// String is the pattern as it was given to Compile.
func (g *Glob) String() string { return g.pattern }

// translation turns a pattern into the text of a regular expression.
type translation struct {
	rest  []rune
	out   strings.Builder
	depth int // braces that are open
}

func (t *translation) run() error {
	for len(t.rest) > 0 {
		if err := t.step(t.next()); err != nil {
			return err
		}
	}
	if t.depth > 0 {
		return errors.New(`a "{" is never closed`)
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
		return errors.New(`a "}" closes nothing`)
	case c == '}':
		t.depth--
		t.out.WriteString(`)`)
	case c == ',' && t.depth > 0:
		t.out.WriteString(`|`)
	case c == '\\' && len(t.rest) == 0:
		return errors.New(`a "\" stands at the end`)
	case c == '\\':
		t.literal(t.next())
	default:
		t.literal(c)
	}
	return nil
}

// set translates what follows a "[", its "]" included.
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
			return errors.New(`a range runs backwards`)
		}
		t.literal(low)
		t.out.WriteString(`-`)
		t.literal(high)
	}
}

// member takes one character of a set, or its end.
func (t *translation) member() (c rune, closed bool, err error) {
	if len(t.rest) == 0 {
		return 0, false, errors.New(`a "[" is never closed`)
	}
	c = t.next()
	if c == '\\' {
		if len(t.rest) == 0 {
			return 0, false, errors.New(`a "[" is never closed`)
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
