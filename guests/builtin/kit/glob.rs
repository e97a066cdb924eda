//! Patterns of room names, as an entry's `room` has them: ? one character, * any text, [a-z] or [!a-z] one of a set, {a,b*}
//! one of several patterns, \x the character x. A match takes time linear in the name for each pattern.

/// The maximum length of a pattern, in bytes.
const LONGEST: usize = 1024;

/// A compiled pattern.
pub struct Glob {
    pattern: String,
    steps: Vec<Step>, // empty: the pattern has no special characters and matches itself only
}

enum Step {
    Char(char),
    Any,
    Set { not: bool, ranges: Vec<(char, char)> },
    /// Continues at each of these.
    Fork(Vec<usize>),
    Go(usize),
}

/// An open brace: where its fork is, where its alternatives begin, and the jumps at their ends.
struct Brace {
    fork: usize,
    begins: Vec<usize>,
    ends: Vec<usize>,
}

impl Glob {
    /// Compiles a pattern. The error describes the problem and does not contain the pattern.
    pub fn new(pattern: &str) -> Result<Glob, String> {
        if pattern.is_empty() {
            return Err("the pattern is empty".into());
        }
        if pattern.len() > LONGEST {
            return Err(format!("the pattern has more than {} bytes", LONGEST));
        }
        let mut steps = Vec::new();
        if pattern.contains(&['*', '?', '[', ']', '{', '}', '\\'][..]) {
            steps = compile(pattern)?;
        }
        Ok(Glob { pattern: pattern.to_string(), steps })
    }

    /// Reports whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        if self.steps.is_empty() {
            return self.pattern == name;
        }
        let mut now = States::new(self.steps.len());
        let mut next = States::new(self.steps.len());
        now.add(&self.steps, 0);
        for c in name.chars() {
            next.clear();
            for &s in &now.list {
                let one = match self.steps.get(s) {
                    Some(Step::Char(want)) => *want == c,
                    Some(Step::Any) => true,
                    Some(Step::Set { not, ranges }) => ranges.iter().any(|r| (r.0..=r.1).contains(&c)) != *not,
                    _ => false,
                };
                if one {
                    next.add(&self.steps, s + 1);
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.has[self.steps.len()]
    }
}

/// The steps at which a match may be.
struct States {
    has: Vec<bool>,
    list: Vec<usize>,
}

impl States {
    fn new(steps: usize) -> States {
        States { has: vec![false; steps + 1], list: Vec::new() }
    }

    fn clear(&mut self) {
        for s in self.list.drain(..) {
            self.has[s] = false;
        }
    }

    /// Adds a step, and those to which it leads without a character.
    fn add(&mut self, steps: &[Step], first: usize) {
        let mut waiting = vec![first];
        while let Some(s) = waiting.pop() {
            if std::mem::replace(&mut self.has[s], true) {
                continue;
            }
            self.list.push(s);
            match steps.get(s) {
                Some(Step::Fork(to)) => waiting.extend(to),
                Some(Step::Go(to)) => waiting.push(*to),
                _ => {}
            }
        }
    }
}

fn compile(pattern: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut braces, mut rest) = (Vec::new(), Vec::<Brace>::new(), pattern.chars());
    while let Some(c) = rest.next() {
        match c {
            '*' => {
                let at = steps.len();
                steps.extend([Step::Fork(vec![at + 1, at + 3]), Step::Any, Step::Go(at)]);
            }
            '?' => steps.push(Step::Any),
            '[' => steps.push(set(&mut rest)?),
            '{' => {
                braces.push(Brace { fork: steps.len(), begins: vec![steps.len() + 1], ends: Vec::new() });
                steps.push(Step::Fork(Vec::new()));
            }
            '}' => {
                let b = braces.pop().ok_or(r#"a "}" has no "{""#)?;
                let after = steps.len();
                for end in b.ends {
                    steps[end] = Step::Go(after);
                }
                steps[b.fork] = Step::Fork(b.begins);
            }
            ',' if !braces.is_empty() => {
                let b = braces.last_mut().unwrap();
                b.ends.push(steps.len());
                b.begins.push(steps.len() + 1);
                steps.push(Step::Go(0));
            }
            '\\' => steps.push(Step::Char(rest.next().ok_or(r#"the pattern ends with a single "\""#)?)),
            c => steps.push(Step::Char(c)),
        }
    }
    match braces.is_empty() {
        true => Ok(steps),
        false => Err(r#"a "{" has no "}""#.into()),
    }
}

/// Reads a set, from the character after "[" to "]".
fn set(rest: &mut std::str::Chars) -> Result<Step, String> {
    let not = rest.as_str().starts_with(&['!', '^'][..]);
    if not {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match member(rest)? {
            (_, true) if ranges.is_empty() => return Err(r#"a "[]" is empty"#.into()),
            (_, true) => return Ok(Step::Set { not, ranges }),
            (c, _) => c,
        };
        let mut high = low;
        let mut ahead = rest.as_str().chars();
        if ahead.next() == Some('-') && ahead.next().map_or(false, |c| c != ']') {
            rest.next();
            high = member(rest)?.0;
        }
        if high < low {
            return Err("a range begins with the larger character".into());
        }
        ranges.push((low, high));
    }
}

/// Reads one character of a set, or the "]" at its end.
fn member(rest: &mut std::str::Chars) -> Result<(char, bool), String> {
    let open = || r#"a "[" has no "]""#.to_string();
    match rest.next().ok_or_else(open)? {
        '\\' => Ok((rest.next().ok_or_else(open)?, false)),
        c => Ok((c, c == ']')),
    }
}
