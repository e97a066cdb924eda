package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string in the form of JavaScript's JSON.stringify, but
// with U+2028 and U+2029 escaped. Bytes of s that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if !(r == utf8.RuneError && n == 1) && r != '\u2028' && r != '\u2029' {
				i += n
				continue
			}
			dst = appendReplaced(append(dst, s[start:i]...), r)
			i += n
			start = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		i++
		start = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// appendReplaced appends the replacement of a rune that AppendString does not copy.
func appendReplaced(dst []byte, r rune) []byte {
	switch r {
	case '\u2028':
		return append(dst, `\u2028`...)
	case '\u2029':
		return append(dst, `\u2029`...)
	}
	return append(dst, "\uFFFD"...)
}

// appendJSON appends the text of a JSON value on one line. In strings it makes the same
// replacements as AppendString.
func appendJSON(dst, value []byte) []byte {
	start := 0
	for i := 0; i < len(value); {
		if plain(value[i:]) {
			i += 8
			continue
		}
		c := value[i]
		if c < utf8.RuneSelf {
			i++
			// Valid JSON strings contain no line ends, so this is space between tokens.
			if c == '\n' || c == '\r' {
				dst = append(dst, value[start:i-1]...)
				start = i
			}
			continue
		}
		r, n := utf8.DecodeRune(value[i:])
		if r == utf8.RuneError && n == 1 || r == '\u2028' || r == '\u2029' {
			dst = appendReplaced(append(dst, value[start:i]...), r)
			start = i + n
		}
		i += n
	}
	return append(dst, value[start:]...)
}

// appendCompact appends a JSON value without the space between tokens. Strings have the
// form of AppendString, so that equal strings have equal bytes; a surrogate without its other
// half becomes U+FFFD. Numbers, and members with the same name, do not change.
func appendCompact(dst, value []byte) []byte {
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			end, _ := skipString(value, i)
			dst = AppendString(dst, unquote(value[i:end]))
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// depthOf returns the depth of the deepest array or object of a value.
func depthOf(value []byte) (deepest int) {
	depth := 0
	for i := 0; i < len(value); {
		switch value[i] {
		case '"':
			i, _ = skipString(value, i)
			continue
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
		i++
	}
	return deepest
}

// plain reports whether b begins with eight ASCII characters without a control character.
func plain(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	const high, spaces = 0x8080808080808080, 0x2020202020202020
	x := binary.LittleEndian.Uint64(b)
	return (x|(x-spaces))&high == 0
}

// appendMembers appends the members of an object, each after a comma.
func appendMembers(dst, object []byte) []byte {
	inner := bytes.TrimSpace(object)
	if len(inner) < 2 {
		return dst
	}
	if inner = bytes.TrimSpace(inner[1 : len(inner)-1]); len(inner) == 0 {
		return dst
	}
	return appendJSON(append(dst, ','), inner)
}

// unquote returns the text of a JSON string that check has accepted.
func unquote(s []byte) string {
	inner := s[1 : len(s)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	return string(appendUnquoted(nil, inner))
}

// appendUnquoted appends the text of a JSON string. inner is the string without its
// quotes. A surrogate without its other half becomes U+FFFD.
func appendUnquoted(dst, inner []byte) []byte {
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:i]...)
		c := inner[i+1]
		inner = inner[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(inner, 0)
			inner = inner[4:]
			if utf16.IsSurrogate(r) {
				var low rune
				if len(inner) >= 6 && inner[0] == '\\' && inner[1] == 'u' {
					low, _ = hex4(inner, 2)
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					inner = inner[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}

// appendText appends a JSON value as text, converted like JavaScript's String(). The
// argument null is the text for null.
func appendText(dst, value []byte, null string) []byte {
	switch value[0] {
	case '"':
		return appendUnquoted(dst, value[1:len(value)-1])
	case 'n':
		return append(dst, null...)
	case 't', 'f':
		return append(dst, value...)
	case '{':
		return append(dst, "[object Object]"...)
	case '[':
		for w := walkInto(value); !w.done(); {
			dst = appendText(dst, w.value(), "")
			if !w.done() {
				dst = append(dst, ',')
			}
		}
		return dst
	}
	return appendNumber(dst, value)
}

// appendNumber appends a JSON number as JavaScript converts it to text.
func appendNumber(dst, value []byte) []byte {
	f, _ := strconv.ParseFloat(string(value), 64) // out of range is ±Inf
	abs := math.Abs(f)
	switch {
	case f == 0:
		return append(dst, '0') // also -0
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes an exponent with at least two digits, such as 1e-07.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// falsy reports whether a JSON value is falsy in JavaScript.
func falsy(value []byte) bool {
	switch value[0] {
	case '"':
		return len(value) == 2
	case 'n', 'f':
		return true
	case 't', '{', '[':
		return false
	}
	f, _ := strconv.ParseFloat(string(value), 64)
	return f == 0
}
