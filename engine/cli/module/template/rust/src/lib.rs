//! {{.Name}} is a Moot module.

use moot::{host, json, Event, Module, Verdict};

struct Rule {
    mark: String,
}

moot::module!(Rule, on_say_receive);

impl Module for Rule {
    const MANIFEST: &'static str = r#"{"name":"{{.Name}}","reads":["message"],
        "config":{"type":"object","additionalProperties":false,"properties":{"mark":{"type":"string","default":"!"}}}}"#;

    fn new(_config: &str) -> Result<Self, String> {
        let mark = match host::config("mark") {
            Ok(value) => json::text(&value).ok_or("mark: must be a text")?,
            Err(_) => "!".to_string(),
        };
        Ok(Rule { mark })
    }

    fn on_say_receive(&mut self, e: &Event) -> Verdict {
        if e.message().trim().is_empty() {
            return Verdict::deny("say something");
        }
        Verdict::text(format!("{}{}", e.message(), self.mark))
    }
}
