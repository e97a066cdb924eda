//! What the ready-made rules in Rust share: JSON values, patterns of rooms, and durations.

pub mod duration;
pub mod glob;
pub mod value;

pub use value::Value;

use moot::host::Error;

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
