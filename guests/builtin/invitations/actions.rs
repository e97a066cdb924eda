//! The actions invite, uninvite and invitations.

use crate::record::{change, read, Invitation, Record};
use crate::{member, span, Invitations};
use kit::{value, Value};
use moot::{host, Event};

/// The parameters of all actions.
struct Params {
    room: String,
    user: String,
    lasts: i64, // ms
    once: bool,
    member: bool,
}

const MAX_NAME: usize = 256; // bytes
const NOT_YOURS: &str = "only a member of the room may do that";

impl Invitations {
    /// Runs the action of an event. It returns the reply, or the reason of the denial.
    pub fn run(&self, e: &Event) -> Result<String, String> {
        let p = self.params(e)?;
        let (user, hosts) = (e.connection().user(), self.hosts(e.connection()));
        let allowed = |list: &Record| if hosts || list.has(user) { Ok(()) } else { Err(NOT_YOURS.to_string()) };
        match e.action() {
            "invite" => self.invite(&p, user, hosts, allowed),
            "uninvite" => {
                change(&p.room, |list| {
                    allowed(list)?;
                    if !hosts && !list.invitation(&p.user).map_or(false, |i| i.by == user) {
                        return Err("you have not invited that user".into());
                    }
                    if !list.remove(&p.user) {
                        return Err("that user is not invited".into());
                    }
                    Ok(true)
                })?;
                Ok(r#"{"uninvited":true}"#.into())
            }
            _ => {
                let mut list = read(&p.room)?.0;
                allowed(&list)?;
                list.prune();
                Ok(list.json())
            }
        }
    }

    fn invite(&self, p: &Params, user: &str, hosts: bool, allowed: impl Fn(&Record) -> Result<(), String>) -> Result<String, String> {
        if p.user.is_empty() {
            return Err("user is missing".into());
        }
        let ends = if p.lasts > 0 { host::now() as i64 + p.lasts } else { 0 };
        let given = Invitation { by: user.to_string(), ends, once: p.once };
        change(&p.room, |list| {
            allowed(list)?;
            if p.member && !hosts {
                return Err("your role may not make members".into());
            }
            if list.has(&p.user) {
                return Err("that user is a member already".into());
            }
            list.prune();
            if list.invitation(&p.user).map_or(false, |i| !hosts && i.by != given.by) {
                return Err("somebody else has invited that user".into());
            }
            list.remove(&p.user);
            if list.members.len() + list.invitations.len() >= self.max {
                return Err("the room's list is full".into());
            }
            if p.member {
                list.members.push(p.user.clone());
            } else {
                list.invitations.push((p.user.clone(), given.clone()));
            }
            Ok(true)
        })?;
        Ok(if p.member { r#"{"member":true}"#.into() } else { format!(r#"{{"invitation":{}}}"#, given.json()) })
    }

    /// The parameters of the event, or an error for the client.
    fn params(&self, e: &Event) -> Result<Params, String> {
        let members = match value::parse(e.params()) {
            Some(Value::Object(members)) => members,
            _ => return Err("the parameters must be an object".into()),
        };
        let text = |name: &str| match member(&members, name) {
            Value::String(s) => Ok(s),
            Value::Null => Ok(String::new()),
            _ => Err(format!("{} must be a string", name)),
        };
        let (once, listed) = (flag(member(&members, "once"))?, flag(member(&members, "member"))?);
        let (room, user, lasts) = (text("room")?, text("user")?, text("lasts")?);
        if !self.guards(&room) {
            return Err("that room needs no invitation".into());
        }
        if user.len() > MAX_NAME {
            return Err(format!("a user's name is at most {} bytes", MAX_NAME));
        }
        let lasts = if lasts.is_empty() { self.lasts } else { span(&lasts).map_err(|e| format!("lasts: {}", e))? };
        Ok(Params { room, user, lasts, once, member: listed })
    }
}

/// A bool. A client on a TCP connection can send it only as a string.
fn flag(value: Value) -> Result<bool, String> {
    match value {
        Value::Bool(b) => Ok(b),
        Value::Null => Ok(false),
        Value::String(s) if s == "true" || s == "false" => Ok(s == "true"),
        _ => Err("once and member must be true or false".into()),
    }
}
