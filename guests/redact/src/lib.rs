//! Redact takes e-mail addresses, phone numbers, card numbers and IBANs out of messages, or
//! denies the message. See README.md.

use moot::{host, json, Event, Module, Verdict};

mod find;

use find::{Found, Kind, KINDS};

struct Redact {
    /// For each kind what takes its place; `None` leaves it alone.
    masks: [Option<String>; KINDS.len()],
    deny: bool,
}

moot::module!(Redact, on_say_receive);

impl Module for Redact {
    const MANIFEST: &'static str = r#"{"name":"redact","version":"1.0.0","reads":["message"],"pure":true,
        "config":{"type":"object","additionalProperties":false,"properties":{
        "email":{"type":["string","boolean"],"default":"[email]","description":"what takes its place, {last} are its last 4 letters and digits; false = leave it"},
        "phone":{"type":["string","boolean"],"default":"[phone]"},
        "card":{"type":["string","boolean"],"default":"[card]"},
        "iban":{"type":["string","boolean"],"default":"[iban]"},
        "action":{"enum":["mask","deny"],"default":"mask"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let mut r = Redact { masks: KINDS.map(|k| Some(format!("[{}]", k.name()))), deny: false };
        let items: Vec<&str> = json::items(config).collect();
        for pair in items.chunks(2) {
            let name = json::text(pair[0]).unwrap_or_default();
            let value = pair.get(1).copied().unwrap_or_default();
            match (KINDS.iter().position(|k| k.name() == name), name.as_str(), value) {
                (Some(k), _, _) => r.masks[k] = mask_of(&name, value)?,
                (_, "action", "\"mask\"") => r.deny = false,
                (_, "action", "\"deny\"") => r.deny = true,
                (_, "action", _) => return Err(format!("action: {} is neither mask nor deny", value)),
                _ => return Err(format!("there is no setting {}; there are email, phone, card, iban and action", name)),
            }
        }
        Ok(r)
    }

    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        let mut kinds = Vec::new();
        let clean = if e.is_json() { self.in_json(e.message(), &mut kinds) } else { self.in_text(e.message(), &mut kinds) };
        let first = match kinds.first() {
            None => return Verdict::allow(),
            Some(k) => k.name(),
        };
        for k in &kinds {
            // A metric that cannot be counted is no reason to let a number through.
            let _ = host::count(k.name(), 1);
        }
        match clean {
            _ if self.deny => Verdict::deny(format!("the message holds {} {}", if matches!(first, "email" | "iban") { "an" } else { "a" }, first)),
            Some(json) if e.is_json() => Verdict::rewrite().with_json(json),
            Some(text) => Verdict::text(text),
            None => Verdict::allow(),
        }
    }
}

fn mask_of(name: &str, value: &str) -> Result<Option<String>, String> {
    match value {
        "false" => Ok(None),
        "true" => Ok(Some(format!("[{}]", name))),
        _ => match json::text(value) {
            Some(mask) if mask.chars().count() <= 64 => Ok(Some(mask)),
            Some(_) => Err(format!("{}: it is longer than 64 characters", name)),
            None => Err(format!("{}: {} is neither a text nor true nor false", name, value)),
        },
    }
}

impl Redact {
    /// The text with what was found replaced; `None` if there is nothing.
    fn in_text(&self, text: &str, kinds: &mut Vec<Kind>) -> Option<String> {
        let (mut out, mut done) = (String::new(), 0);
        for Found { kind, start, end } in find::all(text) {
            if let Some(mask) = &self.masks[kind as usize] {
                out.push_str(&text[done..start]);
                out.push_str(&mask.replace("{last}", &last(&text[start..end])));
                done = end;
                kinds.push(kind);
            }
        }
        out.push_str(&text[done..]);
        Some(out).filter(|_| done > 0)
    }

    /// The same of the strings of a JSON text, but for the names of members. Numbers stay: a
    /// text in their place would make another value of it.
    fn in_json(&self, text: &str, kinds: &mut Vec<Kind>) -> Option<String> {
        let (mut out, mut done, mut at) = (String::new(), 0, 0);
        while let Some(start) = text[at..].find('"').map(|i| at + i) {
            at = string_end(text, start);
            let is_name = text[at..].trim_start().starts_with(':');
            let value = if is_name { None } else { json::text(&text[start..at]) };
            if let Some(clean) = value.and_then(|v| self.in_text(&v, kinds)) {
                out.push_str(&text[done..start]);
                out.push_str(&json::quote(&clean));
                done = at;
            }
        }
        out.push_str(&text[done..]);
        Some(out).filter(|_| done > 0)
    }
}

/// Behind the JSON string that begins at start.
fn string_end(text: &str, start: usize) -> usize {
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate().skip(start + 1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// The last four letters and digits.
fn last(text: &str) -> String {
    let all: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    all[all.len().saturating_sub(4)..].iter().collect()
}
