package host

import (
	"fmt"
	"strings"
	"unicode"
)

// Problem is an error of rules that cannot be loaded.
type Problem struct {
	Where  string // of the entry or module, from the rules
	Module string // by name; "" for none
	Err    error  // what is wrong, and what to do about it

	Tenant string   // of the entry whose Config is wrong
	Entry  int      // its number in the tenant's chain
	Path   []string // of the wrong value in Config; nil: the problem is another one
}

// Error returns one line, such as "config.yaml:42: tenants.default.chain[0]: module blocklist: MESSAGE".
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
		if unicode.IsControl(c) { // text of a module must not look like another problem
			return ' '
		}
		return c
	}, b.String())
}

// Unwrap returns Err.
func (p Problem) Unwrap() error { return p.Err }

// Problems has all errors of rules that cannot be loaded. It is never empty.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems, for errors.Is and errors.As.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

func (p *Problems) add(where, module, format string, args ...any) {
	*p = append(*p, Problem{Where: where, Module: module, Err: fmt.Errorf(format, args...)})
}

// unseen returns the problems whose lines are not in seen, and adds them there.
func (p Problems) unseen(seen map[string]bool) (all Problems) {
	for _, problem := range p {
		if line := problem.Error(); !seen[line] {
			seen[line] = true
			all = append(all, problem)
		}
	}
	return all
}
