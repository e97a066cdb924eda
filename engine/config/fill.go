package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxFilled bounds what a load may take from outside: a small file can name a large
// one very often.
const maxFilled = 16 << 20

var variableShape = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// fill replaces ${NAME}, ${NAME:-default} and ${file:PATH} in a value, and tells
// whether there was one. "$${" stands for "${" itself.
func (d *decoder) fill(text string) (_ string, filled bool, _ error) {
	var out strings.Builder
	if d.literal {
		return text, false, nil
	}
	for {
		before, after, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), filled, nil
		}
		if strings.HasSuffix(before, "$") {
			out.WriteString("{")
			text = after
			continue
		}
		reference, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", true, errors.New(`"${" is never closed; write "$${" for the two characters`)
		}
		value := ""
		var err error
		if d.filled <= maxFilled { // else do not even read it
			value, err = d.resolve(reference)
		}
		if err != nil {
			return "", true, fmt.Errorf("%s: %w", quote("${"+reference+"}"), err)
		}
		d.note(value, "${"+reference+"}")
		if d.filled += len(value); d.filled > maxFilled {
			return "", true, fmt.Errorf("all that ${...} brings in is more than %s", ByteSize(maxFilled))
		}
		out.WriteString(value)
		text, filled = rest, true
	}
}

// resolve is the value of what stands between "${" and "}".
func (d *decoder) resolve(reference string) (string, error) {
	path, isFile := strings.CutPrefix(reference, "file:")
	switch {
	case d.guest && d.secrets.Absolute == "":
		return "", errors.New(`is off in an included file: put the value here, "$${" for the two characters, or have the file that includes this one say include: [{ files: ..., secrets: DIRECTORY }]`)
	case d.guest && !isFile:
		return "", errors.New("the environment is off in an included file: want ${file:NAME}, a file of its directory of secrets")
	case isFile:
		return d.secretFile(path)
	}
	name, fallback, hasFallback := strings.Cut(reference, ":-")
	if !variableShape.MatchString(name) {
		return "", errors.New("want ${NAME}, ${NAME:-default} or ${file:PATH}")
	}
	if strings.Contains(fallback, "${") {
		return "", errors.New("a default cannot hold another ${...}")
	}
	value, ok := d.env(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !ok:
		return "", errors.New("the environment has no such variable")
	case !utf8.ValidString(value):
		return "", errors.New("the variable is not UTF-8")
	}
	return value, nil
}

// secretFile is the text of a file without the newline that editors put at its end.
func (d *decoder) secretFile(path string) (string, error) {
	if path == "" {
		return "", errors.New("the path is missing")
	}
	from := relative(d.file, path)
	if d.guest {
		from = Path{Absolute: path, Within: d.secrets.Absolute}
	}
	text, err := d.disk.read(from)
	if err != nil {
		return "", errors.New(reason(err))
	}
	if !utf8.Valid(text) {
		return "", errors.New("the file is not UTF-8")
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}
