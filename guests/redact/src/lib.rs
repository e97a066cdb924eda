//! Redact replaces e-mail addresses, phone numbers, card numbers and IBANs in messages, or
//! denies the message. See README.md.

use moot::{host, json, Event, Module, Verdict};

mod find;

use find::{Found, Kind, KINDS};

struct Redact {
    /// The replacement for each kind; `None` leaves it unchanged.
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
                _ => return Err(format!("unknown setting {}: use email, phone, card, iban or action", name)),
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
            // An error of the metric is ignored: it must not let the message pass.
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
    /// Returns the text with the findings replaced; `None` if there are none.
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

    /// Does the same for the strings of a JSON text, except the names of members. Numbers are not
    /// replaced, because that would change their type.
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

/// Returns the end of the JSON string that begins at start.
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

/// Returns the last four letters and digits.
fn last(text: &str) -> String {
    let all: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    all[all.len().saturating_sub(4)..].iter().collect()
}
