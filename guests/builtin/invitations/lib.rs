//! Invitations is a rule for private rooms: users on a room's list and invited users may join. See guests/invitations/README.md.

use kit::glob::Glob;
use kit::{duration, role, settings, unknown, Value};
use moot::{json, Connection, Event, Module, Verdict};

mod actions;
mod record;

use record::change;

pub struct Invitations {
    rooms: Vec<Glob>,
    roles: Vec<String>, // connections with these join, invite and uninvite
    lasts: i64,         // ms; 0: without end
    max: usize,         // limit of names in a room's record
}

moot::module!(Invitations, on_join, on_action);

impl Module for Invitations {
    const MANIFEST: &'static str = r#"{"name":"invitations","version":"1.0.0","reads":["room","cause","action","params","user","properties.role"],
        "capabilities":["kv"],"actions":[
        {"name":"invite","description":"lets a user join a private room","inputs":{
        "room":{"required":true,"description":"a private room"},"user":{"required":true,"description":"the name of a user"},
        "lasts":{"description":"how long, such as 2h; 0s: without end"},"once":{"description":"true: for one join"},
        "member":{"description":"true: puts the user on the room's list, from which members invite"}}},
        {"name":"uninvite","description":"takes an invitation back","inputs":{
        "room":{"required":true,"description":"a private room"},"user":{"required":true,"description":"the name of a user"}}},
        {"name":"invitations","description":"who may join a private room","inputs":{"room":{"required":true,"description":"a private room"}}}],
        "config":{"type":"object","additionalProperties":false,"properties":{
        "rooms":{"type":"array","items":{"type":"string"},"default":["private*"],"description":"rooms that need an invitation, as globs"},
        "roles":{"type":"array","items":{"type":"string"},"description":"who has one joins without, and invites and uninvites anybody"},
        "lasts":{"type":"string","default":"24h","description":"how long an invitation lasts that does not say; 0s: without end"},
        "max":{"type":"integer","minimum":1,"maximum":1000,"default":200,"description":"members and invitations of a room together"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let (mut rooms, mut lasts, mut max) = (vec!["private*".to_string()], "24h".to_string(), 200);
        let mut rule = Invitations { rooms: Vec::new(), roles: Vec::new(), lasts: 0, max: 0 };
        for (name, value) in settings(config)? {
            match name.as_str() {
                "rooms" => rooms = value.texts("rooms")?,
                "roles" => rule.roles = value.texts("roles")?,
                "lasts" => lasts = value.text("lasts")?,
                "max" => max = value.whole("max")?,
                _ => return Err(unknown(&name)),
            }
        }
        for (i, pattern) in rooms.iter().enumerate() {
            rule.rooms.push(Glob::new(pattern).map_err(|e| format!("rooms[{}]: {}", i, e))?);
        }
        if let Some(i) = rule.roles.iter().position(|role| role.is_empty()) {
            return Err(format!("roles[{}]: the role is empty", i));
        }
        if !(1..=1000).contains(&max) {
            return Err(format!("max: {} is not a number from 1 to 1000", max));
        }
        rule.max = max as usize;
        rule.lasts = span(&lasts).map_err(|e| format!("lasts: {}", e))?;
        Ok(rule)
    }

    fn on_join(&mut self, e: &Event) -> Verdict {
        let user = e.connection().user();
        if !self.guards(e.room()) || self.hosts(e.connection()) || e.cause() == "rejoined" {
            return Verdict::allow(); // at rejoined the connection was a member before
        }
        if user.is_empty() {
            return Verdict::deny("by invitation only: connect with a token that says who you are");
        }
        match change(e.room(), |list| list.enter(user)) {
            Ok(()) => Verdict::allow(),
            Err(reason) => Verdict::deny(reason),
        }
    }

    fn on_action(&mut self, e: &Event) -> Verdict {
        match self.run(e) {
            Ok(reply) => Verdict::reply(reply),
            Err(reason) => Verdict::deny(format!("{}: {}", e.action(), reason)),
        }
    }
}

impl Invitations {
    fn guards(&self, room: &str) -> bool {
        self.rooms.iter().any(|pattern| pattern.matches(room))
    }

    /// Whether the connection's role is one of the config's.
    fn hosts(&self, c: &Connection) -> bool {
        let json = c.property("role");
        json.map_or(false, |json| json.starts_with('"')) && self.roles.contains(&role(json))
    }
}

/// The lifetime of an invitation in ms; 0 is unlimited.
fn span(text: &str) -> Result<i64, String> {
    const SECOND: i64 = 1_000_000_000;
    const LONGEST: i64 = 366 * 24 * 3600 * SECOND;
    match duration::parse(text) {
        Some(d) if d == 0 || (SECOND..=LONGEST).contains(&d) => Ok(d / 1_000_000),
        _ => Err(format!("{} is not a time from 1s to 8784h, such as 90m, or 0s", json::quote(text))),
    }
}

/// A value of an action's parameters; `Null` if there is none.
fn member(members: &[(String, Value)], name: &str) -> Value {
    members.iter().rev().find(|m| m.0 == name).map_or(Value::Null, |m| m.1.clone())
}
