package main

import (
	"errors"
	"slices"
)

// list is words and phrases, and where they are in a text. What a search costs depends
// on the text, not on how many words are listed. It is for one goroutine at a time.
type list struct {
	alphabet
	inside bool // words are found within words, too

	automaton automaton
	patterns  []pattern
	letters   []letter // of all patterns

	// Of the text looked through last, to be used again: a module that makes no
	// garbage is not held up by its collector.
	signs []sign
	found []span
}

// pattern is a listed word or phrase: its letters and digits, and a space where others
// are between.
type pattern struct {
	letters []letter
	alike   int32 // another of the same classes, plus 1; 0: none
}

type letter struct{ folded, plain rune }

// span is a range of bytes of a text.
type span struct{ start, end int }

// grow makes room for so many words, of so many bytes in all: in an instance, memory that was
// left behind is not given back.
func (l *list) grow(words, bytes int) {
	l.patterns = slices.Grow(l.patterns, words)
	l.letters = slices.Grow(l.letters, bytes)
	l.automaton.states = slices.Grow(l.automaton.states, bytes+1)
}

// add lists a word or phrase. Its words are told apart as those of a text are.
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

// find is where listed words are in text, in order, none within another. The spans hold
// until the next call.
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

// search adds what is found where symbols such as $ are letters, or where they are not:
// the ! of "darn!" is none, that of "sh!p" is one.
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

// matches says whether the signs from first on are really the pattern: what is alike to the
// automaton is not yet the same, and a number is no word.
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

// edge says whether there is no letter or digit at i; a symbol need not be one.
func (l *list) edge(i int) bool {
	return i < 0 || i >= len(l.signs) || l.signs[i].class == space || isSymbol(l.signs[i].plain)
}

// merged is the spans in order; those that overlap are one.
func merged(spans []span) []span {
	// They come nearly in order, and are few.
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
