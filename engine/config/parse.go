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

// maxSearched is how large a text may be, in bytes, in which the line of a mistake is looked
// for: that parses it up to 20 times.
const maxSearched = 64 << 10

// parse makes the tree of text, nil where it holds nothing. line is that of the error,
// 0 where the whole text is wrong.
func parse(text []byte) (root *yaml.Node, line int, err error) {
	if len(text) > maxFile {
		return nil, 0, fmt.Errorf("the file is larger than %s", ByteSize(maxFile))
	}
	first, second, err := documents(text)
	switch {
	case err != nil:
		return nil, lineOf(text, err), errors.New("bad YAML: " + withoutLine(err))
	case !second.IsZero():
		return nil, second.Line, errors.New("a second document begins here; one file is one document")
	case first.IsZero():
		return nil, 0, nil
	}
	return first.Content[0], 0, nil
}

// documents reads the first two documents of text. One that is not there is zero.
func documents(text []byte) (first, second yaml.Node, err error) {
	// The parser panics on what its authors did not think of.
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the parser cannot read this")
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

// lineOf is the line that an error of the parser is about: the last of the fewest lines
// that have the same error. The line that the parser names is where the block around
// begins, counted from 0 or from 1, or the end of the text, or none: it has to do for a large
// text.
func lineOf(text []byte, wrong error) int {
	if len(text) > maxSearched {
		line, _ := strconv.Atoi(placeOfError.FindStringSubmatch(wrong.Error())[1])
		return line
	}
	same := error.Error
	if strings.HasSuffix(wrong.Error(), "unexpected end of stream") { // of an open quote, at whatever end there is
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
