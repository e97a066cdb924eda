package host

import (
	"fmt"
	"strings"
	"unicode"
)

// Problem is one thing that keeps rules from being loaded.
type Problem struct {
	Where  string // of the entry or module, as the rules had it
	Module string // by name; "" if it is about none
	Err    error  // what is wrong, and what to do about it
}

// Error is one line: "config.yaml:42: tenants.default.chain[0]: module blocklist: what is wrong".
func (p Problem) Error() string {
	var b strings.Builder
	if p.Where != "" {
		b.WriteString(p.Where + ": ")
	}
	if p.Module != "" {
		b.WriteString("module " + p.Module + ": ")
	}
	b.WriteString(brief(p.Err))
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) { // a module's own words must not look like another problem
			return ' '
		}
		return c
	}, b.String())
}

// Unwrap returns Err.
func (p Problem) Unwrap() error { return p.Err }

// Problems is everything that is wrong with rules, at least one thing.
type Problems []Problem

// Error has one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the problems to errors.Is and errors.As.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

func (p *Problems) add(where, module, format string, args ...any) {
	*p = append(*p, Problem{where, module, fmt.Errorf(format, args...)})
}
