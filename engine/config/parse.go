package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

var placeOfError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// maxSearched limits the size of a text in which the line of an error is searched, in
// bytes. The search parses the text up to 20 times.
const maxSearched = 64 << 10

var errEmptied = errors.New("the file is empty, as a full disk or an interrupted write leaves it: write it again; if it is to have no settings, write a comment")

// emptied reports whether a file has no text, and tenants or modules of it are in use. A reload
// would remove them, and with them the rules of chats that go on.
func (l *load) emptied(file Path, text []byte) bool {
	if l.inUse == nil || len(bytes.TrimSpace(text)) > 0 {
		return false
	}
	of := func(p Pos) bool { return p.File == file.Written && p.Line > 0 }
	for _, t := range l.inUse.Tenants {
		if of(t.Pos) {
			return true
		}
	}
	for _, m := range l.inUse.Modules {
		if of(m.Pos) {
			return true
		}
	}
	return len(l.inUse.Include) > 0 && file.Absolute == l.inUse.File.Absolute
}

// parse returns the tree of text; nil if it is empty. line is the line of the error, or 0.
func parse(text []byte) (root *yaml.Node, line int, err error) {
	if len(text) > maxFile {
		return nil, 0, fmt.Errorf("the file is larger than %s: split it with include", ByteSize(maxFile))
	}
	first, second, err := documents(text)
	switch {
	case err != nil:
		return nil, lineOf(text, err), errors.New("is not valid YAML: " + withoutLine(err))
	case !second.IsZero():
		return nil, second.Line, errors.New("a second document begins here: a file must have one document; remove the \"---\"")
	case first.IsZero():
		return nil, 0, nil
	}
	return first.Content[0], 0, nil
}

// documents parses the first two documents of text. A missing one is zero.
func documents(text []byte) (first, second yaml.Node, err error) {
	// The parser panics on some malformed texts.
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the text confuses the parser")
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err = decoder.Decode(&first); err == nil {
		err = decoder.Decode(&second)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first, second, err
}

// lineOf returns the line of an error of the parser. This is the last line of the
// shortest prefix of text that causes the same error. The line in the parser's error is
// often that of the enclosing block, or of the end; lineOf uses it for large texts.
func lineOf(text []byte, wrong error) int {
	if len(text) > maxSearched {
		line, _ := strconv.Atoi(placeOfError.FindStringSubmatch(wrong.Error())[1])
		return line
	}
	same := error.Error
	if strings.HasSuffix(wrong.Error(), "unexpected end of stream") { // an open quote: the parser names the line of the end
		same = withoutLine
	}
	var ends []int
	for i, c := range text {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	return 1 + sort.Search(len(ends), func(i int) bool {
		_, _, err := documents(text[:ends[i]])
		return err != nil && same(err) == same(wrong)
	})
}

func withoutLine(err error) string {
	return placeOfError.ReplaceAllString(err.Error(), "")
}
