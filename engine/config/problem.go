package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	File    string // as the file was named, or "--set" for an override
	Line    int    // from 1; 0 = the whole file
	Path    string // of the setting, such as tenants.default.chain[0].hooks[1]; "" = the whole file
	Message string // one line, without the place
}

// Error is one line: "config.yaml:42: tenants.default.chain[0].timeout: what is wrong".
func (p Problem) Error() string {
	place := Pos{p.File, p.Line}.String()
	if p.Path == "" {
		return place + ": " + p.Message
	}
	return place + ": " + p.Path + ": " + p.Message
}

// Problems is everything that is wrong, at least one thing, sorted by file and line.
type Problems []Problem

// Error has one line for each problem, without a newline after the last.
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

// Bounds of the problems that are reported: the file of one tenant can have a problem every
// two bytes, and hides those of other files no more than it fills logs.
const (
	mostProblems     = 1000
	mostProblemsEach = 100 // of one file
)

func (l *load) problem(pos Pos, path, message string) {
	l.bad[path] = true
	if l.full(pos.File) {
		return
	}
	l.counts[pos.File]++
	l.problems = append(l.problems, Problem{pos.File, pos.Line, path, oneLine(message)})
}

// full tells whether no more problems of a file are reported. It counts the question as a
// problem that is left out.
func (l *load) full(file string) bool {
	full := l.counts[file] >= mostProblemsEach || len(l.problems) >= mostProblems
	if full {
		l.leftOut = true
	}
	return full
}

// reported is the problems in order, each once, and one more that says that some are left out.
func (l *load) reported() Problems {
	l.problems.sort()
	all := slices.Compact(l.problems) // what is merged in twice is wrong twice
	if l.leftOut {
		all = append(all, Problem{File: l.places[""].File, Message: fmt.Sprintf("there are more problems: of each file the first %d are shown, %d in all", mostProblemsEach, mostProblems)})
	}
	return all
}

// oneLine keeps what others put into a message, such as the name of a file, from
// looking like a second problem.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

// item is the path of an element of a list, which is that of the list where the element
// was written without brackets.
func (l *load) item(list string, i int) string {
	path := cursor{path: list}.index(i).path
	if _, ok := l.places[path]; !ok {
		return list
	}
	return path
}

// pos is where a setting was given, or else the nearest that it is part of.
func (l *load) pos(path string) Pos {
	for path != "" {
		if pos, ok := l.places[path]; ok {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return l.places[""]
}
