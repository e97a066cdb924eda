//! Finds all listed patterns in one pass (Aho-Corasick).

use crate::signs::{Sign, SPACE};

/// A state is a prefix of a pattern; state 0 is the empty prefix. States are stored compactly, because thousands of words need
/// tens of thousands of states. The first states, where most steps begin, have tables besides.
pub struct Automaton {
    states: Vec<State>, // after finish by length, and the children of a state in a row
    tables: Vec<[u32; COLUMNS]>, // of the first states, by column: the next state, with HIT if it has a hit
}

#[derive(Clone, Default)]
struct State {
    class: u32,    // that leads from the parent to this state
    child: u32,    // the first child; 0: none
    siblings: u32, // before finish: the next sibling, 0: none; after it: the number of children
    fail: u32,     // the state of the longest proper suffix
    hit: u32,      // this state or the nearest along fail at which a pattern ends; 0: none
    word: u32,     // the last pattern that ends here, plus 1; 0: none
}

/// The number of states that have a table. The tables have at most 150 KB.
const MOST_TABLES: usize = 1 << 10;

/// The columns of a table: letters, digits and SPACE. Column 0 is for other classes of ASCII, which no pattern has.
const COLUMNS: usize = 38;

const SPACES: u8 = 37; // the column of SPACE

/// The classes of the columns; 0: others.
static CLASS: [u8; COLUMNS] = classes();

const fn classes() -> [u8; COLUMNS] {
    let (columns, mut all) = (columns(), [0; COLUMNS]);
    let mut i = 0;
    while i < 128 {
        if columns[i] > 0 {
            all[columns[i] as usize] = i as u8;
        }
        i += 1;
    }
    all
}

/// The state of [`Automaton::scan`].
struct Scan {
    state: u32,
    last: u8,  // the column of the last byte
    marks: u8, // the columns of all bytes
    read: usize,
}

/// A mark of columns, see [`Automaton::scan`].
pub const MARK: u8 = 0x40;

const HIT: u32 = 1 << 31;

static COLUMN: [u8; 128] = columns();

const fn columns() -> [u8; 128] {
    let mut all = [0; 128];
    let mut i = 0;
    while i < 128 {
        all[i] = match i as u8 {
            c @ b'a'..=b'z' => c - b'a' + 1,
            c @ b'0'..=b'9' => c - b'0' + 27,
            _ => 0,
        };
        i += 1;
    }
    all[SPACE as usize] = SPACES;
    all
}

impl Automaton {
    pub fn new() -> Automaton {
        Automaton { states: vec![State::default()], tables: Vec::new() }
    }

    /// Adds the classes of a pattern. Returns 1 plus the number of the pattern with the same classes that was added before; 0
    /// if there is none.
    pub fn add(&mut self, pattern: &[Sign], word: u32) -> u32 {
        let mut now = 0;
        for sign in pattern {
            let mut to = self.states[now].child as usize;
            while to != 0 && self.states[to].class != sign.class {
                to = self.states[to].siblings as usize;
            }
            if to == 0 {
                to = self.states.len();
                let siblings = self.states[now].child;
                self.states.push(State { class: sign.class, siblings, ..State::default() });
                self.states[now].child = to as u32;
            }
            now = to;
        }
        std::mem::replace(&mut self.states[now].word, word + 1)
    }

    /// Prepares the automaton for [`Automaton::run`]. Call it after the last add.
    pub fn finish(&mut self) {
        self.sort();
        for from in 0..self.states.len() {
            for to in self.children(from as u32) {
                let fail = if from == 0 { 0 } else { self.step(self.states[from].fail, self.states[to].class) & !HIT };
                let hit = if self.states[to].word > 0 { to as u32 } else { self.states[fail as usize].hit };
                self.states[to].fail = fail;
                self.states[to].hit = hit;
            }
            if from < MOST_TABLES {
                let mut table = if from == 0 { [0; COLUMNS] } else { self.tables[self.states[from].fail as usize] };
                for to in self.children(from as u32) {
                    let s = &self.states[to];
                    if s.class < 128 {
                        table[COLUMN[s.class as usize] as usize] = to as u32 | if s.hit > 0 { HIT } else { 0 };
                    }
                }
                self.tables.push(table);
            }
        }
    }

    /// Sorts the states by their length.
    fn sort(&mut self) {
        let (mut sorted, mut from) = (vec![0], 0);
        let mut states = vec![self.states[0].clone()];
        while from < sorted.len() {
            let mut old = self.states[sorted[from] as usize].child;
            let first = sorted.len();
            while old != 0 {
                sorted.push(old);
                states.push(self.states[old as usize].clone());
                old = self.states[old as usize].siblings;
            }
            states[from].child = first as u32;
            states[from].siblings = (sorted.len() - first) as u32;
            from += 1;
        }
        self.states = states;
    }

    fn children(&self, of: u32) -> std::ops::Range<usize> {
        let s = &self.states[of as usize];
        s.child as usize..(s.child + s.siblings) as usize
    }

    /// The state after one more class, with HIT if it has a hit.
    #[inline(always)]
    fn step(&self, mut now: u32, class: u32) -> u32 {
        loop {
            if class < 128 {
                if let Some(table) = self.tables.get(now as usize) {
                    return table[COLUMN[class as usize] as usize];
                }
            }
            for to in self.children(now) {
                let s = &self.states[to];
                if s.class == class {
                    return to as u32 | if s.hit > 0 { HIT } else { 0 };
                }
            }
            if now == 0 {
                return 0;
            }
            now = self.states[now as usize].fail;
        }
    }

    /// The column of a class of ASCII.
    pub fn column(class: u32) -> u8 {
        COLUMN[class as usize]
    }

    /// Reads a text without making signs of it. columns has the column of the class of each byte, perhaps with MARK. Returns
    /// whether a byte has MARK; `None` if there may be a hit, because there is one, or a character that is not ASCII. Most texts
    /// have none, and need no other memory than that of the text and of a few tables. That matters on a server that handles
    /// some thousand messages a second, because the caches of its processor are full of other things.
    pub fn scan(&self, text: &[u8], columns: &[u8; 128]) -> Option<bool> {
        let mut s = Scan { state: 0, last: 0, marks: 0, read: 0 };
        while s.read < text.len() {
            self.scan_tables(text, columns, &mut s)?;
            if s.read < text.len() {
                let column = *columns.get(text[s.read] as usize)?;
                s.state = self.step(s.state, u32::from(CLASS[(column & !MARK) as usize]));
                if s.state & HIT != 0 {
                    return None;
                }
                s.last = column & !MARK;
                s.marks |= column;
                s.read += 1;
            }
        }
        Some(s.marks & MARK != 0)
    }

    /// The part of a scan up to a state without a table. A loop that calls nothing is faster.
    #[inline(never)]
    fn scan_tables(&self, text: &[u8], columns: &[u8; 128], s: &mut Scan) -> Option<()> {
        let Scan { mut state, mut last, mut marks, .. } = *s;
        let mut i = s.read;
        while i < text.len() {
            let marked = *columns.get(text[i] as usize)?;
            let column = marked & !MARK;
            if column != SPACES || last != SPACES {
                let table = match self.tables.get(state as usize) {
                    Some(table) => table,
                    None => break,
                };
                state = *table.get(column as usize)?;
                if state & HIT != 0 {
                    return None;
                }
            }
            last = column;
            marks |= marked;
            i += 1;
        }
        *s = Scan { state, last, marks, read: i };
        Some(())
    }

    /// Reads signs up to one that has a hit. Returns the state and the number of signs that it has read. A loop that calls
    /// nothing is faster, so the caller handles the hit.
    #[inline(never)]
    pub fn run(&self, mut now: u32, signs: &[Sign]) -> (u32, usize) {
        for (i, sign) in signs.iter().enumerate() {
            let next = self.step(now, sign.class);
            now = next & !HIT;
            if next & HIT != 0 {
                return (now, i + 1);
            }
        }
        (now, signs.len())
    }

    /// The nearest state, from this one along fail, at which a pattern ends; 0: none.
    pub fn hit(&self, state: u32) -> u32 {
        self.states[state as usize].hit
    }

    /// The next such state after a hit; 0: none.
    pub fn shorter(&self, hit: u32) -> u32 {
        self.hit(self.states[hit as usize].fail)
    }

    /// The last pattern that ends at a state, plus 1; 0: none.
    pub fn word(&self, state: u32) -> u32 {
        self.states[state as usize].word
    }
}
