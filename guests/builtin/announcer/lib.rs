//! Announcer announces joins and leaves in a room. See guests/announcer/README.md.

use kit::{describe, settings, unknown};
use moot::{host, Event, Module, Verdict};

struct Announcer {
    join: String,
    leave: String,
    quiet: Vec<String>,
}

const CAUSES: [&str; 6] = ["roomLeave", "destroyed", "disconnect", "removed", "node_lost", "rejoined"];

moot::module!(Announcer, on_join, on_leave);

impl Module for Announcer {
    const MANIFEST: &'static str = r#"{"name":"announcer","version":"1.0.0","reads":["room","cause","id","user"],"capabilities":["emit"],
        "config":{"type":"object","additionalProperties":false,"properties":{
        "join":{"type":"string","default":"{id} joined","description":"notice of a join, with {id} {user} {room}; empty: none"},
        "leave":{"type":"string","default":"{id} left","description":"notice of a leave"},
        "quiet":{"type":"array","items":{"type":"string"},"default":["rejoined","node_lost","destroyed"],
        "description":"causes that are not announced"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let quiet = ["rejoined", "node_lost", "destroyed"].map(String::from).to_vec();
        let mut a = Announcer { join: "{id} joined".into(), leave: "{id} left".into(), quiet };
        for (name, value) in settings(config)? {
            match name.as_str() {
                "join" => a.join = value.text("join")?,
                "leave" => a.leave = value.text("leave")?,
                "quiet" => a.quiet = value.texts("quiet")?,
                _ => return Err(unknown(&name)),
            }
        }
        match a.quiet.iter().position(|cause| !CAUSES.contains(&cause.as_str())) {
            Some(i) => Err(format!("quiet[{}]: {} is not a cause; there are {}", i, moot::json::quote(&a.quiet[i]), CAUSES.join(", "))),
            None => Ok(a),
        }
    }

    fn on_join(&mut self, e: &Event) -> Verdict {
        self.announce(e, &self.join)
    }

    fn on_leave(&mut self, e: &Event) -> Verdict {
        self.announce(e, &self.leave)
    }
}

impl Announcer {
    /// Emits a notice. It logs errors and allows the event in any case.
    fn announce(&self, e: &Event, template: &str) -> Verdict {
        if !template.is_empty() && !self.quiet.iter().any(|cause| cause == e.cause()) {
            if let Err(error) = host::emit(host::To::Room(e.room()), host::Body::Text(&notice(template, e))) {
                host::log(host::Level::Warn, &format!("not announced: {}", describe(error)));
            }
        }
        Verdict::allow()
    }
}

/// Fills in a template. A connection without a user is named by its id.
fn notice(template: &str, e: &Event) -> String {
    let id = e.connection().id();
    let user = Some(e.connection().user()).filter(|user| !user.is_empty()).unwrap_or(id);
    let (mut out, mut rest) = (String::with_capacity(template.len() + 64), template);
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, value) = match [("{id}", id), ("{user}", user), ("{room}", e.room())].iter().find(|field| rest.starts_with(field.0)) {
            Some(&field) => field,
            None => ("{", "{"),
        };
        out.push_str(value);
        rest = &rest[name.len()..];
    }
    out.push_str(rest);
    out
}
