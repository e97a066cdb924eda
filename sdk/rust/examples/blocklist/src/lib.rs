//! Masks listed words in messages, or denies the message. The config is
//! `{"words": ["darn"], "action": "mask" or "deny"}`.

use moot::{host, json, Event, Module, Verdict};
use std::collections::HashSet;

struct Blocklist {
    words: HashSet<String>,
    deny: bool,
}

moot::module!(Blocklist, on_say_receive);

/// A word is a run of letters, digits and characters beyond ASCII.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii()
}

impl Module for Blocklist {
    const MANIFEST: &'static str = r#"{"name":"blocklist","version":"1.0.0","reads":["message"],"pure":true,
        "config":{"type":"object","properties":{"words":{"type":"array","items":{"type":"string"}},
        "action":{"enum":["mask","deny"],"default":"mask"}}}}"#;

    fn new(_: &str) -> Result<Self, String> {
        let action = host::config("action").unwrap_or_else(|_| "\"mask\"".into());
        if action != "\"mask\"" && action != "\"deny\"" {
            return Err(format!("action: {} is neither mask nor deny", action));
        }
        let mut words = HashSet::new();
        for item in json::items(&host::config("words").unwrap_or_default()) {
            let word = json::text(item).unwrap_or_default();
            if word.is_empty() || !word.chars().all(in_word) {
                return Err(format!("words: {} is not one word", item));
            }
            words.insert(word.to_ascii_lowercase());
        }
        Ok(Blocklist { words, deny: action == "\"deny\"" })
    }

    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        match self.mask(e.message()) {
            None => Verdict::allow(),
            // JSON messages are not masked: a star in the wrong place would break them.
            Some(_) if self.deny || e.is_json() => Verdict::deny("the message holds a blocked word"),
            Some(masked) => Verdict::text(masked),
        }
    }
}

impl Blocklist {
    /// Returns the text with a star for each character of a listed word; `None` if there is none.
    fn mask(&self, text: &str) -> Option<String> {
        let (mut out, mut found, mut rest) = (String::new(), false, text);
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| in_word(c) != in_word(first)).unwrap_or(rest.len());
            let (run, next) = rest.split_at(end);
            if in_word(first) && self.words.contains(&run.to_ascii_lowercase()) {
                out.extend(run.chars().map(|_| '*'));
                found = true;
            } else {
                out.push_str(run);
            }
            rest = next;
        }
        Some(out).filter(|_| found)
    }
}
