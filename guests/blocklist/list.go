package main

import (
	"errors"
	"slices"
)

// list finds listed words and phrases in a text. The time of a search depends on the text, and
// not on the number of words. It must not be used concurrently.
type list struct {
	alphabet
	inside bool // also finds words inside words

	automaton automaton
	patterns  []pattern
	letters   []letter // of all patterns

	// Buffers of the last search, which the next one uses again: without garbage, the garbage
	// collector does not delay the module.
	signs []sign
	found []span
}

// pattern is a listed word or phrase: its letters and digits, and a space for other
// characters between them.
type pattern struct {
	letters []letter
	alike   int32 // another pattern with the same classes, plus 1; 0: none
}

type letter struct{ folded, plain rune }

// span is a range of bytes of a text.
type span struct{ start, end int }

// grow reserves memory for this number of words, with this number of bytes in all. Growing
// step by step would leave memory behind that an instance cannot give back.
func (l *list) grow(words, bytes int) {
	l.patterns = slices.Grow(l.patterns, words)
	l.letters = slices.Grow(l.letters, bytes)
	l.automaton.states = slices.Grow(l.automaton.states, bytes+1)
}

// add adds a word or phrase, which is split into words as a text is.
func (l *list) add(phrase string) error {
	l.signs = l.read(l.signs[:0], phrase, false)
	signs := l.signs
	if len(signs) == 0 || signs[0].class == space || signs[len(signs)-1].class == space {
		return errors.New("must begin and end with a letter or a digit")
	}
	first := len(l.letters)
	for i := range signs {
		l.letters = append(l.letters, letter{signs[i].folded, signs[i].plain})
	}
	l.patterns = append(l.patterns, pattern{l.letters[first:], l.automaton.add(signs, int32(len(l.patterns)))})
	return nil
}

// find returns the places of listed words in text, in order and without overlaps. The result
// is valid until the next call.
func (l *list) find(text string) []span {
	l.automaton.finish()
	l.found = l.found[:0]
	l.search(text, false)
	if l.leet && hasSymbol(text) {
		l.search(text, true)
	}
	l.found = merged(l.found)
	return l.found
}

// search adds the places of listed words. symbols says whether symbols such as $ count as
// letters: the ! of "sh!p" does, the ! of "darn!" does not.
func (l *list) search(text string, symbols bool) {
	l.signs = l.read(l.signs[:0], text, symbols)
	state := int32(0)
	for i := range l.signs {
		state = l.automaton.step(state, l.signs[i].class)
		states := l.automaton.states
		for s := states[state].hit; s > 0; s = states[states[s].fail].hit {
			for word := states[s].word; word > 0; word = l.patterns[word-1].alike {
				p := l.patterns[word-1].letters
				if first := i + 1 - len(p); l.matches(p, first) {
					l.found = append(l.found, span{l.signs[first].start, l.signs[i].end})
				}
			}
		}
	}
}

// matches reports whether the signs from first on are the pattern. The automaton also finds
// other signs of the same classes, and numbers, which are not words.
func (l *list) matches(p []letter, first int) bool {
	if !l.inside && (!l.edge(first-1) || !l.edge(first+len(p))) {
		return false
	}
	letters, same := 0, true
	for i := range p {
		s := &l.signs[first+i]
		switch {
		case s.folded == p[i].folded:
		case s.plain == p[i].plain:
			same = false
		case standsFor(s.plain, p[i].plain):
			same = false
			continue
		default:
			return false
		}
		if s.class != space && !isDigit(s.plain) {
			letters++
		}
	}
	return same || letters > 0
}

// edge reports whether there is no letter or digit at i; symbols are not checked.
func (l *list) edge(i int) bool {
	return i < 0 || i >= len(l.signs) || l.signs[i].class == space || isSymbol(l.signs[i].plain)
}

// merged returns the spans in order, with overlapping ones joined.
func merged(spans []span) []span {
	// Insertion sort: the spans are few and almost sorted.
	for i := range spans {
		for k := i; k > 0 && spans[k].start < spans[k-1].start; k-- {
			spans[k], spans[k-1] = spans[k-1], spans[k]
		}
	}
	n := 0
	for _, s := range spans {
		if n > 0 && s.start < spans[n-1].end {
			spans[n-1].end = max(spans[n-1].end, s.end)
			continue
		}
		spans[n] = s
		n++
	}
	return spans[:n]
}
