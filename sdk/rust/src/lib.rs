//! Makes a Rust program a Moot module: the program has handlers for hooks, and the host
//! calls them.
//!
//! ```ignore
//! use moot::{Event, Module, Verdict};
//!
//! struct Shout;
//!
//! impl Module for Shout {
//!     const MANIFEST: &'static str = r#"{"name":"shout","reads":["message"]}"#;
//!
//!     fn new(_config: &str) -> Result<Self, String> {
//!         Ok(Shout)
//!     }
//!
//!     fn on_say_receive(&mut self, e: &Event) -> Verdict {
//!         Verdict::text(e.message().to_uppercase())
//!     }
//! }
//!
//! moot::module!(Shout, on_say_receive);
//! ```
//!
//! The host makes one call at a time to an instance. A panic ends the instance: its
//! message and place appear in the host's log and decisions, and the entry's `onError` decides
//! about the event. The crate has no
//! dependencies and builds with Rust 1.63.

#![deny(missing_docs)]

use std::cell::UnsafeCell;

pub mod host;
pub mod json;

/// The handlers of a program. Every handler allows by default; the host calls the handlers
/// that [`module!`] lists.
pub trait Module: Sized {
    /// The manifest as JSON: see ABI.md.
    const MANIFEST: &'static str;

    /// Makes the module from its entry's config, a JSON object, once per instance. An error
    /// fails the load: begin it with the name of the setting. See also [`host::config`].
    fn new(config: &str) -> Result<Self, String>;

    /// A client has connected.
    fn on_connect(&mut self, _: &Event) -> Verdict {
        Verdict::allow()
    }
    /// A connection wants to join a room.
    fn on_join(&mut self, _: &Event) -> Verdict {
        Verdict::allow()
    }
    /// A message was received: called once, before it is published.
    fn on_say_receive(&mut self, _: &Event) -> Verdict {
        Verdict::allow()
    }
    /// A message is about to be delivered: called for each receiver, or for one receiver of each
    /// class that `vary` defines. A rewrite may set message and extra only.
    fn on_say(&mut self, _: &Event, _: &Connection) -> Verdict {
        Verdict::allow()
    }
    /// A member leaves a room, or has left.
    fn on_leave(&mut self, _: &Event) -> Verdict {
        Verdict::allow()
    }
    /// A connection has ended.
    fn on_disconnect(&mut self, _: &Event) -> Verdict {
        Verdict::allow()
    }
    /// A client runs an action that the manifest declares.
    fn on_action(&mut self, _: &Event) -> Verdict {
        Verdict::allow()
    }
    /// A service has answered a [`Verdict::ask`] about this event. The verdict is for the hook of the event.
    fn on_answer(&mut self, _: &Event, _: &Answer) -> Verdict {
        Verdict::allow()
    }
}

/// Exports a [`Module`] and the listed handlers: `module!(Shout, on_say_receive)`.
#[macro_export]
macro_rules! module {
    ($module:ty $(, $hook:ident)+ $(,)?) => {
        static MOOT_GUEST: $crate::Guest<$module> = $crate::Guest::empty();
        #[no_mangle]
        pub extern "C" fn moot_abi_1() {}
        #[no_mangle]
        pub extern "C" fn moot_alloc(size: usize) -> *mut u8 { MOOT_GUEST.alloc(size) }
        #[no_mangle]
        pub extern "C" fn moot_manifest() -> u64 { $crate::span(<$module as $crate::Module>::MANIFEST) }
        #[no_mangle]
        pub extern "C" fn moot_init(_minor: u32, config: *const u8, len: usize) -> i32 { MOOT_GUEST.init(config, len) }
        #[no_mangle]
        pub extern "C" fn moot_reason() -> u64 { MOOT_GUEST.reason() }
        $($crate::hook!($module, $hook);)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! hook {
    ($module:ty, on_say) => {
        #[no_mangle]
        pub extern "C" fn on_say(frame: *mut u8) -> i32 { MOOT_GUEST.say(frame) }
    };
    ($module:ty, on_answer) => {
        #[no_mangle]
        pub extern "C" fn on_answer(frame: *mut u8) -> i32 { MOOT_GUEST.answered(frame) }
    };
    ($module:ty, $hook:ident) => {
        #[no_mangle]
        pub extern "C" fn $hook(frame: *mut u8) -> i32 {
            MOOT_GUEST.ask(frame, |m, e| <$module as $crate::Module>::$hook(m, e))
        }
    };
}

/// The event that a hook is called for. Its values live as long as the event; a field that
/// the module does not read is empty.
pub struct Event<'a> {
    frame: &'a [u8],
    blob: Blob<'a>,
    connection: Connection<'a>,
}

impl<'a> Event<'a> {
    fn new(frame: &'a [u8]) -> Event<'a> {
        let at = |slot| match u32_at(frame, slot) {
            0 => Blob(&[]),
            offset => Blob(&frame[offset..]),
        };
        Event { frame, blob: at(16), connection: Connection(at(20)) }
    }
    /// The hook's number: 1 connect, 2 join, 3 onSayReceive, 4 say, 5 leave, 6 disconnect,
    /// 7 action.
    pub fn hook(&self) -> u16 {
        (u32_at(self.frame, 4) >> 16) as u16
    }
    /// The connection of the event; empty for events of the system, and at say.
    pub fn connection(&self) -> &Connection<'a> {
        &self.connection
    }
    /// The room of the event.
    pub fn room(&self) -> &'a str {
        self.blob.text(0)
    }
    /// The tenant of the event.
    pub fn tenant(&self) -> &'a str {
        self.blob.text(1)
    }
    /// The sender: a connection's id, `0` for the system.
    pub fn from(&self) -> &'a str {
        self.blob.text(2)
    }
    /// The message: text, or JSON text if [`Event::is_json`] is true.
    pub fn message(&self) -> &'a str {
        self.blob.text(3)
    }
    /// Whether the message is JSON text.
    pub fn is_json(&self) -> bool {
        u32_at(self.frame, 8) & 1 != 0
    }
    /// The context of the message: `user` for a client's.
    pub fn context(&self) -> &'a str {
        self.blob.text(4)
    }
    /// The cause of the event: at leave `roomLeave`, `destroyed`, `disconnect`, `removed` or `node_lost`; at join
    /// empty, or `rejoined`.
    pub fn cause(&self) -> &'a str {
        self.blob.text(5)
    }
    /// The action's name.
    pub fn action(&self) -> &'a str {
        self.blob.text(6)
    }
    /// The action's parameters, a JSON object; empty without parameters.
    pub fn params(&self) -> &'a str {
        self.blob.text(7)
    }
    /// The id of the message, by which modules retract and edit it; empty in an ephemeral room. A message
    /// that a module moves to another room gets another id there.
    pub fn message_id(&self) -> &'a str {
        self.blob.text(8)
    }
    /// The id of the message that the event edits: the message is its whole new text. Empty: it is a new message.
    pub fn edits(&self) -> &'a str {
        self.blob.text(9)
    }
    /// The time of the message, in ms since 1970; 0 at hooks without a message.
    pub fn sent_at(&self) -> u64 {
        self.blob.u64(8)
    }
    /// The number of the message in its room on this node.
    pub fn sequence(&self) -> u64 {
        self.blob.u64(16)
    }
}

/// A client's connection.
pub struct Connection<'a>(Blob<'a>);

impl<'a> Connection<'a> {
    /// The id, which messages name as their sender.
    pub fn id(&self) -> &'a str {
        self.0.text(0)
    }
    /// Identifies the client across connections. The client chooses it.
    pub fn fingerprint(&self) -> &'a str {
        self.0.text(1)
    }
    /// The user that the client's token names.
    pub fn user(&self) -> &'a str {
        self.0.text(2)
    }
    /// `websocket` or `socket`.
    pub fn transport(&self) -> &'a str {
        self.0.text(3)
    }
    /// The client's address.
    pub fn remote_ip(&self) -> &'a str {
        self.0.text(4)
    }
    /// The tenant of the connection.
    pub fn tenant(&self) -> &'a str {
        self.0.text(5)
    }
    /// A language tag such as `en-GB`.
    pub fn locale(&self) -> &'a str {
        self.0.text(6)
    }
    /// The time of the connection, in ms since 1970.
    pub fn connected_at(&self) -> u64 {
        self.0.u64(8)
    }
    /// The time of the join to the event's room, in ms since 1970; 0 if it is not a member.
    pub fn joined_at(&self) -> u64 {
        self.0.u64(16)
    }
    /// A property as JSON text, see [`json::text`].
    pub fn property(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.0.field(7)?;
        while rest.len() >= 8 {
            let (n, v) = (u32_at(rest, 0), u32_at(rest, 4));
            if &rest[8..8 + n] == name.as_bytes() {
                return Some(utf8(&rest[8 + n..8 + n + v]));
            }
            rest = &rest[8 + n + v..];
        }
        None
    }
}

/// The answer of a service to an ask.
pub struct Answer<'a>(Blob<'a>);

impl<'a> Answer<'a> {
    /// The name of the ask.
    pub fn name(&self) -> &'a str {
        self.0.text(0)
    }
    /// The answer as JSON text; empty if the service sent none.
    pub fn json(&self) -> &'a str {
        self.0.text(1)
    }
    /// The state that the ask had: see [`Verdict::with_state`].
    pub fn state(&self) -> &'a [u8] {
        self.0.field(2).unwrap_or_default()
    }
    /// The HTTP status, 200 to 499: a 404 is an answer too.
    pub fn status(&self) -> u16 {
        self.0.u64(8) as u16
    }
    /// 1 for the first ask about the event, 2 for the second one.
    pub fn number(&self) -> u32 {
        self.0.u64(16) as u32
    }
}

/// A module's answer.
#[derive(Clone, Default, PartialEq)]
pub struct Verdict {
    answer: i32,
    code: u32,
    kind: u32,
    text: String,
    extra: String,
    room: String,
    from: String,
    sent_at: u64,
    ttl: u64, // ms
    ask: String,
    state: Vec<u8>,
}

impl Verdict {
    /// Allows; the next module is called.
    pub fn allow() -> Verdict {
        Verdict::default()
    }
    /// Allows, and no later module is called.
    pub fn allow_end() -> Verdict {
        Verdict { answer: 4, ..Verdict::default() }
    }
    /// Refuses. The client receives the reason, at most 1024 bytes.
    pub fn deny(reason: impl Into<String>) -> Verdict {
        Verdict { answer: 1, text: reason.into(), ..Verdict::default() }
    }
    /// Discards the message silently: at say for this receiver. For onSayReceive and say.
    pub fn drop() -> Verdict {
        Verdict { answer: 5, ..Verdict::default() }
    }
    /// Keeps a message back at onSayReceive until a moderator, who sees the reason, decides. It
    /// expires after `ttl` ms, at most 30 days; 0: the tenant's default. A host of minor 0 denies the
    /// message.
    pub fn hold(reason: impl Into<String>, ttl: u64) -> Verdict {
        Verdict { answer: 6, text: reason.into(), ttl, ..Verdict::default() }
    }
    /// Asks the service with this name, one of `asks` in the manifest: [`Module::on_answer`] receives the answer. `json` is
    /// the body for the service, at most 16 KiB; empty: none. For connect, join, onSayReceive, actions and, once more,
    /// on_answer. The effects of this call are discarded; its changes to the store remain. A host of minor 0 denies the event.
    pub fn ask(name: impl Into<String>, json: impl Into<String>) -> Verdict {
        Verdict { answer: 7, ask: name.into(), text: json.into(), ..Verdict::default() }
    }
    /// Adds bytes to an ask, at most 4096, that come back with the answer: another instance may receive it.
    pub fn with_state(self, state: impl Into<Vec<u8>>) -> Verdict {
        Verdict { state: state.into(), ..self }
    }
    /// Rewrites the message to this text.
    pub fn text(text: impl Into<String>) -> Verdict {
        Verdict::rewrite().with_text(text)
    }
    /// Rewrites the message; the `with` methods set the changes.
    pub fn rewrite() -> Verdict {
        Verdict { answer: 2, ..Verdict::default() }
    }
    /// Answers an action with a JSON object.
    pub fn reply(json: impl Into<String>) -> Verdict {
        Verdict { text: json.into(), ..Verdict::default() }
    }
    /// Adds a number that the module defines to a denial.
    pub fn with_code(self, code: u32) -> Verdict {
        Verdict { code, ..self }
    }
    /// Rewrites to a text.
    pub fn with_text(self, text: impl Into<String>) -> Verdict {
        Verdict { answer: 2, kind: 1, text: text.into(), ..self }
    }
    /// Rewrites to JSON text.
    pub fn with_json(self, json: impl Into<String>) -> Verdict {
        Verdict { answer: 2, kind: 2, text: json.into(), ..self }
    }
    /// Adds the members of a JSON object to the payload that clients receive.
    pub fn with_extra(self, json: impl Into<String>) -> Verdict {
        Verdict { answer: 2, extra: json.into(), ..self }
    }
    /// Moves the message to another room, which must exist.
    pub fn with_room(self, name: impl Into<String>) -> Verdict {
        Verdict { answer: 2, room: name.into(), ..self }
    }
    /// Sets the sender.
    pub fn with_from(self, id: impl Into<String>) -> Verdict {
        Verdict { answer: 2, from: id.into(), ..self }
    }
    /// Sets the time, in ms since 1970.
    pub fn with_sent_at(self, ms: u64) -> Verdict {
        Verdict { answer: 2, sent_at: ms, ..self }
    }

    /// Writes the result slots, and returns the number for the host.
    fn write(&self, f: &mut [u8]) -> i32 {
        match self.answer {
            0 | 4 => put(f, 88, &self.text),
            1 => {
                put_u32(f, 32, self.code as usize);
                put(f, 36, &self.text);
            }
            2 => {
                put(f, 44, &self.text);
                put_u32(f, 52, self.kind as usize);
                put(f, 56, &self.extra);
                put(f, 64, &self.room);
                put(f, 72, &self.from);
                f[80..88].copy_from_slice(&self.sent_at.to_le_bytes());
            }
            6 => {
                put(f, 36, &self.text);
                if u32_at(f, 4) & 0xffff == 0 {
                    return 1; // the host knows no hold
                }
                f[104..112].copy_from_slice(&self.ttl.to_le_bytes());
            }
            7 => {
                if u32_at(f, 4) & 0xffff == 0 {
                    return 1; // the host knows no asks
                }
                put(f, 112, &self.ask);
                put(f, 120, &self.text);
                put(f, 128, &self.state);
            }
            _ => {}
        }
        self.answer
    }
}

/// A module with the results of its last call. [`module!`] makes it.
#[doc(hidden)]
pub struct Guest<M>(UnsafeCell<State<M>>);

struct State<M> {
    module: Option<M>,
    exchange: Vec<u64>,
    reason: String,
    said: Vec<Verdict>, // data that the result slots point to, until the next call
    table: Vec<[u32; 5]>,
}

// The host makes one call at a time, and there are no threads.
unsafe impl<M> Sync for Guest<M> {}

impl<M: Module> Guest<M> {
    pub const fn empty() -> Self {
        Guest(UnsafeCell::new(State { module: None, exchange: Vec::new(), reason: String::new(), said: Vec::new(), table: Vec::new() }))
    }
    #[allow(clippy::mut_from_ref)]
    fn state(&self) -> &mut State<M> {
        unsafe { &mut *self.0.get() }
    }
    pub fn alloc(&self, size: usize) -> *mut u8 {
        if size > 1 << 20 {
            return std::ptr::null_mut();
        }
        let exchange = &mut self.state().exchange;
        *exchange = vec![0; (size + 7) / 8];
        exchange.as_mut_ptr() as *mut u8
    }
    pub fn init(&self, config: *const u8, len: usize) -> i32 {
        #[cfg(target_arch = "wasm32")]
        host::report_panics();
        let s = self.state();
        match M::new(utf8(unsafe { std::slice::from_raw_parts(config, len) })) {
            Ok(module) => s.module = Some(module),
            Err(reason) => s.reason = reason,
        }
        s.module.is_none() as i32
    }
    pub fn reason(&self) -> u64 {
        span(&self.state().reason)
    }
    pub fn ask(&self, frame: *mut u8, handler: impl Fn(&mut M, &Event) -> Verdict) -> i32 {
        let (s, f) = (self.state(), slice(frame));
        s.said.clear();
        if let Some(module) = &mut s.module {
            s.said.push(handler(module, &Event::new(f)));
        }
        s.said[0].write(f)
    }
    pub fn answered(&self, frame: *mut u8) -> i32 {
        self.ask(frame, |m, e| m.on_answer(e, &Answer(Blob(&e.frame[u32_at(e.frame, 136)..]))))
    }
    /// Each receiver gets a byte; equal rewrites share a variant.
    pub fn say(&self, frame: *mut u8) -> i32 {
        let (s, f) = (self.state(), slice(frame));
        s.said.clear();
        s.table.clear();
        let (n, tab, verdicts) = (u32_at(f, 12), u32_at(f, 24), u32_at(f, 28));
        for i in 0..n {
            let event = Event::new(f);
            let receiver = Connection(Blob(&f[u32_at(f, tab + 4 * i)..]));
            let v = s.module.as_mut().map(|m| m.on_say(&event, &receiver)).unwrap_or_default();
            f[verdicts + i] = match v.answer {
                1 | 5 => 1,
                6 | 7 => return v.answer, // an error of the module
                2 => {
                    let k = s.said.iter().rposition(|w| *w == v).unwrap_or_else(|| {
                        s.said.push(v);
                        s.said.len() - 1
                    });
                    if k == 253 {
                        return -1;
                    }
                    2 + k as u8
                }
                _ => 0,
            };
        }
        let bytes = &f[verdicts..verdicts + n];
        if n > 0 && bytes[0] < 2 && bytes.iter().all(|b| *b == bytes[0]) {
            return if bytes[0] == 1 { 5 } else { 0 };
        }
        for v in &s.said {
            let (text, extra) = (span(&v.text), span(&v.extra));
            s.table.push([(text >> 32) as u32, text as u32, v.kind, (extra >> 32) as u32, extra as u32]);
        }
        put_u32(f, 96, s.table.as_ptr() as usize);
        put_u32(f, 100, s.table.len());
        3
    }
}

/// The fields of an event or a connection; empty: none.
#[derive(Clone, Copy)]
struct Blob<'a>(&'a [u8]);

impl<'a> Blob<'a> {
    fn field(&self, n: usize) -> Option<&'a [u8]> {
        if self.0.is_empty() || n >= u32_at(self.0, 4) >> 16 {
            return None;
        }
        match u32_at(self.0, 24 + 8 * n) {
            0 => None,
            at => Some(&self.0[at..at + u32_at(self.0, 28 + 8 * n)]),
        }
    }
    fn text(&self, n: usize) -> &'a str {
        utf8(self.field(n).unwrap_or_default())
    }
    fn u64(&self, at: usize) -> u64 {
        self.0.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()))
    }
}

fn u32_at(b: &[u8], at: usize) -> usize {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap()) as usize
}

fn put_u32(b: &mut [u8], at: usize, n: usize) {
    b[at..at + 4].copy_from_slice(&(n as u32).to_le_bytes());
}

fn put(b: &mut [u8], slot: usize, s: impl AsRef<[u8]>) {
    let s = s.as_ref();
    if !s.is_empty() {
        put_u32(b, slot, s.as_ptr() as usize);
        put_u32(b, slot + 4, s.len());
    }
}

/// The frame at an address; its header has its length.
fn slice<'a>(frame: *mut u8) -> &'a mut [u8] {
    unsafe {
        let size = (frame as *const u32).read_unaligned() as usize;
        std::slice::from_raw_parts_mut(frame, size)
    }
}

#[doc(hidden)]
pub fn span(s: &str) -> u64 {
    (s.as_ptr() as u64) << 32 | s.len() as u64
}

/// The host guarantees UTF-8.
fn utf8(b: &[u8]) -> &str {
    unsafe { std::str::from_utf8_unchecked(b) }
}

impl Verdict {
    /// Answers an action with a JSON object, and no later module is called.
    pub fn reply_end(json: impl Into<String>) -> Verdict {
        Verdict { answer: 4, ..Verdict::reply(json) }
    }
}
