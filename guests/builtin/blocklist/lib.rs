//! Blocklist masks listed words in messages, or denies or holds the message. See guests/blocklist/README.md, and the same rule
//! in Go there.

use kit::{settings, unknown};
use list::List;
use moot::{json, Event, Module, Verdict};

mod automaton;
mod list;
mod signs;
mod tables;

struct Blocklist {
    list: List,
    action: Action,
}

/// What happens to a message with a listed word.
enum Action {
    Mask,
    Deny,
    Hold,
}

/// The reason of a denial, for the sender, and of a hold, for moderators.
const BLOCKED: &str = "the message holds a blocked word";

moot::module!(Blocklist, on_say_receive);

impl Module for Blocklist {
    const MANIFEST: &'static str = r#"{"name":"blocklist","version":"2.1.0","reads":["message"],"pure":true,
        "config":{"type":"object","additionalProperties":false,"properties":{
        "words":{"type":"array","items":{"type":"string"},"description":"words and phrases to keep out"},
        "action":{"enum":["mask","deny","hold"],"default":"mask"},
        "inside":{"type":"boolean","default":false,"description":"words are found within words, too"},
        "leet":{"type":"boolean","default":true,"description":"d4rn is darn"},
        "lookalikes":{"type":"boolean","default":true,"description":"marks do not count, and letters that look alike are one"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let (mut words, mut action) = (Vec::new(), "mask".to_string());
        let mut list = List::new();
        for (name, value) in settings(config)? {
            match name.as_str() {
                "words" => words = value.texts("words")?,
                "action" => action = value.text("action")?,
                "inside" => list.inside = value.flag("inside")?,
                "leet" => list.alphabet.leet = value.flag("leet")?,
                "lookalikes" => list.alphabet.lookalikes = value.flag("lookalikes")?,
                _ => return Err(unknown(&name)),
            }
        }
        let action = match action.as_str() {
            "mask" => Action::Mask,
            "deny" => Action::Deny,
            "hold" => Action::Hold,
            other => return Err(format!("action: {} is not mask, deny or hold", json::quote(other))),
        };
        for (i, word) in words.iter().enumerate() {
            if !list.add(word) {
                return Err(format!("words[{}]: {} must begin and end with a letter or a digit", i, json::quote(&cut(word))));
            }
        }
        list.finish();
        Ok(Blocklist { list, action })
    }

    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        let masked = if e.is_json() { self.mask_json(e.message()) } else { self.list.mask(e.message()) };
        match (masked, &self.action) {
            (None, _) => Verdict::allow(),
            (_, Action::Deny) => Verdict::deny(BLOCKED),
            (_, Action::Hold) => Verdict::hold(BLOCKED, 0),
            (Some(json), Action::Mask) if e.is_json() => Verdict::rewrite().with_json(json),
            (Some(text), Action::Mask) => Verdict::text(text),
        }
    }
}

/// The beginning of a word for an error, which has at most 1024 bytes.
fn cut(word: &str) -> String {
    match word.char_indices().nth(64) {
        Some((end, _)) => format!("{}...", &word[..end]),
        None => word.to_string(),
    }
}

impl Blocklist {
    /// Masks the string values of a JSON text. The names of members and all other bytes stay the same. `None` if there is
    /// nothing to mask.
    fn mask_json(&mut self, text: &str) -> Option<String> {
        let (mut out, mut done, mut at) = (String::new(), 0, 0);
        while let Some(start) = text[at..].find('"').map(|i| at + i) {
            let (end, escaped) = string_end(text, start);
            at = end;
            if text[at..].trim_start_matches(&[' ', '\t', '\r', '\n'][..]).starts_with(':') {
                continue; // the name of a member
            }
            let masked = if escaped {
                json::text(&text[start..at]).and_then(|value| self.list.mask(&value))
            } else {
                self.list.mask(&text[start + 1..at - 1])
            };
            if let Some(masked) = masked {
                out.push_str(&text[done..start]);
                out.push_str(&json::quote(&masked));
                done = at;
            }
        }
        out.push_str(&text[done..]);
        Some(out).filter(|_| done > 0)
    }
}

/// The end of the JSON string that begins at start, and whether it has escapes.
fn string_end(text: &str, start: usize) -> (usize, bool) {
    let (bytes, mut escaped, mut i) = (text.as_bytes(), false, start + 1);
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => {
                escaped = true;
                i += 1;
            }
            b'"' => return (i + 1, escaped),
            _ => {}
        }
        i += 1;
    }
    (text.len(), escaped)
}
