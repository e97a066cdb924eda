//! What the ready-made rules in Rust share: JSON values, patterns of rooms, and durations.

pub mod duration;
pub mod glob;
pub mod value;

pub use value::Value;

use moot::host::Error;
use std::net::IpAddr;
use std::time::Duration;

/// Describes an error of a host function for the log.
pub fn describe(e: Error) -> &'static str {
    match e {
        Error::Absent => "absent",
        Error::NotGranted => "not granted",
        Error::OverBudget => "over budget",
        Error::BadPointer => "bad pointer",
        Error::TooLarge => "too large",
        Error::Unavailable => "unavailable",
    }
}

/// The members of a config, in order; an empty config has none.
pub fn settings(config: &str) -> Result<Vec<(String, Value)>, String> {
    if config.is_empty() {
        return Ok(Vec::new());
    }
    match value::parse(config) {
        Some(Value::Object(members)) => Ok(members),
        Some(other) => Err(format!("got {}, want an object", other.kind())),
        None => Err("it is not JSON".into()),
    }
}

/// The error for a setting that the rule does not have.
pub fn unknown(name: &str) -> String {
    format!("unknown field {}", moot::json::quote(name))
}

/// The value of a property `role` that a config names: its text. A role that is not a text is its JSON; "" is none.
pub fn role(json: Option<&str>) -> String {
    match json {
        None | Some("") | Some("null") => String::new(),
        Some(json) => moot::json::text(json).unwrap_or_else(|| json.to_string()),
    }
}

/// The address that stands for the clients of a network: all of an IPv6 /64 have the same, because a client can choose the
/// rest. "" if it is not an address.
pub fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(v6)) => {
            let s = v6.segments();
            if s[..5] == [0; 5] && s[5] == 0xffff {
                return format!("{}.{}.{}.{}", s[6] >> 8, s[6] & 255, s[7] >> 8, s[7] & 255);
            }
            format!("{:x}:{:x}:{:x}:{:x}::", s[0], s[1], s[2], s[3])
        }
        Ok(IpAddr::V4(_)) => address.to_string(),
        Err(_) => String::new(),
    }
}

/// Reads a time of a setting, from 1s to 8784h (366 days).
pub fn span(setting: &str, text: &str) -> Result<Duration, String> {
    const SECOND: i64 = 1_000_000_000;
    match duration::parse(text) {
        Some(d) if (SECOND..=366 * 24 * 3600 * SECOND).contains(&d) => Ok(Duration::from_nanos(d as u64)),
        _ => Err(format!("{}: {} is not a time from 1s to 8784h, such as 90m", setting, moot::json::quote(text))),
    }
}
