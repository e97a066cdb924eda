//! A small JSON reader and writer, so that a rule needs no crate.

/// s as a JSON string: `quote("member")` is `"member"`, with the quotes.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The text of a JSON string; `None` if json is not a string.
pub fn text(json: &str) -> Option<String> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    let (mut out, mut chars) = (Vec::with_capacity(inner.len()), inner.chars());
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next()? } else { out.extend(c.encode_utf16(&mut [0; 2]).iter()); continue };
        out.push(match c {
            'n' => 10,
            't' => 9,
            'r' => 13,
            'b' => 8,
            'f' => 12,
            'u' => u16::from_str_radix(&chars.by_ref().take(4).collect::<String>(), 16).ok()?,
            c => c as u16,
        });
    }
    Some(String::from_utf16_lossy(&out))
}

/// The values of a JSON array, or the alternating names and values of an object, as JSON text.
pub fn items(json: &str) -> Items {
    let json = json.trim_start();
    Items(json.strip_prefix(&['[', '{'][..]).unwrap_or(""))
}

/// See [`items`].
pub struct Items<'a>(&'a str);

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let between = |c: char| c.is_ascii_whitespace() || c == ',' || c == ':';
        let rest = self.0.trim_start_matches(between);
        let (mut depth, mut quoted, mut escaped) = (0, false, false);
        let end = rest.find(|c| {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '[' | '{' => depth += 1,
                ']' | '}' if depth > 0 => depth -= 1,
                ']' | '}' => return true,
                c => return depth == 0 && between(c),
            }
            false
        });
        let (item, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        Some(item).filter(|i| !i.is_empty())
    }
}
