//! The conformance guest: it exercises the whole SDK by executing a script, see
//! host/hosttest/CONFORMANCE.md.

use moot::host::{self, Body, Error, Level, To};
use moot::{json, Answer, Connection, Event, Module, Verdict};
use std::fmt::Display;
use std::time::Duration;

struct Conformance {
    script: Option<String>,
}

moot::module!(Conformance, on_connect, on_join, on_say_receive, on_say, on_leave, on_disconnect, on_action, on_answer);

impl Module for Conformance {
    const MANIFEST: &'static str = r#"{"name":"conformance","version":"1.0.0",
        "hooks":["connect","join","onSayReceive","say","leave","disconnect","action"],
        "reads":["room","tenant","from","message","context","cause","action","params","messageId","edits","id","fingerprint","user","transport",
            "remoteIP","locale","connectedAt","joinedAt","properties.do","properties.role","properties.strikes","properties.mood"],
        "capabilities":["kv","rate","emit","rooms","properties:mood","sanctions","members","identity","amend"],"asks":["one","two"],
        "actions":[{"name":"login","description":"logs in","inputs":{"token":{"required":true,"description":"who"}}},{"name":"roll","speech":true}]}"#;

    fn new(_: &str) -> Result<Self, String> {
        match host::config("refuse") {
            Ok(reason) => Err(text(&json::text(&reason).unwrap())),
            Err(_) => Ok(Conformance { script: host::config("do").ok().and_then(|s| json::text(&s)) }),
        }
    }

    fn on_connect(&mut self, e: &Event) -> Verdict {
        self.follow(e, e.connection(), None)
    }
    fn on_join(&mut self, e: &Event) -> Verdict {
        self.follow(e, e.connection(), None)
    }
    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        self.follow(e, e.connection(), None)
    }
    fn on_answer(&mut self, e: &Event, answer: &Answer) -> Verdict {
        self.follow(e, e.connection(), Some(answer))
    }
    fn on_say(&mut self, e: &Event, receiver: &Connection) -> Verdict {
        self.follow(e, receiver, None)
    }
    fn on_leave(&mut self, e: &Event) -> Verdict {
        self.follow(e, e.connection(), None)
    }
    fn on_disconnect(&mut self, e: &Event) -> Verdict {
        self.follow(e, e.connection(), None)
    }
    fn on_action(&mut self, e: &Event) -> Verdict {
        self.follow(e, e.connection(), None)
    }
}

fn text(digits: &str) -> String {
    let bytes = (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn number(digits: &str) -> i64 {
    digits.parse().unwrap()
}

fn ttl(digits: &str) -> Option<Duration> {
    Some(Duration::from_millis(number(digits) as u64)).filter(|d| !d.is_zero())
}

fn value<T: Display>(r: Result<T, Error>) -> String {
    match r {
        Ok(v) => v.to_string(),
        Err(e) => format!("!{}", e as i32),
    }
}

fn done(r: Result<(), Error>) -> String {
    value(r.map(|_| 0))
}

fn truth(r: Result<bool, Error>) -> String {
    value(r.map(|b| b as u8))
}

impl Conformance {
    fn follow(&self, e: &Event, c: &Connection, answer: Option<&Answer>) -> Verdict {
        let property = e.connection().property("do").and_then(json::text);
        let script = self.script.clone().or(property).unwrap_or_else(|| e.message().to_string());
        let (mut v, mut lines, mut mine) = (Verdict::allow(), Vec::new(), answer.is_none());
        for op in script.split(';') {
            let words: Vec<&str> = op.split(' ').collect();
            match (words[0], &words[1..]) {
                ("id", a) => mine = text(a[0]) == c.id(),
                ("answered", a) => mine = answer.map_or(false, |answer| answer.number() as i64 == number(a[0])),
                (op, a) if mine => v = operation(e, c, answer, v, &mut lines, op, a),
                _ => {}
            }
        }
        if lines.is_empty() {
            return v;
        }
        let said = lines.join("\n");
        match e.hook() {
            3 | 4 => Verdict::text(said),
            7 => Verdict::reply(format!("{{\"said\":{}}}", json::quote(&said))),
            _ => Verdict::deny(said),
        }
    }
}

fn operation(e: &Event, c: &Connection, answer: Option<&Answer>, v: Verdict, lines: &mut Vec<String>, op: &str, a: &[&str]) -> Verdict {
    match op {
        "" => v,
        "allow" => Verdict::allow(),
        "end" => Verdict::allow_end(),
        "drop" => Verdict::drop(),
        "hold" => Verdict::hold(text(a[1]), number(a[0]) as u64),
        "ask" => Verdict::ask(text(a[0]), text(a[1])).with_state(text(a[2])),
        "deny" => Verdict::deny(text(a[1])).with_code(number(a[0]) as u32),
        "fail" => panic!("as it was told"),
        "text" => v.with_text(text(a[0])),
        "json" => v.with_json(text(a[0])),
        "extra" => v.with_extra(text(a[0])),
        "room" => v.with_room(text(a[0])),
        "from" => v.with_from(text(a[0])),
        "sentAt" => v.with_sent_at(number(a[0]) as u64),
        "reply" => Verdict::reply(text(a[0])),
        "tell" => {
            tell(e, c, answer, lines);
            v
        }
        "log" => {
            host::log([Level::Debug, Level::Info, Level::Warn, Level::Error][number(a[0]) as usize], &text(a[1]));
            v
        }
        _ => {
            lines.push(format!("{}={}", op, call(c, op, a)));
            v
        }
    }
}

fn call(c: &Connection, op: &str, a: &[&str]) -> String {
    let t = |i: usize| text(a[i]);
    match op {
        "quote" => json::quote(&t(0)),
        "now" => host::now().to_string(),
        "roomsize" => value(host::room_size()),
        "random" => {
            let mut b = vec![0; number(a[0]) as usize];
            value(host::random(&mut b).map(|_| b.iter().map(|x| format!("{:02x}", x)).collect::<String>()))
        }
        "config" => value(host::config(&t(0))),
        "prop" => value(c.property(&t(0)).ok_or(Error::Absent)),
        "setprop" => done(host::set_property(&t(0), &t(1))),
        "roomget" => value(host::find_room(&t(0))),
        "roomnew" => done(host::create_room(&t(0))),
        "roomend" => done(host::destroy_room(&t(0))),
        "get" => value(host::kv_get(&t(0))),
        "set" => done(host::kv_set(&t(0), &t(1), ttl(a[2]))),
        "del" => truth(host::kv_delete(&t(0))),
        "add" => value(host::kv_add(&t(0), number(a[1]), ttl(a[2]))),
        "cas" => truth(host::kv_swap(&t(0), &t(1), &t(2), ttl(a[3]))),
        "take" => value(host::take(&t(0), number(a[1]) as u32, ttl(a[2]).unwrap(), number(a[3]) as u32).map(|d| d.as_millis())),
        "emit" => {
            let (kind, to, body) = (number(a[0]), t(1), t(2));
            let to = match kind & 6 {
                0 => To::Room(&to),
                2 => To::Connection(&to),
                _ => To::User(&to),
            };
            done(host::emit(to, if kind & 1 != 0 { Body::Json(&body) } else { Body::Text(&body) }))
        }
        "sanction" | "pardon" => {
            let (kind, user, address, rooms) = (t(0), t(1), t(2), t(3));
            let mut s = host::Sanction { kind: &kind, user: &user, address: &address, rooms: &rooms, ..Default::default() };
            if op == "pardon" {
                return done(host::pardon_sanction(&s));
            }
            let (reason, note) = (t(5), t(6));
            s.ttl = ttl(a[4]);
            s.reason = &reason;
            s.note = &note;
            done(host::set_sanction(&s))
        }
        "remove" => done(host::remove_member(&t(0), &t(1), &t(2))),
        "close" => done(host::close_connection(&t(0), &t(1))),
        "user" => done(host::set_user(&t(0))),
        "retract" => done(host::retract_message(&t(0), &t(1))),
        "edit" => {
            let body = t(3);
            done(host::edit_message(&t(1), &t(2), if a[0] == "1" { Body::Json(&body) } else { Body::Text(&body) }))
        }
        "count" => done(host::count(&t(0), number(a[1]))),
        _ => panic!("there is no operation {}", op),
    }
}

fn tell(e: &Event, c: &Connection, answer: Option<&Answer>, lines: &mut Vec<String>) {
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() && value != "0" || name == "from" && value == "0" {
            lines.push(format!("{}={}", name, value));
        }
    };
    say("hook", &e.hook().to_string());
    say("room", e.room());
    say("tenant", e.tenant());
    say("from", e.from());
    say("message", e.message());
    say("json", if e.is_json() { "1" } else { "" });
    say("context", e.context());
    say("cause", e.cause());
    say("action", e.action());
    say("params", e.params());
    say("messageId", e.message_id());
    say("edits", e.edits());
    say("sentAt", &e.sent_at().to_string());
    say("sequence", &e.sequence().to_string());
    say("c.id", c.id());
    say("c.fingerprint", c.fingerprint());
    say("c.user", c.user());
    say("c.transport", c.transport());
    say("c.remoteIP", c.remote_ip());
    say("c.tenant", c.tenant());
    say("c.locale", c.locale());
    say("c.connectedAt", &c.connected_at().to_string());
    say("c.joinedAt", &c.joined_at().to_string());
    for name in ["role", "strikes", "mood"] {
        say(&format!("c.{}", name), c.property(name).unwrap_or(""));
    }
    if let Some(a) = answer {
        say("a.name", a.name());
        say("a.status", &a.status().to_string());
        say("a.number", &a.number().to_string());
        say("a.json", a.json());
        say("a.state", std::str::from_utf8(a.state()).unwrap());
    }
}
