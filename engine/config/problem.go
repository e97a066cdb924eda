package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Problem is one mistake in a configuration.
type Problem struct {
	File    string // as named by the user, or "--set" for an override
	Line    int    // from 1; 0 = the whole file
	Path    string // of the setting, such as tenants.default.chain[0].hooks[1]; "" = the whole file
	Message string // one line, without position and path
}

// Error returns one line, such as "config.yaml:42: tenants.default.chain[0].timeout: MESSAGE".
func (p Problem) Error() string {
	place := Pos{p.File, p.Line}.String()
	if p.Path == "" {
		return place + ": " + p.Message
	}
	return place + ": " + p.Path + ": " + p.Message
}

// Problems are all mistakes in a configuration, at least one, sorted by file and line.
type Problems []Problem

// Error returns one line for each problem, without a newline after the last.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// Limits of the reported problems. A file can have a problem every two bytes. Its
// problems must neither fill logs nor hide the problems of other files.
const (
	maxProblems        = 1000
	maxProblemsPerFile = 100
)

func (l *load) problem(pos Pos, path, message string) {
	l.bad[path] = true
	if l.full(pos.File) {
		return
	}
	l.counts[pos.File]++
	l.problems = append(l.problems, Problem{pos.File, pos.Line, path, oneLine(message)})
}

// full reports whether a file has reached the limit of reported problems. If so, it
// records that a problem is left out.
func (l *load) full(file string) bool {
	full := l.counts[file] >= maxProblemsPerFile || len(l.problems) >= maxProblems
	if full {
		l.leftOut = true
	}
	return full
}

// reported returns the problems in order and without duplicates. If some are left out,
// the last problem is a note about it.
func (l *load) reported() Problems {
	l.problems.sort()
	all := slices.Compact(l.problems) // a mapping that is merged twice has its problems twice
	if l.leftOut {
		all = append(all, Problem{File: l.places[""].File, Message: fmt.Sprintf("there are more problems: at most %d of each file and %d in all are shown", maxProblemsPerFile, maxProblems)})
	}
	return all
}

// oneLine replaces control characters and invalid UTF-8, so that a name in a message
// cannot look like a second problem.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

// item returns the path of an element of a list, or the path of the list if the element
// is written without brackets.
func (l *load) item(list string, i int) string {
	path := cursor{path: list}.index(i).path
	if _, ok := l.places[path]; !ok {
		return list
	}
	return path
}

// pos returns the position of a setting, or of the nearest setting that contains it.
func (l *load) pos(path string) Pos {
	for path != "" {
		if pos, ok := l.places[path]; ok {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return l.places[""]
}
