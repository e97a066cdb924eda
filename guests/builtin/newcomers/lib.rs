//! Newcomers is a rule that holds the first messages of new users. See guests/newcomers/README.md.

use kit::{describe, network, role, settings, span, unknown, Value};
use moot::host::{self, Error};
use moot::{json, Connection, Event, Module, Verdict};
use std::time::Duration;

struct Newcomers {
    messages: u32,    // of a new user
    passed: bool,     // messages count when they pass the entry with the action count, not when they are held
    counts: bool,     // this is that entry
    forget: Duration, // after the last message
    exempt: Vec<String>,
    by_address: bool,
}

moot::module!(Newcomers, on_say_receive);

/// The longest subject, in bytes: longer ones do not fit into a key, and their users stay new.
const LONGEST: usize = 250;

impl Module for Newcomers {
    const MANIFEST: &'static str = r#"{"name":"newcomers","version":"1.0.0","reads":["user","remoteIP","properties.role"],"capabilities":["kv"],
        "config":{"type":"object","additionalProperties":false,"properties":{
        "messages":{"type":"integer","minimum":1,"maximum":100,"default":3,"description":"messages of a new user"},
        "count":{"enum":["held","passed"],"default":"held",
        "description":"held: messages count when they are held; passed: when they pass a later entry of the rule with the action count"},
        "action":{"enum":["hold","count"],"default":"hold","description":"count: the entry counts the messages that pass it, and holds none"},
        "forget":{"type":"string","default":"2160h","description":"the time without a message after which a user is new again"},
        "exempt":{"type":"array","items":{"type":"string"},"description":"roles that are never new"},
        "by":{"enum":["user","address"],"default":"user","description":"user: the user, or the address of a connection without one"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let mut rule =
            Newcomers { messages: 3, passed: false, counts: false, forget: Duration::from_secs(2160 * 3600), exempt: Vec::new(), by_address: false };
        for (name, value) in settings(config)? {
            match name.as_str() {
                "messages" => rule.messages = number(value)?,
                "count" => rule.passed = one_of(&name, value, ["held", "passed"])?,
                "action" => rule.counts = one_of(&name, value, ["hold", "count"])?,
                "forget" => rule.forget = span(&name, &value.text(&name)?)?,
                "exempt" => rule.exempt = value.texts(&name)?,
                "by" => rule.by_address = one_of(&name, value, ["user", "address"])?,
                _ => return Err(unknown(&name)),
            }
        }
        Ok(rule)
    }

    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        match self.decide(e.connection()) {
            Ok(verdict) => verdict,
            Err(error) => panic!("the storage failed: {}", describe(error)), // the entry's onError decides
        }
    }
}

impl Newcomers {
    fn decide(&self, c: &Connection) -> Result<Verdict, Error> {
        let subject = match self.subject(c) {
            Some(subject) => subject,
            None => return Ok(Verdict::allow()), // a message of the system
        };
        if !self.exempt.is_empty() && self.exempt.contains(&role(c.property("role"))) {
            return Ok(Verdict::allow());
        }
        if subject.len() > LONGEST {
            return Ok(if self.counts { Verdict::allow() } else { self.hold("the name of the user is too long to be counted".into()) });
        }
        if self.knows(&subject)? {
            return Ok(Verdict::allow());
        }
        let key = format!("n{}", subject);
        if self.counts {
            host::kv_add(&key, 1, Some(self.forget))?;
            return Ok(Verdict::allow());
        }
        let before = if self.passed { passed(&key)? } else { host::kv_add(&key, 1, Some(self.forget))? - 1 };
        if before >= i64::from(self.messages) {
            self.remember(&subject)?;
            return Ok(Verdict::allow());
        }
        let verb = if self.passed { "passed" } else { "held" };
        Ok(self.hold(format!("a new user: {} of {} messages {} before", before, self.messages, verb)))
    }

    fn hold(&self, reason: String) -> Verdict {
        let _ = host::count("held", 1);
        Verdict::hold(reason, 0)
    }

    /// The sender in keys: u and the user, or a and the address. `None` for a message of the system.
    fn subject(&self, c: &Connection) -> Option<String> {
        if !self.by_address && !c.user().is_empty() {
            return Some(format!("u {}", c.user()));
        }
        Some(network(c.remote_ip())).filter(|address| !address.is_empty()).map(|address| format!("a {}", address))
    }

    /// Whether the sender is not new any more. A sender who writes is remembered anew once in an eighth of the time.
    fn knows(&self, subject: &str) -> Result<bool, Error> {
        let since = match host::kv_get(&format!("k{}", subject)) {
            Err(Error::Absent) => return Ok(false),
            other => other?,
        };
        let age = host::now().saturating_sub(since.parse().unwrap_or(0));
        if u128::from(age) * 8 > self.forget.as_millis() {
            self.remember(subject)?;
        }
        Ok(true)
    }

    fn remember(&self, subject: &str) -> Result<(), Error> {
        host::kv_set(&format!("k{}", subject), &host::now().to_string(), Some(self.forget))
    }
}

/// The number of messages at key.
fn passed(key: &str) -> Result<i64, Error> {
    match host::kv_get(key) {
        Err(Error::Absent) => Ok(0),
        other => Ok(other?.parse().unwrap_or(0)),
    }
}

fn number(value: Value) -> Result<u32, String> {
    match value.whole("messages")? {
        n @ 1..=100 => Ok(n as u32),
        n => Err(format!("messages: {} is not a number from 1 to 100", n)),
    }
}

/// Whether the value is the second of two texts.
fn one_of(setting: &str, value: Value, texts: [&str; 2]) -> Result<bool, String> {
    let text = value.text(setting)?;
    match texts.iter().position(|t| *t == text) {
        Some(i) => Ok(i == 1),
        None => Err(format!("{}: {} is neither {} nor {}", setting, json::quote(&text), texts[0], texts[1])),
    }
}
