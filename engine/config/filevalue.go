package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// wholeFile reports whether a value is ${lines:PATH} or ${json:PATH} and nothing else. It returns the kind and the path.
func wholeFile(text string) (kind, path string, ok bool) {
	inner, begins := strings.CutPrefix(text, "${")
	inner, ends := strings.CutSuffix(inner, "}")
	if !begins || !ends || strings.ContainsAny(inner, "${}") {
		return "", "", false
	}
	kind, path, ok = strings.Cut(inner, ":")
	return kind, path, ok && (kind == "lines" || kind == "json")
}

// fileValue returns the value that ${lines:PATH} or ${json:PATH} stands for in the config of a module. Such a file is no
// secret: logs may show parts of it. The rules of ${file:PATH} apply to its path.
func (d *decoder) fileValue(kind, path string) (any, error) {
	switch {
	case d.included && d.secrets.Absolute == "":
		return nil, errOff
	case d.filled > maxFilled:
		return nil, errFilled
	}
	text, err := d.fileText(path)
	if err != nil {
		return nil, err
	}
	if d.filled += len(text); d.filled > maxFilled {
		return nil, errFilled
	}
	d.fills++
	if d.content == nil {
		d.content = sha256.New()
	}
	fmt.Fprintf(d.content, "%d %s", len(text), text)
	if kind == "lines" && len(text) == 0 {
		return nil, errors.New("the file is empty, as a full disk or an interrupted write leaves it: write its lines again; for an empty list, write an empty line")
	}
	if kind == "lines" {
		list := []any{}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
				list = append(list, line)
			}
		}
		return list, nil
	}
	return jsonValue(text)
}

// fileText reads a file of ${file:...}, ${lines:...} or ${json:...}.
func (d *decoder) fileText(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("the path of the file is missing")
	}
	from := relative(d.file, path)
	if d.included {
		from = Path{Absolute: path, Within: d.secrets.Absolute}
	}
	text, err := d.disk.read(from)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	if !utf8.Valid(text) {
		return nil, errors.New("the file is not valid UTF-8")
	}
	return text, nil
}

// jsonValue decodes the JSON in a file. Numbers keep their digits. The error has the line.
func jsonValue(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&value)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more after the value")
		}
	}
	if err != nil {
		line := 1 + bytes.Count(text[:min(int(d.InputOffset()), len(text))], []byte{'\n'})
		if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
			line = 1 + bytes.Count(text[:min(int(wrong.Offset), len(text))], []byte{'\n'})
		}
		return nil, fmt.Errorf("the file is not JSON: line %d: %w", line, err)
	}
	if depth(value) > maxDepth {
		return nil, fmt.Errorf("the file has more than %d nested values", maxDepth)
	}
	return value, nil
}

func depth(value any) (most int) {
	switch v := value.(type) {
	case map[string]any:
		for _, one := range v {
			most = max(most, depth(one))
		}
	case []any:
		for _, one := range v {
			most = max(most, depth(one))
		}
	default:
		return 0
	}
	return most + 1
}
