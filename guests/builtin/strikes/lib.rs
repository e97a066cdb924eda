//! Strikes is a rule that mutes users after several denials within a time, longer each time. See guests/strikes/README.md.

use kit::{describe, network, settings, span, unknown, Value};
use moot::host::{self, Error, Level, Sanction};
use moot::{json, Connection, Event, Module, Verdict};
use std::time::Duration;

struct Strikes {
    strikes: usize,       // denials
    within: Duration,     // in this time
    mutes: Vec<Duration>, // the first, the second, ...; the last one for all further ones
    forget: Duration,     // after a mute
    rooms: String,        // of a mute
    reason: String,       // of a mute
    by_address: bool,
}

moot::module!(Strikes, on_say_receive);

impl Module for Strikes {
    const MANIFEST: &'static str = r#"{"name":"strikes","version":"1.0.0","hooks":["onSayReceive"],"denials":true,
        "reads":["user","remoteIP"],"capabilities":["kv","sanctions"],
        "config":{"type":"object","additionalProperties":false,"properties":{
        "strikes":{"type":"integer","minimum":1,"maximum":20,"default":3,"description":"denied messages that lead to a mute"},
        "within":{"type":"string","default":"10m","description":"the time in which they count"},
        "mutes":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":20,"default":["10m","1h","24h"],
        "description":"how long the first mute lasts, the second, and so on; the last one is for all further ones"},
        "forget":{"type":"string","default":"168h","description":"the time after a mute in which the next one is longer"},
        "rooms":{"type":"string","minLength":1,"maxLength":400,"default":"*","description":"the rooms of a mute: a name in which one * stands for any text"},
        "reason":{"type":"string","maxLength":256,"default":"too many refused messages","description":"for the user"},
        "by":{"enum":["user","address"],"default":"user","description":"user: the user, or the address of a connection without one"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut rule = Strikes {
            strikes: 3,
            within: minutes(10),
            mutes: vec![minutes(10), minutes(60), minutes(24 * 60)],
            forget: minutes(7 * 24 * 60),
            rooms: "*".to_string(),
            reason: "too many refused messages".to_string(),
            by_address: false,
        };
        for (name, value) in settings(config)? {
            match name.as_str() {
                "strikes" => rule.strikes = number(value)?,
                "within" => rule.within = span(&name, &value.text(&name)?)?,
                "mutes" => rule.mutes = mutes(value)?,
                "forget" => rule.forget = span(&name, &value.text(&name)?)?,
                "rooms" => rule.rooms = value.text(&name)?,
                "reason" => rule.reason = value.text(&name)?,
                "by" => {
                    rule.by_address = match value.text(&name)?.as_str() {
                        "user" => false,
                        "address" => true,
                        other => return Err(format!("by: {} is neither user nor address", json::quote(other))),
                    }
                }
                _ => return Err(unknown(&name)),
            }
        }
        if rule.rooms.is_empty() || rule.rooms.matches('*').count() > 1 {
            return Err("rooms: use a name in which one * may stand for any text".into());
        }
        Ok(rule)
    }

    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        if let Err(error) = self.strike(e.connection()) {
            host::log(Level::Warn, &format!("a strike was not counted: {}", describe(error)));
        }
        Verdict::allow()
    }
}

impl Strikes {
    /// Counts a denial of the sender, and mutes them if there are enough.
    fn strike(&self, c: &Connection) -> Result<(), Error> {
        let (user, address) = if self.by_address || c.user().is_empty() { (String::new(), network(c.remote_ip())) } else { (c.user().to_string(), String::new()) };
        if user.is_empty() && address.is_empty() {
            return Ok(()); // a message of the system
        }
        let subject = format!("{} {}", if user.is_empty() { "a" } else { "u" }, if user.is_empty() { &address } else { &user });
        if !self.count(&format!("s{}", subject))? {
            return Ok(());
        }
        let key = format!("m{}", subject);
        let number = host::kv_add(&key, 1, None)?;
        let ttl = self.mutes[(number.max(1) as usize - 1).min(self.mutes.len() - 1)];
        host::kv_set(&key, &number.to_string(), Some(ttl + self.forget))?;
        let note = format!("{} denied messages within {} s; mute number {}", self.strikes, self.within.as_secs(), number);
        let mute = Sanction { kind: "mute", user: &user, address: &address, rooms: &self.rooms, ttl: Some(ttl), reason: &self.reason, note: &note };
        let _ = host::count("mutes", 1);
        host::set_sanction(&mute)
    }

    /// Adds the time of a strike to those at key, and reports whether there are enough. Then it
    /// begins anew.
    fn count(&self, key: &str) -> Result<bool, Error> {
        const TRIES: usize = 8; // other nodes count, too
        let now = host::now();
        let begin = now.saturating_sub(self.within.as_millis() as u64);
        for _ in 0..TRIES {
            let old = match host::kv_get(key) {
                Err(Error::Absent) => String::new(),
                other => other?,
            };
            let mut times: Vec<&str> = old.split(' ').filter(|t| t.parse::<u64>().map_or(false, |t| t > begin)).collect();
            let last = now.to_string();
            times.push(&last);
            let enough = times.len() >= self.strikes;
            let new = if enough { "-".to_string() } else { times.join(" ") };
            if host::kv_swap(key, &old, &new, Some(self.within))? {
                return Ok(enough);
            }
        }
        Err(Error::OverBudget)
    }
}

fn number(value: Value) -> Result<usize, String> {
    match value.whole("strikes")? {
        n @ 1..=20 => Ok(n as usize),
        n => Err(format!("strikes: {} is not a number from 1 to 20", n)),
    }
}

fn mutes(value: Value) -> Result<Vec<Duration>, String> {
    let list = value.texts("mutes")?;
    if list.is_empty() || list.len() > 20 {
        return Err("mutes: name 1 to 20 times".into());
    }
    list.iter().enumerate().map(|(i, text)| span(&format!("mutes[{}]", i), text)).collect()
}
