//! Maps characters to the signs that they stand for.

use crate::automaton::{Automaton, MARK};
use crate::tables::{FOLDS, INVISIBLE, IN_WORD, LOOKS};

pub struct Alphabet {
    pub leet: bool,       // digits and symbols stand for letters
    pub lookalikes: bool, // marks are ignored, and letters that look alike are equal
}

/// A letter or digit of a text, or the characters between two words.
#[derive(Clone, Copy)]
pub struct Sign {
    pub folded: u32, // in lower case
    pub plain: u32,  // as written
    pub class: u32,  // equal for signs that may stand for each other; SPACE is between words
    pub start: u32,  // in the text
    pub end: u32,
}

pub const SPACE: u32 = ' ' as u32;

impl Alphabet {
    /// Appends the signs of a text. symbols says whether symbols that stand for letters are read as letters.
    pub fn read(&self, all: &mut Vec<Sign>, text: &str, symbols: bool) {
        all.reserve(text.len());
        let bytes = text.as_bytes();
        let mut i = 0;
        loop {
            i = self.read_ascii(all, bytes, i, symbols);
            if i == bytes.len() {
                return;
            }
            let start = i as u32;
            let r = text[i..].chars().next().unwrap_or('\u{fffd}');
            i += r.len_utf8();
            let (r, end) = (r as u32, i as u32);
            if self.lookalikes && invisible(r) {
                if let Some(last) = all.last_mut().filter(|last| last.end == start && last.class != SPACE) {
                    last.end = end;
                }
            } else if in_word(r) || symbols && is_symbol(r) {
                let folded = fold(r);
                let plain = if self.lookalikes && r >= 0x80 { plain_of(folded) } else { folded };
                all.push(Sign { folded, plain, class: self.class(plain), start, end });
            } else if all.last().map_or(true, |last| last.class != SPACE) {
                all.push(Sign { folded: SPACE, plain: SPACE, class: SPACE, start, end });
            }
        }
    }

    /// Appends the signs of the characters from i on that are ASCII, up to a symbol that is read as a letter. Returns the index
    /// of the first other character. A loop that calls nothing is faster.
    #[inline(never)]
    fn read_ascii(&self, all: &mut Vec<Sign>, bytes: &[u8], mut i: usize, symbols: bool) -> usize {
        let mut spaced = all.last().map_or(false, |last| last.class == SPACE);
        let (len, mut n) = (all.len(), 0);
        let free = all.spare_capacity_mut();
        while i < bytes.len() && bytes[i] < 0x80 {
            let r = LETTERS[bytes[i] as usize];
            if r == SPACE as u8 {
                if symbols && is_symbol(u32::from(bytes[i])) {
                    break;
                }
                if spaced {
                    i += 1;
                    continue;
                }
            }
            spaced = r == SPACE as u8;
            let r = u32::from(r);
            free[n].write(Sign { folded: r, plain: r, class: self.class(r), start: i as u32, end: i as u32 + 1 });
            n += 1;
            i += 1;
        }
        unsafe { all.set_len(len + n) }; // that many are written
        i
    }

    /// The columns of the bytes of ASCII in [`Automaton::scan`]. With symbols set, symbols that stand for letters are read as
    /// letters, and have MARK.
    pub fn columns(&self, symbols: bool) -> [u8; 128] {
        let mut all = [0; 128];
        for (r, column) in (0..).zip(all.iter_mut()) {
            *column = if symbols && is_symbol(r) {
                Automaton::column(self.class(r)) | MARK
            } else {
                Automaton::column(self.class(u32::from(LETTERS[r as usize])))
            };
        }
        all
    }

    fn class(&self, r: u32) -> u32 {
        if self.leet && r < 128 {
            u32::from(CLASSES[r as usize])
        } else {
            r
        }
    }
}

/// The class that a letter and the characters that stand for it share. 1 stands for i and for l, so these three share a class.
static CLASSES: [u8; 128] = classes();

const fn classes() -> [u8; 128] {
    let mut all = [0; 128];
    let mut i = 0;
    while i < 128 {
        all[i] = match i as u8 {
            b'0' => b'o',
            b'1' | b'!' | b'|' | b'l' => b'i',
            b'3' => b'e',
            b'4' | b'@' => b'a',
            b'5' | b'$' => b's',
            b'7' | b'+' => b't',
            b'8' => b'b',
            b'9' => b'g',
            other => other,
        };
        i += 1;
    }
    all
}

/// Letters of ASCII in lower case, and digits; SPACE for all others.
static LETTERS: [u8; 128] = letters();

const fn letters() -> [u8; 128] {
    let mut all = [SPACE as u8; 128];
    let mut i = 0;
    while i < 128 {
        if (i as u8).is_ascii_alphanumeric() {
            all[i] = (i as u8).to_ascii_lowercase();
        }
        i += 1;
    }
    all
}

/// Whether r is a mark, a joiner or a soft hyphen, which does not count as a character.
pub fn invisible(r: u32) -> bool {
    r >= 0x80 && in_ranges(&INVISIBLE, r)
}

pub fn is_symbol(r: u32) -> bool {
    matches!(u8::try_from(r), Ok(b'@' | b'$' | b'!' | b'|' | b'+'))
}

pub fn is_digit(r: u32) -> bool {
    matches!(u8::try_from(r), Ok(b'0'..=b'9')) || is_symbol(r)
}

/// Whether the digit or symbol r stands for a letter in leetspeak.
pub fn stands_for(r: u32, letter: u32) -> bool {
    let class = |r: u32| CLASSES.get(r as usize).map_or(r, |&class| u32::from(class));
    is_digit(r) && !is_digit(letter) && class(r) == class(letter)
}

pub fn in_word(r: u32) -> bool {
    if r < 0x80 {
        return (r as u8).is_ascii_alphanumeric();
    }
    r != 0xfffd && (in_ranges(&IN_WORD, r) || plain_of(r) != r)
}

/// The first of the characters that differ from r only in case; letters of ASCII are in lower case.
fn fold(r: u32) -> u32 {
    if r < 0x80 {
        return u32::from((r as u8).to_ascii_lowercase());
    }
    find(&FOLDS, r)
}

/// The letter or digit of ASCII that r looks like; r itself if there is none.
fn plain_of(r: u32) -> u32 {
    find(&LOOKS, r)
}

fn find(table: &[(u32, u32)], r: u32) -> u32 {
    table.binary_search_by_key(&r, |pair| pair.0).map_or(r, |i| table[i].1)
}

fn in_ranges(table: &[(u32, u32)], r: u32) -> bool {
    let i = table.partition_point(|range| range.1 < r);
    i < table.len() && table[i].0 <= r
}
