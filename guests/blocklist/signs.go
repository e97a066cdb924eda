package main

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// alphabet is how characters are read.
type alphabet struct {
	leet       bool // digits and symbols stand for letters
	lookalikes bool // marks do not count, and letters that look alike are one
}

// sign is a letter or digit of a text, or all that is between two words.
type sign struct {
	folded     rune // without capitals
	plain      rune // as it looks
	class      rune // the same for all that may be one another; space is between words
	start, end int  // in the text
}

const space = ' '

// read appends the signs of a text. With symbols, those that stand for letters are read so.
func (a *alphabet) read(all []sign, text string, symbols bool) []sign {
	for i, size := 0, 0; i < len(text); i += size {
		r := rune(text[i])
		size = 1
		if inASCII(text[i]) { // most are, and calls are what costs
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

// invisible is what is no character of its own: marks, joiners, soft hyphens.
func invisible(r rune) bool {
	return unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Me, r)
}

func isSymbol(r rune) bool { return r < utf8.RuneSelf && strings.IndexByte("@$!|+", byte(r)) >= 0 }

func hasSymbol(text string) bool { return strings.ContainsAny(text, "@$!|+") }

func isDigit(r rune) bool {
	return '0' <= r && r <= '9' || isSymbol(r)
}

// leetClass is one for a letter and all that stands for it; 1 stands for i and for l, so these
// are one class, too.
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

// standsFor says whether the digit or symbol r stands for a letter in leetspeak.
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

// fold is the first of the characters that differ from r only in case: the Kelvin sign is a
// K. Those of ASCII are small.
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

// table is a line for each letter and digit of ASCII: it, and all that look like it. It is made by
// go run ./lookalikes.
//
//go:embed lookalikes.txt
var table string

// looks is the table by characters, in order.
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

// plainOf is the letter or digit of ASCII that r looks like, else r.
func plainOf(r rune) rune {
	if i, ok := slices.BinarySearchFunc(looks, r, func(l look, r rune) int { return int(l.r - r) }); ok {
		return looks[i].plain
	}
	return r
}
