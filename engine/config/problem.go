package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
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
	if key := keyOf(path); pos.File == overrideFile {
		l.blamed[""] = true
	} else {
		l.blamed[key] = true
	}
	l.addProblem(Problem{pos.File, pos.Line, path, oneLine(message)})
}

// addProblem adds a problem, unless there are too many.
func (l *load) addProblem(p Problem) {
	if l.full(p.File) {
		return
	}
	l.counts[p.File]++
	l.problems = append(l.problems, p)
}

// overrideFile is the File of the position of an override.
const overrideFile = "--set"

func tenantKey(name string) string { return cursor{path: "tenants"}.key(name).path }
func moduleKey(name string) string { return cursor{path: "modules"}.key(name).path }

// keyOf returns the path of the tenant or the module to which a path belongs; "" if there is none.
func keyOf(path string) string {
	for _, section := range []string{"tenants.", "modules."} {
		rest, ok := strings.CutPrefix(path, section)
		if !ok {
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			end = len(quoted)
			if strings.HasPrefix(rest[end:], "...") {
				end += len("...")
			}
		}
		if end < 0 {
			return path
		}
		return path[:len(section)+end]
	}
	return ""
}

// isBad reports whether there is a problem of the setting at path.
func (l *load) isBad(path string) bool {
	if l.bad[path] {
		return true
	}
	p := l.home[keyOf(path)]
	return p != nil && p.own.bad[path]
}

// has returns the position of a setting in the files.
func (l *load) has(path string) (Pos, bool) {
	if pos, ok := l.places[path]; ok {
		return pos, true
	}
	if p := l.home[keyOf(path)]; p != nil {
		pos, ok := p.own.places[path]
		return pos, ok
	}
	return Pos{}, false
}

// shownAt returns the text by which messages show the setting at path, if it has a ${...}.
func (l *load) shownAt(path string) (string, bool) {
	shown, filled := l.shown[path]
	if p := l.home[keyOf(path)]; p != nil && !filled && l.places[path] == (Pos{}) { // otherwise an override replaced the value
		shown, filled = p.own.shown[path]
	}
	return shown, filled
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
	if _, ok := l.has(path); !ok {
		return list
	}
	return path
}

// pos returns the position of a setting, or of the nearest setting that contains it.
func (l *load) pos(path string) Pos {
	for path != "" {
		if pos, ok := l.has(path); ok {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return l.places[""]
}
