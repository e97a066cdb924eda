//! The record of a room: who may join it.

use kit::{describe, value, Value};
use moot::host::{self, Error, Level};
use moot::json::quote;

/// Says who may join a room. It is stored under the key "room:ROOM".
#[derive(Default)]
pub struct Record {
    pub members: Vec<String>,
    pub invitations: Vec<(String, Invitation)>, // by user
}

#[derive(Clone, Default)]
pub struct Invitation {
    pub by: String, // the user who invited
    pub ends: i64,  // ms since 1970; 0: never
    pub once: bool,
}

impl Invitation {
    fn over(&self) -> bool {
        self.ends != 0 && host::now() as i64 >= self.ends
    }

    pub fn json(&self) -> String {
        let mut parts = Vec::new();
        if !self.by.is_empty() {
            parts.push(format!(r#""by":{}"#, quote(&self.by)));
        }
        if self.ends != 0 {
            parts.push(format!(r#""ends":{}"#, self.ends));
        }
        if self.once {
            parts.push(r#""once":true"#.into());
        }
        format!("{{{}}}", parts.join(","))
    }
}

pub const NOT_POSSIBLE: &str = "not possible now";

impl Record {
    /// Whether user is a member; "" is not.
    pub fn has(&self, user: &str) -> bool {
        !user.is_empty() && self.members.iter().any(|m| m == user)
    }

    pub fn invitation(&self, user: &str) -> Option<&Invitation> {
        self.invitations.iter().find(|i| i.0 == user).map(|i| &i.1)
    }

    /// Says why user may not join, or whether the join uses up an invitation.
    pub fn enter(&mut self, user: &str) -> Result<bool, String> {
        if self.has(user) {
            return Ok(false);
        }
        let i = self.invitation(user).ok_or("by invitation only")?;
        if i.over() {
            return Err("your invitation has expired".into());
        }
        let once = i.once;
        if once {
            self.invitations.retain(|i| i.0 != user);
        }
        Ok(once)
    }

    /// Removes user, and reports whether the user was listed.
    pub fn remove(&mut self, user: &str) -> bool {
        let before = self.members.len() + self.invitations.len();
        self.members.retain(|m| m != user);
        self.invitations.retain(|i| i.0 != user);
        self.members.len() + self.invitations.len() < before
    }

    /// Removes expired invitations.
    pub fn prune(&mut self) {
        self.invitations.retain(|i| !i.1.over());
    }

    pub fn json(&mut self) -> String {
        self.invitations.sort_by(|a, b| a.0.cmp(&b.0));
        let members: Vec<String> = self.members.iter().map(|m| quote(m)).collect();
        let invitations: Vec<String> = self.invitations.iter().map(|(user, i)| format!("{}:{}", quote(user), i.json())).collect();
        let mut parts = Vec::new();
        if !members.is_empty() {
            parts.push(format!(r#""members":[{}]"#, members.join(",")));
        }
        if !invitations.is_empty() {
            parts.push(format!(r#""invitations":{{{}}}"#, invitations.join(",")));
        }
        format!("{{{}}}", parts.join(","))
    }

    /// Reads a stored record; an error says what is wrong with it.
    fn parse(text: &str) -> Result<Record, String> {
        let mut r = Record::default();
        for (name, value) in object(value::parse(text).ok_or("it is not JSON")?)? {
            match name.as_str() {
                "members" => r.members = value.texts("members")?,
                "invitations" => {
                    for (user, invitation) in object(value)? {
                        r.invitations.retain(|i| i.0 != user);
                        r.invitations.push((user, Invitation::parse(invitation)?));
                    }
                }
                _ => return Err(kit::unknown(&name)),
            }
        }
        Ok(r)
    }
}

impl Invitation {
    fn parse(value: Value) -> Result<Invitation, String> {
        let mut i = Invitation::default();
        for (name, value) in object(value)? {
            match name.as_str() {
                "by" => i.by = value.text("by")?,
                "ends" => i.ends = value.whole("ends")?,
                "once" => i.once = value.flag("once")?,
                _ => return Err(kit::unknown(&name)),
            }
        }
        Ok(i)
    }
}

fn object(value: Value) -> Result<Vec<(String, Value)>, String> {
    match value {
        Value::Object(members) => Ok(members),
        Value::Null => Ok(Vec::new()),
        other => Err(format!("got {}, want an object", other.kind())),
    }
}

fn failed(key: &str, what: &str, why: &str) -> String {
    host::log(Level::Error, &format!("the key {} {}: {}", quote(key), what, why));
    NOT_POSSIBLE.into()
}

/// The record of a room and its stored text; "" if there is none.
pub fn read(room: &str) -> Result<(Record, String), String> {
    let key = format!("room:{}", room);
    let text = match host::kv_get(&key) {
        Err(Error::Absent) => return Ok((Record::default(), String::new())),
        Err(error) => return Err(failed(&key, "cannot be read", describe(error))),
        Ok(text) => text,
    };
    match Record::parse(&text) {
        Ok(record) => Ok((record, text)),
        Err(why) => Err(failed(&key, r#"must hold {"members": [USER], "invitations": {USER: {"by", "ends", "once"}}}"#, &why)),
    }
}

/// Reads the record, calls edit, and stores the result if edit returns true. It repeats these steps if another call changed the
/// record in between. It returns the error of edit.
pub fn change(room: &str, edit: impl Fn(&mut Record) -> Result<bool, String>) -> Result<(), String> {
    let key = format!("room:{}", room);
    for _ in 0..5 {
        let (mut list, old) = read(room)?;
        if !edit(&mut list)? {
            return Ok(());
        }
        list.prune();
        match host::kv_swap(&key, &old, &list.json(), None) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Error::TooLarge) => return Err("the room's list is full".into()),
            Err(error) => return Err(failed(&key, "cannot be set", describe(error))),
        }
    }
    Err(NOT_POSSIBLE.into())
}
