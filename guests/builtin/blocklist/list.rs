//! Finds listed words and phrases in a text. The time of a search depends on the text, and not on the number of words.

use crate::automaton::Automaton;
use crate::signs::{in_word, invisible, is_digit, is_symbol, stands_for, Alphabet, Sign, SPACE};

pub struct List {
    pub alphabet: Alphabet,
    pub inside: bool, // also finds words inside words

    automaton: Automaton,
    plain: [u8; 128],   // columns of a scan in which symbols are not letters
    symbols: [u8; 128], // columns of a scan in which they are
    patterns: Vec<Pattern>,
    letters: Vec<Letter>, // of all patterns

    // Buffers of the last search, which the next one uses again.
    signs: Vec<Sign>,
    found: Vec<Span>,
}

/// A listed word or phrase: its letters and digits, and a space for other characters between them.
struct Pattern {
    first: usize, // in the letters of the list
    len: usize,
    alike: u32, // another pattern with the same classes, plus 1; 0: none
}

struct Letter {
    folded: u32,
    plain: u32,
}

/// A range of bytes of a text.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl List {
    pub fn new() -> List {
        let alphabet = Alphabet { leet: true, lookalikes: true };
        List { alphabet, inside: false, automaton: Automaton::new(), plain: [0; 128], symbols: [0; 128], patterns: Vec::new(), letters: Vec::new(), signs: Vec::new(), found: Vec::new() }
    }

    /// Adds a word or phrase, which is split into words as a text is. Returns false if it does not begin and end with a letter
    /// or a digit.
    pub fn add(&mut self, phrase: &str) -> bool {
        self.signs.clear();
        self.alphabet.read(&mut self.signs, phrase, false);
        let ends = |sign: Option<&Sign>| sign.map_or(true, |s| s.class == SPACE);
        if ends(self.signs.first()) || ends(self.signs.last()) {
            return false;
        }
        let (first, len) = (self.letters.len(), self.signs.len());
        self.letters.extend(self.signs.iter().map(|s| Letter { folded: s.folded, plain: s.plain }));
        let alike = self.automaton.add(&self.signs, self.patterns.len() as u32);
        self.patterns.push(Pattern { first, len, alike });
        true
    }

    /// Prepares the list for [`List::mask`]. Call it after the last add.
    pub fn finish(&mut self) {
        self.automaton.finish();
        self.plain = self.alphabet.columns(false);
        self.symbols = self.alphabet.columns(self.alphabet.leet);
    }

    /// The text with a * for each letter or digit of a listed word, and for each symbol that stands for one; `None` if there is
    /// no listed word.
    pub fn mask(&mut self, text: &str) -> Option<String> {
        self.find(text);
        if self.found.is_empty() {
            return None;
        }
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for s in &self.found {
            out.push_str(&text[done..s.start]);
            for c in text[s.start..s.end].chars() {
                let r = c as u32;
                if self.alphabet.lookalikes && invisible(r) {
                    continue;
                }
                out.push(if in_word(r) || self.alphabet.leet && is_symbol(r) { '*' } else { c });
            }
            done = s.end;
        }
        out.push_str(&text[done..]);
        Some(out)
    }

    /// Finds the places of listed words in text, in order and without overlaps.
    fn find(&mut self, text: &str) {
        self.found.clear();
        if self.clean(text.as_bytes()) {
            return;
        }
        self.search(text, false);
        if self.alphabet.leet && text.bytes().any(|c| is_symbol(u32::from(c))) {
            self.search(text, true);
        }
        // They are few and almost sorted.
        self.found.sort_by_key(|s| s.start);
        self.found.dedup_by(|next, last| {
            let overlaps = next.start < last.end;
            if overlaps {
                last.end = last.end.max(next.end);
            }
            overlaps
        });
    }

    /// Whether a text surely has no listed word. Most texts are clean, and this is much faster than a search.
    fn clean(&self, text: &[u8]) -> bool {
        match self.automaton.scan(text, &self.symbols) {
            None => false,
            Some(false) => true, // there are no symbols
            Some(true) => self.automaton.scan(text, &self.plain).is_some(),
        }
    }

    /// Adds the places of listed words. symbols says whether symbols such as $ count as letters: the ! of "sh!p" does, the ! of
    /// "darn!" does not.
    fn search(&mut self, text: &str, symbols: bool) {
        self.signs.clear();
        self.alphabet.read(&mut self.signs, text, symbols);
        let (mut state, mut done) = (0, 0);
        while done < self.signs.len() {
            let (next, read) = self.automaton.run(state, &self.signs[done..]);
            state = next;
            done += read;
            let mut hit = self.automaton.hit(state);
            while hit > 0 {
                let mut word = self.automaton.word(hit);
                while word > 0 {
                    let p = &self.patterns[word as usize - 1];
                    let first = done - p.len;
                    if self.matches(p, first) {
                        let (start, end) = (self.signs[first].start as usize, self.signs[done - 1].end as usize);
                        self.found.push(Span { start, end });
                    }
                    word = p.alike;
                }
                hit = self.automaton.shorter(hit);
            }
        }
    }

    /// Whether the signs from first on are the pattern. The automaton also finds other signs of the same classes, and numbers,
    /// which are not words.
    fn matches(&self, p: &Pattern, first: usize) -> bool {
        if !self.inside && !((first == 0 || self.edge(first - 1)) && self.edge(first + p.len)) {
            return false;
        }
        let (mut letters, mut same) = (0, true);
        for (s, want) in self.signs[first..].iter().zip(&self.letters[p.first..p.first + p.len]) {
            if s.folded != want.folded {
                same = false;
                if s.plain != want.plain {
                    if stands_for(s.plain, want.plain) {
                        continue;
                    }
                    return false;
                }
            }
            if s.class != SPACE && !is_digit(s.plain) {
                letters += 1;
            }
        }
        same || letters > 0
    }

    /// Whether there is no letter or digit at i; symbols are not checked.
    fn edge(&self, i: usize) -> bool {
        self.signs.get(i).map_or(true, |s| s.class == SPACE || is_symbol(s.plain))
    }
}
