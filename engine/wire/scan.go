package wire

import (
	"errors"
	"unicode/utf8"
)

// Errors of frames and lines.
var (
	ErrJSON  = errors.New("invalid JSON")
	ErrDepth = errors.New("JSON is nested too deep")
	ErrUTF8  = errors.New("text is not valid UTF-8")
)

// maxDepth is the deepest nesting of arrays and objects.
const maxDepth = 64

// check returns the JSON value in b without the space around it. It accepts the
// values that encoding/json accepts, except values that are nested too deep or not valid
// as UTF-8.
func check(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, ErrUTF8
	}
	start := skipSpace(b, 0)
	end, err := skipValue(b, start, 0)
	if err != nil {
		return nil, err
	}
	if skipSpace(b, end) != len(b) {
		return nil, ErrJSON
	}
	return b[start:end], nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns the index after the value that begins at i.
func skipValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return 0, ErrJSON
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i, depth+1)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipWord(b []byte, i int, word string) (int, error) {
	end := i + len(word)
	if end > len(b) || string(b[i:end]) != word {
		return 0, ErrJSON
	}
	return end, nil
}

func skipString(b []byte, i int) (int, error) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return 0, ErrJSON
		case c == '\\':
			i++
			if i == len(b) {
				return 0, ErrJSON
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(b, i+1); !ok {
					return 0, ErrJSON
				}
				i += 4
			default:
				return 0, ErrJSON
			}
		}
	}
	return 0, ErrJSON
}

// hex4 parses the four hexadecimal digits at i.
func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

func skipNumber(b []byte, i int) (int, error) {
	if b[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(b, i)
	if i == start || b[start] == '0' && i > start+1 {
		return 0, ErrJSON
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return 0, ErrJSON
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = skipDigits(b, start); i == start {
			return 0, ErrJSON
		}
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// skipNested skips the array or object that begins at i. depth is its nesting depth.
func skipNested(b []byte, i, depth int) (int, error) {
	if depth > maxDepth {
		return 0, ErrDepth
	}
	closer := b[i] + 2 // in ASCII, ']' and '}' are two after '[' and '{'
	object := closer == '}'
	var err error
	if i = skipSpace(b, i+1); i < len(b) && b[i] == closer {
		return i + 1, nil
	}
	for i < len(b) {
		if object {
			if i, err = skipKey(b, i); err != nil {
				return 0, err
			}
		}
		if i, err = skipValue(b, i, depth); err != nil {
			return 0, err
		}
		if i = skipSpace(b, i); i == len(b) {
			break
		}
		switch b[i] {
		case closer:
			return i + 1, nil
		case ',':
			i = skipSpace(b, i+1)
		default:
			return 0, ErrJSON
		}
	}
	return 0, ErrJSON
}

// skipKey skips a key and its colon, with the space around them.
func skipKey(b []byte, i int) (int, error) {
	if b[i] != '"' {
		return 0, ErrJSON
	}
	i, err := skipString(b, i)
	if err != nil {
		return 0, err
	}
	if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
		return 0, ErrJSON
	}
	return skipSpace(b, i+1), nil
}

// member is a member of an object: slices of the text of the object.
type member struct{ key, value []byte }

// name returns the key without quotes and escapes.
func (m member) name() []byte {
	inner := m.key[1 : len(m.key)-1]
	for _, c := range inner {
		if c == '\\' {
			return appendUnquoted(nil, inner)
		}
	}
	return inner
}

// walk iterates over the members of an object, or the values of an array. check must
// have accepted the text; otherwise the results are undefined.
type walk struct {
	b []byte
	i int // before a key or value, or at the end
}

func walkInto(b []byte) walk { return walk{b, skipSpace(b, 1)} }

func (w *walk) done() bool { return w.i >= len(w.b)-1 }

func (w *walk) member() member {
	start := w.i
	end, _ := skipString(w.b, start)
	w.i, _ = skipKey(w.b, start)
	return member{w.b[start:end], w.value()}
}

func (w *walk) value() []byte {
	start := w.i
	end, _ := skipValue(w.b, start, 0)
	w.i = skipSpace(w.b, end)
	if !w.done() {
		w.i = skipSpace(w.b, w.i+1)
	}
	return w.b[start:end]
}
