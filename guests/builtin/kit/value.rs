//! A strict reader of JSON values.

/// A JSON value. An object has its members in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// The deepest nesting that is read.
const DEEPEST: usize = 64;

/// Reads a whole text; `None` if it is not JSON, or nested too deeply.
pub fn parse(text: &str) -> Option<Value> {
    let mut r = Reader { text, at: 0 };
    let value = r.value(0)?;
    r.space();
    Some(value).filter(|_| r.at == text.len())
}

impl Value {
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// The text of a string; an error that names the setting otherwise.
    pub fn text(self, setting: &str) -> Result<String, String> {
        match self {
            Value::String(s) => Ok(s),
            other => Err(format!("{}: got {}, want string", setting, other.kind())),
        }
    }

    pub fn flag(self, setting: &str) -> Result<bool, String> {
        match self {
            Value::Bool(b) => Ok(b),
            other => Err(format!("{}: got {}, want bool", setting, other.kind())),
        }
    }

    /// A whole number.
    pub fn whole(self, setting: &str) -> Result<i64, String> {
        match self {
            Value::Number(n) if n.trunc() == n && n.abs() < 9e15 => Ok(n as i64),
            Value::Number(n) => Err(format!("{}: got number {}, want int", setting, n)),
            other => Err(format!("{}: got {}, want int", setting, other.kind())),
        }
    }

    pub fn texts(self, setting: &str) -> Result<Vec<String>, String> {
        match self {
            Value::Array(items) => items.into_iter().map(|item| item.text(setting)).collect(),
            Value::Null => Ok(Vec::new()),
            other => Err(format!("{}: got {}, want []string", setting, other.kind())),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Reads one byte after white space, if it is c.
    fn takes(&mut self, c: u8) -> bool {
        self.space();
        let is = self.peek() == Some(c);
        self.at += is as usize;
        is
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        match self.peek()? {
            _ if depth > DEEPEST => None,
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        let is = self.text[self.at..].starts_with(word);
        self.at += word.len();
        Some(value).filter(|_| is)
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut members = Vec::new();
        self.at += 1;
        if self.takes(b'}') {
            return Some(Value::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            if !self.takes(b':') {
                return None;
            }
            members.push((name, self.value(depth + 1)?));
            match (self.takes(b','), self.takes(b'}')) {
                (true, false) => {}
                (false, true) => return Some(Value::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.at += 1;
        if self.takes(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match (self.takes(b','), self.takes(b']')) {
                (true, false) => {}
                (false, true) => return Some(Value::Array(items)),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                c if c < b' ' => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        moot::json::text(&self.text[start..self.at])
    }

    fn escape(&mut self) -> Option<()> {
        let digits = match self.text.as_bytes().get(self.at + 1)? {
            b'u' => self.text.as_bytes().get(self.at + 2..self.at + 6)?,
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => &[],
            _ => return None,
        };
        self.at += 2 + digits.len();
        Some(()).filter(|_| digits.iter().all(u8::is_ascii_hexdigit))
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        self.at += (self.peek() == Some(b'-')) as usize;
        let leading = self.peek() == Some(b'0');
        if self.digits() > 1 && leading {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += matches!(self.peek(), Some(b'+' | b'-')) as usize;
            self.digits();
        }
        let text = &self.text[start..self.at];
        // parse accepts "1." and ".5" as well, which JSON does not.
        let whole = text.bytes().last()?.is_ascii_digit() && text.trim_start_matches('-').bytes().next()?.is_ascii_digit() && !text.contains(".e") && !text.contains(".E");
        text.parse().ok().filter(|_| whole).map(Value::Number)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }
}
