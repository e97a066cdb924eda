//! Finds personal data in a text. The number of times that a character is read is bounded for
//! every text.

/// The kinds of data.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Email,
    Phone,
    Card,
    Iban,
}

pub const KINDS: [Kind; 4] = [Kind::Email, Kind::Phone, Kind::Card, Kind::Iban];

impl Kind {
    /// The name in the config.
    pub fn name(self) -> &'static str {
        ["email", "phone", "card", "iban"][self as usize]
    }
}

/// A range of bytes of a text.
#[derive(Clone, Copy)]
pub struct Found {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// A character and its position.
type Chars = [(usize, char)];

/// Returns all findings in order, without overlaps.
pub fn all(text: &str) -> Vec<Found> {
    let mut chars: Vec<(usize, char)> = Vec::with_capacity(text.len() + 1);
    if text.is_ascii() {
        chars.extend(text.char_indices());
    } else {
        chars.extend(text.char_indices().filter(|c| !invisible(c.1)).map(|(i, c)| (i, plain(c))));
    }
    chars.push((text.len(), ' ')); // the end, for the positions of what is before it
    let mut found = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let starts = i == 0 || !chars[i - 1].1.is_alphanumeric();
        let hit = match chars[i].1 {
            '@' => email(&chars, i, found.last().map_or(0, |f: &Found| f.end)),
            c if starts && c.is_ascii_alphabetic() => iban(&chars, i),
            '+' | '(' if starts => numbers(&chars, i, &mut found),
            c if starts && digit(c).is_some() => numbers(&chars, i, &mut found),
            _ => None,
        };
        match hit {
            None => i += 1,
            Some((kind, from, to)) => {
                let at = |k: usize| chars.get(k).map_or(text.len(), |c| c.0);
                if let Some(kind) = kind {
                    found.push(Found { kind, start: at(from), end: at(to) });
                }
                i = to.max(i + 1);
            }
        }
    }
    found
}

/// A range of characters and its kind; without a kind, the range was checked and is not replaced.
type Hit = Option<(Option<Kind>, usize, usize)>;

/// Reports whether a character has no width and no effect on the letters next to it: a soft hyphen, a joiner, a sign of bidirectional text.
fn invisible(c: char) -> bool {
    c >= '\u{ad}'
        && matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the character of ASCII for a full-width one, and a space for every space.
fn plain(c: char) -> char {
    match c {
        '\0'..='\u{9f}' => c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => (c as u32 - 0xfee0) as u8 as char,
        _ => c,
    }
}

/// The zeros of the scripts that have decimal digits, besides ASCII.
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810,
    0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// The value of a decimal digit of any script.
fn digit(c: char) -> Option<u8> {
    let n = c as u32;
    match n {
        0x30..=0x39 => Some((n - 0x30) as u8),
        0..=0x65f => None,
        _ => ZEROS[..ZEROS.partition_point(|&zero| zero <= n)].last().filter(|&&zero| n - zero < 10).map(|&zero| (n - zero) as u8),
    }
}

fn email(chars: &Chars, at: usize, from: usize) -> Hit {
    let local = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let mut start = at;
    while start > 0 && at - start < 64 && chars[start - 1].0 >= from && local(chars[start - 1].1) {
        start -= 1;
    }
    while start < at && !chars[start].1.is_alphanumeric() {
        start += 1;
    }
    // The domain ends with the last label of letters after a dot.
    let (mut end, mut label, mut letters) = (0, at + 1, true);
    for k in at + 1..chars.len().min(at + 255) + 1 {
        let c = chars.get(k).map_or(' ', |c| c.1);
        if c.is_alphanumeric() || c == '-' {
            letters = letters && c.is_alphabetic();
            continue;
        }
        if label > at + 1 && letters && k - label >= 2 {
            end = k;
        }
        if c != '.' || k == label {
            break;
        }
        label = k + 1;
        letters = true;
    }
    Some((Some(Kind::Email), start, end)).filter(|_| start < at && end > 0)
}

/// Two letters, two digits, then 11 to 30 letters and digits in groups; the check digits must be right.
fn iban(chars: &Chars, start: usize) -> Hit {
    let (mut value, mut len, mut first, mut end) = (0u32, 0, [0u32; 4], 0);
    for k in start..chars.len() {
        let c = chars[k].1;
        if c == ' ' && len >= 4 && k > start && chars[k - 1].1 != ' ' {
            continue;
        }
        let v = match c.to_digit(36) {
            Some(v) if len < 34 && (v >= 10) == (len < 2) || len >= 4 && len < 34 && c.is_ascii_alphanumeric() => v,
            _ => break,
        };
        if len < 4 {
            first[len] = v;
        } else {
            value = shift(value, v);
        }
        len += 1;
        let last = chars.get(k + 1).map_or(true, |c| !c.1.is_alphanumeric());
        if last && len >= 15 && first.iter().fold(value, |n, &v| shift(n, v)) == 1 {
            end = k + 1;
        }
    }
    Some((Some(Kind::Iban), start, end)).filter(|_| end > 0)
}

/// Appends the digits of v to n, modulo 97.
fn shift(n: u32, v: u32) -> u32 {
    (n * if v >= 10 { 100 } else { 10 } + v) % 97
}

/// A group of digits.
struct Group {
    start: usize,
    end: usize,
}

/// The characters between the groups of one number.
fn joins(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}')
}

/// Reads a row of groups of digits from start: adds the cards in it, and the phone numbers
/// between them. The whole row counts as read afterwards.
fn numbers(chars: &Chars, start: usize, found: &mut Vec<Found>) -> Hit {
    let (groups, end) = row(chars, start);
    let offset = |k: usize| chars[k.min(chars.len() - 1)].0;
    // The sign or bracket at the start of the row belongs to its first group.
    let head = |first: usize| if first == 0 { start } else { groups.get(first).map_or(end, |g| g.start) };
    let mut push = |kind, from, to| found.push(Found { kind, start: offset(from), end: offset(to) });
    let (mut first, mut g) = (0, 0);
    while g < groups.len() {
        match card(chars, &groups[g..]) {
            None => g += 1,
            Some(n) => {
                if let Some((from, to)) = phone(chars, &groups[first..g], head(first)) {
                    push(Kind::Phone, from, to);
                }
                push(Kind::Card, groups[g].start, groups[g + n - 1].end);
                g += n;
                first = g;
            }
        }
    }
    if let Some((from, to)) = phone(chars, &groups[first..], head(first)) {
        push(Kind::Phone, from, to);
    }
    Some((None, start, end))
}

/// Returns the groups of a row and its end. A row next to a letter is not a number.
fn row(chars: &Chars, start: usize) -> (Vec<Group>, usize) {
    let (mut groups, mut k, mut gap) = (Vec::<Group>::new(), start, 0);
    while k < chars.len() {
        let c = chars[k].1;
        if digit(c).is_some() {
            match groups.last_mut() {
                Some(g) if gap == 0 => g.end = k + 1,
                _ => groups.push(Group { start: k, end: k + 1 }),
            }
            gap = 0;
        } else if k == start && c == '+' || joins(c) && gap < 3 {
            gap += 1;
        } else {
            break;
        }
        k += 1;
    }
    let end = groups.last().map_or(start + 1, |g| g.end);
    if chars.get(end).map_or(false, |c| c.1.is_alphanumeric()) {
        groups.pop();
    }
    (groups, end)
}

fn digits(chars: &Chars, groups: &[Group]) -> Vec<u8> {
    groups.iter().flat_map(|g| chars[g.start..g.end].iter().filter_map(|c| digit(c.1))).collect()
}

/// Returns how many groups form a card number: 13 to 19 digits with a known prefix and a
/// valid checksum.
fn card(chars: &Chars, groups: &[Group]) -> Option<usize> {
    if !(2..=6).contains(&digit(chars[groups[0].start].1)?) {
        return None;
    }
    let (mut all, mut len, mut good) = ([0; 19], 0, None);
    for (n, group) in groups.iter().enumerate() {
        if len + group.end - group.start > all.len() {
            break;
        }
        for c in &chars[group.start..group.end] {
            all[len] = digit(c.1)?;
            len += 1;
        }
        if len >= 13 && luhn(&all[..len]) {
            good = Some(n + 1);
        }
    }
    good
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, &d)| match (i % 2, d) {
        (0, d) => d as u32,
        (_, d) if d > 4 => 2 * d as u32 - 9,
        (_, d) => 2 * d as u32,
    }).sum();
    sum % 10 == 0
}

/// Reports whether the groups form a phone number: international with + or 00, national with
/// 0, or North American (three, three and four digits). Dates, versions and amounts are not.
fn phone(chars: &Chars, groups: &[Group], row: usize) -> Option<(usize, usize)> {
    let first = groups.first()?;
    let d = digits(chars, groups);
    let plus = chars[row].1 == '+' && chars.get(row + 1).map_or(false, |c| c.1 == '(' || digit(c.1).is_some());
    let american = |g: &[Group]| g.len() == 3 && g.iter().map(|g| g.end - g.start).eq([3, 3, 4]);
    let national = american(groups) || groups.len() == 4 && d[0] == 1 && american(&groups[1..]);
    let good = if plus { (8..=15).contains(&d.len()) } else { (9..=15).contains(&d.len()) && (d[0] == 0 || national) };
    let end = groups[groups.len() - 1].end;
    let start = if plus || chars[row].1 == '(' { row } else { first.start };
    Some((start, end)).filter(|_| good)
}
