//! Gate restricts rooms to clients with a role. A client that logs in with a token gets a role. See guests/gate/README.md.

use kit::glob::Glob;
use kit::{describe, role, settings, unknown, value, Value};
use moot::{host, json, Event, Module, Verdict};

struct Gate {
    doors: Vec<Door>,
    tokens: Vec<(String, String)>, // and their roles
}

/// A pattern of rooms and the roles that may join them.
struct Door {
    rooms: Glob,
    roles: Vec<String>, // one of these is required; empty: any role
    open: bool,         // no role is required
    capacity: i64,      // limit of members on all nodes; 0 = no limit
}

moot::module!(Gate, on_join, on_action);

impl Module for Gate {
    const MANIFEST: &'static str = r#"{"name":"gate","version":"1.1.0","reads":["room","cause","params","properties.role"],
        "capabilities":["properties:role"],
        "actions":[{"name":"login","description":"gives this connection the role of a token",
        "inputs":{"token":{"required":true,"description":"a secret that you were given"}}}],
        "config":{"type":"object","additionalProperties":false,"properties":{
        "rooms":{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"object","additionalProperties":false,"required":["match"],
        "properties":{"match":{"type":"string"},"roles":{"type":"array","items":{"type":"string"}},"open":{"type":"boolean"},
        "capacity":{"type":"integer","minimum":0}}}]},"default":["secure*"],"description":"rooms that need a role, as globs; the first that fits holds"},
        "tokens":{"type":"object","additionalProperties":{"type":"string"},"description":"token: role"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let mut rooms = vec![Value::String("secure*".into())];
        let mut tokens = Vec::new();
        for (name, value) in settings(config)? {
            match (name.as_str(), value) {
                ("rooms", Value::Array(items)) => rooms = items,
                ("rooms", other) => return Err(format!("rooms: got {}, want an array", other.kind())),
                ("tokens", Value::Object(members)) => tokens = members,
                ("tokens", other) => return Err(format!("tokens: got {}, want map[string]string", other.kind())),
                _ => return Err(unknown(&name)),
            }
        }
        let mut g = Gate { doors: Vec::new(), tokens: Vec::new() };
        for (i, room) in rooms.into_iter().enumerate() {
            g.doors.push(Door::new(room).map_err(|e| if e.starts_with("rooms: ") { e } else { format!("rooms[{}]: {}", i, e) })?);
        }
        for (token, role) in tokens {
            let role = role.text("tokens")?;
            if token.is_empty() || role.is_empty() {
                return Err(if token.is_empty() { "tokens: a token is empty" } else { "tokens: a token has no role" }.into());
            }
            g.tokens.push((token, role));
        }
        Ok(g)
    }

    fn on_join(&mut self, e: &Event) -> Verdict {
        let door = match self.doors.iter().find(|d| d.rooms.matches(e.room())) {
            None => return Verdict::allow(),
            Some(door) => door,
        };
        let role = role(e.connection().property("role"));
        if !door.open && role.is_empty() {
            return Verdict::deny("members only: log in first");
        }
        if !door.roles.is_empty() && !door.roles.contains(&role) {
            return Verdict::deny("this room is not for your role");
        }
        if door.capacity == 0 || e.cause() == "rejoined" {
            return Verdict::allow(); // without a limit, or the connection was a member before
        }
        match host::room_size() {
            Ok(members) if i64::from(members) >= door.capacity => Verdict::deny("the room is full"),
            Ok(_) => Verdict::allow(),
            Err(error) => {
                host::log(host::Level::Error, &format!("the members cannot be counted: {}", describe(error)));
                Verdict::deny("not possible now")
            }
        }
    }

    fn on_action(&mut self, e: &Event) -> Verdict {
        let token = match value::parse(e.params()) {
            Some(Value::Object(members)) => members.into_iter().rev().find(|m| m.0 == "token").map_or(Value::Null, |m| m.1),
            _ => return Verdict::deny("login: token must be a string"),
        };
        let role = match token {
            Value::String(token) => self.role_of(&token),
            Value::Null => None,
            _ => return Verdict::deny("login: token must be a string"),
        };
        let role = match role {
            None => return Verdict::deny("login: unknown token"),
            Some(role) => json::quote(role),
        };
        if let Err(error) = host::set_property("role", &role) {
            host::log(host::Level::Error, &format!("the role cannot be set: {}", describe(error)));
            return Verdict::deny("login: not possible now");
        }
        Verdict::reply(format!(r#"{{"authorized":true,"role":{}}}"#, role))
    }
}

impl Door {
    /// A text stands for a door with only a match.
    fn new(room: Value) -> Result<Door, String> {
        let (mut pattern, mut door) = (String::new(), Door { rooms: Glob::new("*")?, roles: Vec::new(), open: false, capacity: 0 });
        match room {
            Value::String(text) => pattern = text,
            Value::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        "match" => pattern = value.text("match")?,
                        "roles" => door.roles = value.texts("roles")?,
                        "open" => door.open = value.flag("open")?,
                        "capacity" => door.capacity = value.whole("capacity")?,
                        _ => return Err(format!("rooms: {} is not one of match, roles, open and capacity", json::quote(&name))),
                    }
                }
            }
            other => return Err(format!("rooms: a {} is neither a pattern nor {{match, roles, open, capacity}}", other.kind())),
        }
        if door.capacity < 0 {
            return Err(format!("capacity: {} is less than 0", door.capacity));
        }
        if door.open && !door.roles.is_empty() {
            return Err("an open room needs no roles: leave one of the two out".into());
        }
        door.rooms = Glob::new(&pattern)?;
        Ok(door)
    }
}

impl Gate {
    /// The role of a token. All tokens are compared, each in constant time, so that the time does not reveal the correct part
    /// of a guess.
    fn role_of(&self, given: &str) -> Option<&str> {
        let mut found = None;
        for (token, role) in &self.tokens {
            if same(token.as_bytes(), given.as_bytes()) {
                found = Some(role.as_str());
            }
        }
        found
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (x, y)| different | (x ^ y)) == 0
}
