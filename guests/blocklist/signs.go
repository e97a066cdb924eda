package main

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// alphabet maps characters to the signs that they stand for.
type alphabet struct {
	leet       bool // digits and symbols stand for letters
	lookalikes bool // marks are ignored, and letters that look alike are equal
}

// sign is a letter or digit of a text, or the characters between two words.
type sign struct {
	folded     rune // in lower case
	plain      rune // as written
	class      rune // equal for signs that may stand for each other; space is between words
	start, end int  // in the text
}

const space = ' '

// read appends the signs of a text. symbols says whether symbols that stand for letters are read as letters.
func (a *alphabet) read(all []sign, text string, symbols bool) []sign {
	for i, size := 0, 0; i < len(text); i += size {
		r := rune(text[i])
		size = 1
		if inASCII(text[i]) { // the common case; calls are expensive
			if r|0x20 >= 'a' {
				r |= 0x20
			}
			class := r
			if a.leet {
				class = leetClass(r)
			}
			all = append(all, sign{r, r, class, i, i + 1})
			continue
		}
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
			if a.lookalikes && invisible(r) {
				if n := len(all); n > 0 && all[n-1].end == i && all[n-1].class != space {
					all[n-1].end = i + size
				}
				continue
			}
		}
		if !inWord(r) && !(symbols && isSymbol(r)) {
			if n := len(all); n == 0 || all[n-1].class != space {
				all = append(all, sign{space, space, space, i, i + size})
			}
			continue
		}
		s := sign{folded: fold(r), start: i, end: i + size}
		s.plain = s.folded
		if a.lookalikes && r >= utf8.RuneSelf {
			s.plain = plainOf(s.folded)
		}
		s.class = s.plain
		if a.leet {
			s.class = leetClass(s.plain)
		}
		all = append(all, s)
	}
	return all
}

// invisible reports whether r is a mark, a joiner or a soft hyphen, which does not count as a character.
func invisible(r rune) bool {
	return unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Me, r)
}

func isSymbol(r rune) bool { return r < utf8.RuneSelf && strings.IndexByte("@$!|+", byte(r)) >= 0 }

func hasSymbol(text string) bool { return strings.ContainsAny(text, "@$!|+") }

func isDigit(r rune) bool {
	return '0' <= r && r <= '9' || isSymbol(r)
}

// leetClass returns the class that a letter and the characters that stand for it share. 1 stands
// for i and for l, so these three share a class.
func leetClass(r rune) rune {
	switch r {
	case '0':
		return 'o'
	case '1', '!', '|', 'l':
		return 'i'
	case '3':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7', '+':
		return 't'
	case '8':
		return 'b'
	case '9':
		return 'g'
	}
	return r
}

// standsFor reports whether the digit or symbol r stands for a letter in leetspeak.
func standsFor(r, letter rune) bool {
	return isDigit(r) && !isDigit(letter) && leetClass(r) == leetClass(letter)
}

func inASCII(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return inASCII(byte(r))
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || plainOf(r) != r)
}

// fold returns the first of the characters that differ from r only in case: k for the Kelvin
// sign. Letters of ASCII are in lower case.
func fold(r rune) rune {
	least := r
	if r >= utf8.RuneSelf {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// table has one line per letter and digit of ASCII: the character, and all that look like it.
// go run ./lookalikes generates it.
//
//go:embed lookalikes.txt
var table string

// looks is the table sorted by characters.
var looks = readTable(table)

type look struct{ r, plain rune }

func readTable(table string) []look {
	all := make([]look, 0, len(table)/3)
	for line := range strings.Lines(table) {
		plain := rune(line[0])
		for _, r := range line[1:] {
			if r != '\n' {
				all = append(all, look{r, plain})
			}
		}
	}
	slices.SortFunc(all, func(a, b look) int { return int(a.r - b.r) })
	return all
}

// plainOf returns the letter or digit of ASCII that r looks like; r itself if there is none.
func plainOf(r rune) rune {
	if i, ok := slices.BinarySearchFunc(looks, r, func(l look, r rune) int { return int(l.r - r) }); ok {
		return looks[i].plain
	}
	return r
}
