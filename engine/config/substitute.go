package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxFilled limits the bytes that all ${...} of a load insert, because a small file can
// refer to a large one many times.
const maxFilled = 16 << 20

var variableShape = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var errFilled = fmt.Errorf("the values of all ${...} together are larger than %s: use smaller files, or fewer references", ByteSize(maxFilled))

var errOff = errors.New(`is off in an included file: write the value here, write "$${" for the two characters, or set include: [{ files: ..., secrets: DIRECTORY }] in the main file`)

// fill replaces ${NAME}, ${NAME:-default} and ${file:PATH} in a value. filled reports
// whether the value has such a reference. "$${" is an escape for "${".
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
			return "", true, errors.New(`a "${" has no "}": close it, or write "$${" for the two characters`)
		}
		value := ""
		var err error
		if d.filled <= maxFilled { // beyond the limit files are not read
			value, err = d.resolve(reference)
		}
		if err != nil {
			return "", true, fmt.Errorf("%s: %w", quote("${"+reference+"}"), err)
		}
		d.note(d.visible, value, "${"+reference+"}")
		if d.filled += len(value); d.filled > maxFilled {
			return "", true, errFilled
		}
		out.WriteString(value)
		text, filled = rest, true
	}
}

// resolve returns the value of a reference. The argument is the text between "${" and
// "}".
func (d *decoder) resolve(reference string) (string, error) {
	path, isFile := strings.CutPrefix(reference, "file:")
	if kind, _, _ := strings.Cut(reference, ":"); kind == "lines" || kind == "json" {
		return "", fmt.Errorf("must be the whole value, in the config of a chain entry: write KEY: ${%s:PATH}, without quotes around more text", kind)
	}
	switch {
	case d.included && d.secrets.Absolute == "":
		return "", errOff
	case d.included && !isFile:
		return "", errors.New("the environment is off in an included file: use ${file:NAME} with a file of its directory of secrets")
	case isFile:
		return d.secretFile(path)
	}
	name, fallback, hasFallback := strings.Cut(reference, ":-")
	if !variableShape.MatchString(name) {
		return "", errors.New("is not a valid reference: use ${NAME}, ${NAME:-default} or ${file:PATH}")
	}
	if strings.Contains(fallback, "${") {
		return "", errors.New("a default cannot contain ${...}: write a plain value")
	}
	value, ok := d.env(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !ok:
		return "", errors.New("the environment variable is not set: set it, or write ${NAME:-default}")
	case !utf8.ValidString(value):
		return "", errors.New("the environment variable is not valid UTF-8")
	}
	return value, nil
}

// secretFile returns the text of a file without its final newline.
func (d *decoder) secretFile(path string) (string, error) {
	text, err := d.fileText(path)
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), err
}
