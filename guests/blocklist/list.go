package main

import (
	"errors"
	"unicode"
	"unicode/utf8"
)

// list is words and phrases, each a path of folded words from the root. A text
// is looked through word by word, so that what it costs depends on the text and
// the longest phrase, not on how many words are listed. It is for one goroutine at
// a time.
type list struct {
	root    node
	longest int // word of a listed phrase, in bytes

	// Of the text looked through last, to be used again: a module that makes no
	// garbage is not held up by its collector.
	words []span
	key   []byte
	found []span
}

type node struct {
	next map[string]*node
	end  bool // a listed word or phrase ends here
}

// span is a range of bytes of a text.
type span struct{ start, end int }

// add lists a word or phrase. Its words are told apart as those of a text are.
func (l *list) add(phrase string) error {
	first, _ := utf8.DecodeRuneInString(phrase)
	last, _ := utf8.DecodeLastRuneInString(phrase)
	if !inWord(first) || !inWord(last) {
		return errors.New("must begin and end with a letter or a digit")
	}
	n := &l.root
	for _, w := range words(nil, phrase) {
		key := string(fold(nil, phrase[w.start:w.end]))
		l.longest = max(l.longest, len(key))
		if n.next == nil {
			n.next = make(map[string]*node)
		}
		if n.next[key] == nil {
			n.next[key] = new(node)
		}
		n = n.next[key]
	}
	n.end = true
	return nil
}

// find is where listed words are in text, in order, the longest at each place. The
// spans hold until the next call.
func (l *list) find(text string) []span {
	l.words, l.found = words(l.words[:0], text), l.found[:0]
	for i := 0; i < len(l.words); i++ {
		if last := l.phraseAt(text, i); last >= i {
			l.found = append(l.found, span{l.words[i].start, l.words[last].end})
			i = last
		}
	}
	return l.found
}

// phraseAt is the last word of the longest listed phrase that begins with word
// first; -1 if none does.
func (l *list) phraseAt(text string, first int) int {
	n, last := &l.root, -1
	for i := first; i < len(l.words) && n.next != nil; i++ {
		word := text[l.words[i].start:l.words[i].end]
		if len(word) > utf8.UTFMax*l.longest {
			break // folding keeps the number of characters
		}
		l.key = fold(l.key[:0], word)
		if n = n.next[string(l.key)]; n == nil {
			break
		}
		if n.end {
			last = i
		}
	}
	return last
}

// words appends the longest runs of letters, digits and marks in text.
func words(all []span, text string) []span {
	start := -1
	for i, size := 0, 0; i < len(text); i += size {
		var in bool
		if c := text[i]; c < utf8.RuneSelf { // most are, and calls are what costs
			in, size = inASCII(c), 1
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(text[i:])
			in = inWord(r)
		}
		switch {
		case in && start < 0:
			start = i
		case !in && start >= 0:
			all = append(all, span{start, i})
			start = -1
		}
	}
	if start >= 0 {
		all = append(all, span{start, len(text)})
	}
	return all
}

func inASCII(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return inASCII(byte(r))
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// fold appends s in a form that is the same for all its spellings in capitals
// and small letters.
func fold(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return foldAll(dst, s[i:])
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// foldAll is fold for all characters.
func foldAll(dst []byte, s string) []byte {
	for _, r := range s {
		if r >= utf8.RuneSelf {
			r = smallest(r)
		}
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// smallest is the first of the characters that differ from r only in case: the
// Kelvin sign is a K.
func smallest(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
