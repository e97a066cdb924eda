//! Finds all listed patterns in one pass (Aho-Corasick).

use crate::signs::Sign;

/// A state is a prefix of a pattern; state 0 is the empty prefix. States are stored compactly, because thousands of words need
/// tens of thousands of states.
pub struct Automaton {
    states: Vec<State>,
    first: [u32; 128], // the next states of ASCII classes from state 0, where most steps begin
    ready: bool,
}

#[derive(Clone, Default)]
struct State {
    class: u32,   // that leads from the parent to this state
    child: u32,   // the first child; 0: none
    sibling: u32, // the next sibling; 0: none
    fail: u32,    // the state of the longest proper suffix
    hit: u32,     // this state or the nearest along fail at which a pattern ends; 0: none
    word: u32,    // the last pattern that ends here, plus 1; 0: none
}

impl Automaton {
    pub fn new() -> Automaton {
        Automaton { states: vec![State::default()], first: [0; 128], ready: false }
    }

    /// The state to which a class leads from a state; 0 if there is none.
    fn next(&self, now: u32, class: u32) -> u32 {
        let mut to = self.states[now as usize].child;
        while to != 0 && self.states[to as usize].class != class {
            to = self.states[to as usize].sibling;
        }
        to
    }

    /// Adds the classes of a pattern. Returns 1 plus the number of the pattern with the same classes that was added before; 0
    /// if there is none.
    pub fn add(&mut self, pattern: &[Sign], word: u32) -> u32 {
        let mut now = 0;
        for sign in pattern {
            let mut to = self.next(now, sign.class);
            if to == 0 {
                to = self.states.len() as u32;
                let sibling = self.states[now as usize].child;
                self.states.push(State { class: sign.class, sibling, ..State::default() });
                self.states[now as usize].child = to;
            }
            now = to;
        }
        std::mem::replace(&mut self.states[now as usize].word, word + 1)
    }

    /// Prepares the automaton for [`Automaton::step`]. Call it after the last add.
    pub fn finish(&mut self) {
        let mut queue = vec![0u32];
        let mut k = 0;
        while k < queue.len() {
            let from = queue[k];
            let mut to = self.states[from as usize].child;
            while to != 0 {
                let class = self.states[to as usize].class;
                let fail = if from == 0 { 0 } else { self.step(self.states[from as usize].fail, class) };
                let hit = if self.states[to as usize].word > 0 { to } else { self.states[fail as usize].hit };
                let s = &mut self.states[to as usize];
                s.fail = fail;
                s.hit = hit;
                queue.push(to);
                to = s.sibling;
            }
            k += 1;
        }
        for class in 0..128 {
            self.first[class as usize] = self.next(0, class);
        }
        self.ready = true;
    }

    /// The state after one more class.
    pub fn step(&self, mut now: u32, class: u32) -> u32 {
        while now != 0 {
            let to = self.next(now, class);
            if to != 0 {
                return to;
            }
            now = self.states[now as usize].fail;
        }
        match self.first.get(class as usize) {
            Some(&to) if self.ready => to,
            _ => self.next(0, class),
        }
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
