//! Webhook is a rule that puts events to a service, which decides. See guests/webhook/README.md.

use kit::{settings, unknown};
use moot::{json, Answer, Event, Module, Verdict};

/// The version of the contract with services.
const VERSION: u32 = 1;

/// The longest question, in bytes.
const LONGEST: usize = 16 << 10;

/// The fields that a config can name, and those that are sent by default.
const FIELDS: [&str; 16] = [
    "tenant", "room", "message", "from", "sentAt", "cause", "params", "user", "connection", "fingerprint", "transport", "address", "locale", "connectedAt", "joinedAt", "role",
];
const DEFAULT: [&str; 7] = ["tenant", "room", "message", "params", "user", "connection", "role"];

struct Webhook {
    fields: Vec<String>,
}

moot::module!(Webhook, on_connect, on_join, on_say_receive, on_action, on_answer);

impl Module for Webhook {
    const MANIFEST: &'static str = r#"{"name":"webhook","version":"1.0.0","asks":["webhook"],
        "reads":["tenant","room","message","from","cause","params","id","user","fingerprint","transport","remoteIP","locale","connectedAt","joinedAt","properties.role"],
        "actions":[{"name":"webhook","description":"asks the service","inputs":{"data":{"description":"for the service"}}}],
        "config":{"type":"object","additionalProperties":false,"properties":{
        "fields":{"type":"array","items":{"enum":["tenant","room","message","from","sentAt","cause","params","user","connection","fingerprint","transport","address","locale",
        "connectedAt","joinedAt","role"]},"default":["tenant","room","message","params","user","connection","role"],
        "description":"what the service receives of an event"}}}}"#;

    fn new(config: &str) -> Result<Self, String> {
        let mut fields = DEFAULT.map(String::from).to_vec();
        for (name, value) in settings(config)? {
            match name.as_str() {
                "fields" => fields = value.texts(&name)?,
                _ => return Err(unknown(&name)),
            }
        }
        match fields.iter().find(|f| !FIELDS.contains(&f.as_str())) {
            Some(other) => Err(format!("fields: {} is not a field of an event", json::quote(other))),
            None => Ok(Webhook { fields }),
        }
    }

    fn on_connect(&mut self, e: &Event) -> Verdict {
        self.ask(e, "connect")
    }
    fn on_join(&mut self, e: &Event) -> Verdict {
        self.ask(e, "join")
    }
    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        self.ask(e, "onSayReceive")
    }
    fn on_action(&mut self, e: &Event) -> Verdict {
        self.ask(e, "action")
    }
    fn on_answer(&mut self, e: &Event, a: &Answer) -> Verdict {
        match decide(e.hook(), a) {
            Ok(verdict) => verdict,
            Err(problem) => panic!("the service answered {}", problem), // the entry's onError decides
        }
    }
}

impl Webhook {
    fn ask(&self, e: &Event, hook: &str) -> Verdict {
        let mut question = format!("{{\"version\":{},\"hook\":\"{}\"", VERSION, hook);
        for field in &self.fields {
            if let Some(value) = value_of(e, field) {
                question.push_str(&format!(",\"{}\":{}", field, value));
            }
        }
        question.push('}');
        if question.len() > LONGEST {
            return Verdict::deny("too long to be checked"); // whatever onError says: a long message must not pass
        }
        Verdict::ask("webhook", question)
    }
}

/// The value of a field as JSON; `None` if the event does not have it.
fn value_of(e: &Event, field: &str) -> Option<String> {
    let c = e.connection();
    let text = |s: &str| Some(json::quote(s)).filter(|_| !s.is_empty());
    let number = |n: u64| Some(n.to_string()).filter(|_| n > 0);
    match field {
        "tenant" => text(e.tenant()),
        "room" => text(e.room()),
        "message" if e.hook() != SAY_RECEIVE => None,
        "message" if e.is_json() => Some(e.message().to_string()),
        "message" => Some(json::quote(e.message())),
        "from" => text(e.from()),
        "sentAt" => number(e.sent_at()),
        "cause" => text(e.cause()),
        "params" => Some(e.params().to_string()).filter(|p| !p.is_empty()),
        "user" => text(c.user()),
        "connection" => text(c.id()),
        "fingerprint" => text(c.fingerprint()),
        "transport" => text(c.transport()),
        "address" => text(c.remote_ip()),
        "locale" => text(c.locale()),
        "connectedAt" => number(c.connected_at()),
        "joinedAt" => number(c.joined_at()),
        _ => c.property("role").map(String::from),
    }
}

const SAY_RECEIVE: u16 = 3;
const ACTION: u16 = 7;

/// The verdict that a service has given. The error says what is wrong with the answer.
fn decide(hook: u16, a: &Answer) -> Result<Verdict, String> {
    let body = a.json();
    match a.status() {
        403 => return denial(body),
        200..=299 if body.is_empty() => return Ok(Verdict::allow()),
        200..=299 => {}
        status => return Err(status.to_string()),
    }
    let name = text(body, "verdict")?.ok_or("without a verdict")?;
    let reply = member(body, "reply").filter(|_| hook == ACTION);
    match name.as_str() {
        "allow" => Ok(reply.map_or_else(Verdict::allow, Verdict::reply)),
        "end" => Ok(reply.map_or_else(Verdict::allow_end, Verdict::reply_end)),
        "deny" => denial(body),
        "drop" | "rewrite" | "hold" if hook != SAY_RECEIVE => Err(format!("{} where there is no message", name)),
        "drop" => Ok(Verdict::drop()),
        "rewrite" => rewrite(body),
        "hold" => Ok(Verdict::hold(text(body, "reason")?.unwrap_or_default(), number(body, "ttl")?.saturating_mul(1000))),
        other => Err(format!("with the verdict {}, which does not exist", json::quote(other))),
    }
}

fn denial(body: &str) -> Result<Verdict, String> {
    let verdict = Verdict::deny(text(body, "reason")?.unwrap_or_else(|| "not allowed".into()));
    match number(body, "code")? {
        0 => Ok(verdict),
        code => u32::try_from(code).map(|code| verdict.with_code(code)).map_err(|_| "with a code that is too large".into()),
    }
}

fn rewrite(body: &str) -> Result<Verdict, String> {
    let mut verdict = Verdict::rewrite();
    if let Some(message) = member(body, "message") {
        verdict = match json::text(message) {
            Some(text) => verdict.with_text(text),
            None => verdict.with_json(message),
        };
    }
    if let Some(extra) = member(body, "extra") {
        verdict = verdict.with_extra(extra);
    }
    Ok(verdict)
}

/// A member of an object as JSON; `None` if it is missing or null.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    if !object.trim_start().starts_with('{') {
        return None;
    }
    let mut items = json::items(object);
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if json::text(key).as_deref() == Some(name) {
            return Some(value).filter(|v| *v != "null");
        }
    }
    None
}

fn text(object: &str, name: &str) -> Result<Option<String>, String> {
    match member(object, name) {
        None => Ok(None),
        Some(value) => json::text(value).map(Some).ok_or_else(|| format!("with a {} that is no text", name)),
    }
}

/// A whole number; 0 if it is missing.
fn number(object: &str, name: &str) -> Result<u64, String> {
    member(object, name).map_or(Ok(0), |value| value.parse().map_err(|_| format!("with a {} that is no whole number", name)))
}
