//! The host functions. ABI.md names the capability that each function needs; a program
//! imports only the functions that it calls.

use std::time::Duration;

/// The error of a host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key, room or property does not exist.
    Absent = -1,
    /// The entry does not grant it, or the hook is say.
    NotGranted = -2,
    /// A budget or rate is exceeded.
    OverBudget = -3,
    /// An argument is not a valid name or JSON text.
    BadPointer = -4,
    /// The value exceeds its limit.
    TooLarge = -5,
    /// The store does not answer.
    Unavailable = -6,
}

/// The severity of a log line.
#[derive(Clone, Copy)]
pub enum Level {
    /// Details for debugging.
    Debug,
    /// Normal operation.
    Info,
    /// A condition that needs attention.
    Warn,
    /// A failure.
    Error,
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_write(fd: i32, pieces: *const [usize; 2], count: usize, written: *mut usize) -> i32;
}

/// Makes every panic write its message and its place to standard error, which the host attaches to the failure of the call.
#[cfg(target_arch = "wasm32")]
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let (text, mut written) = (info.to_string(), 0);
        let piece = [text.as_ptr() as usize, text.len()];
        unsafe { fd_write(2, &piece, 1, &mut written) };
    }));
}

#[link(wasm_import_module = "moot_1")]
extern "C" {
    #[link_name = "log"]
    fn host_log(level: i32, p: *const u8, n: usize);
    fn now_ms() -> u64;
    #[link_name = "random"]
    fn host_random(p: *mut u8, n: usize) -> i32;
    fn config_get(k: *const u8, kn: usize, p: *mut u8, n: usize) -> i32;
    fn property_set(k: *const u8, kn: usize, p: *const u8, n: usize) -> i32;
    fn room_get(k: *const u8, kn: usize, p: *mut u8, n: usize) -> i32;
    #[link_name = "room_size"]
    fn host_room_size() -> i32;
    fn room_create(p: *const u8, n: usize) -> i32;
    fn room_destroy(p: *const u8, n: usize) -> i32;
    #[link_name = "kv_get"]
    fn host_kv_get(k: *const u8, kn: usize, p: *mut u8, n: usize) -> i32;
    #[link_name = "kv_set"]
    fn host_kv_set(k: *const u8, kn: usize, p: *const u8, n: usize, ttl: i64) -> i32;
    fn kv_del(k: *const u8, kn: usize) -> i32;
    #[link_name = "kv_add"]
    fn host_kv_add(k: *const u8, kn: usize, delta: i64, ttl: i64, sum: *mut i64) -> i32;
    fn kv_cas(k: *const u8, kn: usize, o: *const u8, on: usize, p: *const u8, n: usize, ttl: i64) -> i32;
    #[link_name = "rate_take"]
    fn host_rate_take(k: *const u8, kn: usize, tokens: i32, per: i32, burst: i32) -> i32;
    #[link_name = "emit"]
    fn host_emit(kind: i32, t: *const u8, tn: usize, p: *const u8, n: usize) -> i32;
    fn metric_add(k: *const u8, kn: usize, delta: i64) -> i32;
    fn sanction_set(p: *const u8, n: usize) -> i32;
    fn sanction_pardon(p: *const u8, n: usize) -> i32;
    fn member_remove(c: *const u8, cn: usize, r: *const u8, rn: usize, p: *const u8, n: usize) -> i32;
    fn connection_close(c: *const u8, cn: usize, p: *const u8, n: usize) -> i32;
    fn user_set(p: *const u8, n: usize) -> i32;
    fn message_retract(r: *const u8, rn: usize, i: *const u8, il: usize) -> i32;
    fn message_edit(kind: i32, r: *const u8, rn: usize, i: *const u8, il: usize, p: *const u8, n: usize) -> i32;
}

fn outcome(n: i32) -> Result<u32, Error> {
    match n {
        -1 => Err(Error::Absent),
        -2 => Err(Error::NotGranted),
        -3 => Err(Error::OverBudget),
        -4 => Err(Error::BadPointer),
        -5 => Err(Error::TooLarge),
        n if n < 0 => Err(Error::Unavailable),
        n => Ok(n as u32),
    }
}

fn done(n: i32) -> Result<(), Error> {
    outcome(n).map(|_| ())
}

/// Reads a whole value: again with a larger buffer if the first was too small.
fn fetch(get: impl Fn(*mut u8, usize) -> i32) -> Result<String, Error> {
    let mut buf = vec![0; 256];
    loop {
        let n = outcome(get(buf.as_mut_ptr(), buf.len()))? as usize;
        let small = n > buf.len();
        buf.resize(n, 0);
        if !small {
            return String::from_utf8(buf).map_err(|_| Error::BadPointer);
        }
    }
}

fn ms(ttl: Option<Duration>) -> i64 {
    ttl.map_or(0, |d| d.as_millis() as i64)
}

/// Writes a line to the host's log.
pub fn log(level: Level, line: &str) {
    unsafe { host_log(level as i32, line.as_ptr(), line.len()) }
}
/// The current time, in ms since 1970.
pub fn now() -> u64 {
    unsafe { now_ms() }
}
/// Fills b, at most 64 KiB, with random bytes.
pub fn random(b: &mut [u8]) -> Result<(), Error> {
    done(unsafe { host_random(b.as_mut_ptr(), b.len()) })
}
/// The value of a key of the entry's config, as JSON text.
pub fn config(key: &str) -> Result<String, Error> {
    fetch(|p, n| unsafe { config_get(key.as_ptr(), key.len(), p, n) })
}
/// Sets a property of the event's connection to JSON text; an empty one removes it.
pub fn set_property(name: &str, json: &str) -> Result<(), Error> {
    done(unsafe { property_set(name.as_ptr(), name.len(), json.as_ptr(), json.len()) })
}
/// Describes a room as `{"room","membersCount"}`.
pub fn find_room(name: &str) -> Result<String, Error> {
    fetch(|p, n| unsafe { room_get(name.as_ptr(), name.len(), p, n) })
}
/// The number of members of the event's room on all nodes.
pub fn room_size() -> Result<u32, Error> {
    outcome(unsafe { host_room_size() })
}
/// Creates a room once the whole chain allows.
pub fn create_room(name: &str) -> Result<(), Error> {
    done(unsafe { room_create(name.as_ptr(), name.len()) })
}
/// Destroys a room once the whole chain allows.
pub fn destroy_room(name: &str) -> Result<(), Error> {
    done(unsafe { room_destroy(name.as_ptr(), name.len()) })
}
/// The value of a key of the module's store.
pub fn kv_get(key: &str) -> Result<String, Error> {
    fetch(|p, n| unsafe { host_kv_get(key.as_ptr(), key.len(), p, n) })
}
/// Sets the value of a key, with or without a time to live.
pub fn kv_set(key: &str, value: &str, ttl: Option<Duration>) -> Result<(), Error> {
    done(unsafe { host_kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ms(ttl)) })
}
/// Removes a key, and reports whether it existed.
pub fn kv_delete(key: &str) -> Result<bool, Error> {
    outcome(unsafe { kv_del(key.as_ptr(), key.len()) }).map(|n| n == 1)
}
/// Adds to the number at key, which starts at 0, and returns the sum.
pub fn kv_add(key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, Error> {
    let mut sum = 0;
    done(unsafe { host_kv_add(key.as_ptr(), key.len(), delta, ms(ttl), &mut sum) }).map(|_| sum)
}
/// Sets key to value if its value is old (empty: absent), and reports whether it did.
pub fn kv_swap(key: &str, old: &str, value: &str, ttl: Option<Duration>) -> Result<bool, Error> {
    outcome(unsafe { kv_cas(key.as_ptr(), key.len(), old.as_ptr(), old.len(), value.as_ptr(), value.len(), ms(ttl)) }).map(|n| n == 1)
}
/// Takes tokens from a bucket that holds burst, starts full and gains one token per `per`.
/// Returns the time until they are available, zero if they were taken. All nodes share it.
pub fn take(key: &str, tokens: u32, per: Duration, burst: u32) -> Result<Duration, Error> {
    outcome(unsafe { host_rate_take(key.as_ptr(), key.len(), tokens as i32, per.as_millis() as i32, burst as i32) })
        .map(|ms| Duration::from_millis(ms.into()))
}

/// The target of an emitted message.
pub enum To<'a> {
    /// A room, by name.
    Room(&'a str),
    /// The connection with this id.
    Connection(&'a str),
    /// All connections of this user.
    User(&'a str),
}
/// The content of an emitted message.
pub enum Body<'a> {
    /// Text.
    Text(&'a str),
    /// JSON text.
    Json(&'a str),
}
/// Sends a message once the whole chain allows, at most 4 in one call.
pub fn emit(to: To, body: Body) -> Result<(), Error> {
    let (to, kind) = match to {
        To::Room(name) => (name, 0),
        To::Connection(id) => (id, 2),
        To::User(name) => (name, 4),
    };
    let (body, kind) = match body {
        Body::Text(text) => (text, kind),
        Body::Json(json) => (json, kind | 1),
    };
    done(unsafe { host_emit(kind, to.as_ptr(), to.len(), body.as_ptr(), body.len()) })
}

/// A sanction of a user or an address, see ABI.md.
#[derive(Clone, Copy, Default)]
pub struct Sanction<'a> {
    /// `mute`, `shadow` or `ban`.
    pub kind: &'a str,
    /// The user of a token, if address is empty.
    pub user: &'a str,
    /// An IP address or a network, if user is empty.
    pub address: &'a str,
    /// The name of a room, in which one `*` stands for any text; empty: all rooms.
    pub rooms: &'a str,
    /// The time until the sanction ends; `None`: it has no end.
    pub ttl: Option<Duration>,
    /// For the user.
    pub reason: &'a str,
    /// For moderators.
    pub note: &'a str,
}

impl Sanction<'_> {
    fn json(&self) -> String {
        let mut out = format!("{{\"kind\":{}", crate::json::quote(self.kind));
        let fields = [("user", self.user), ("address", self.address), ("rooms", self.rooms), ("reason", self.reason), ("note", self.note)];
        for (name, value) in fields.iter().filter(|f| !f.1.is_empty()) {
            out.push_str(&format!(",\"{}\":{}", name, crate::json::quote(value)));
        }
        if self.ttl.is_some() {
            out.push_str(&format!(",\"ttl\":{}", ms(self.ttl)));
        }
        out.push('}');
        out
    }
}

/// Sets a sanction of the module, also if the event is denied.
pub fn set_sanction(s: &Sanction) -> Result<(), Error> {
    let json = s.json();
    done(unsafe { sanction_set(json.as_ptr(), json.len()) })
}
/// Removes the module's sanction of this user or address, kind and rooms.
pub fn pardon_sanction(s: &Sanction) -> Result<(), Error> {
    let json = s.json();
    done(unsafe { sanction_pardon(json.as_ptr(), json.len()) })
}
/// Removes a connection from a room, also if the event is denied.
pub fn remove_member(connection: &str, room: &str, reason: &str) -> Result<(), Error> {
    done(unsafe { member_remove(connection.as_ptr(), connection.len(), room.as_ptr(), room.len(), reason.as_ptr(), reason.len()) })
}
/// Closes a connection, also if the event is denied.
pub fn close_connection(connection: &str, reason: &str) -> Result<(), Error> {
    done(unsafe { connection_close(connection.as_ptr(), connection.len(), reason.as_ptr(), reason.len()) })
}
/// Names the user of the event's connection, at connect or an action, once the whole chain allows.
/// `NotGranted`: the connection has another user, which cannot be changed.
pub fn set_user(user: &str) -> Result<(), Error> {
    done(unsafe { user_set(user.as_ptr(), user.len()) })
}
/// Retracts the message with this id from a room, also if the event is denied.
pub fn retract_message(room: &str, id: &str) -> Result<(), Error> {
    done(unsafe { message_retract(room.as_ptr(), room.len(), id.as_ptr(), id.len()) })
}
/// Replaces the text of a message that is in the history of its room, also if the event is denied. Other rules
/// see the new text as an event with [`crate::Event::edits`], and may deny it. A message that a moderator has edited is not changed.
pub fn edit_message(room: &str, id: &str, new: Body) -> Result<(), Error> {
    let (body, kind) = match new {
        Body::Text(text) => (text, 0),
        Body::Json(json) => (json, 1),
    };
    done(unsafe { message_edit(kind, room.as_ptr(), room.len(), id.as_ptr(), id.len(), body.as_ptr(), body.len()) })
}
/// Adds to one of the module's own counters.
pub fn count(metric: &str, delta: i64) -> Result<(), Error> {
    done(unsafe { metric_add(metric.as_ptr(), metric.len(), delta) })
}
