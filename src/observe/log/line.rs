//! One event as one line: text for people, JSON for machines.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{Format, Settings, is_ours};

/// What one line says, before `log.fields` are added.
pub(super) struct Line {
    time: Timestamp,
    level: Level,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Line {
    /// A line without fields.
    pub(super) fn new(time: Timestamp, level: Level, message: String) -> Self {
        Self {
            time,
            level,
            message,
            fields: Vec::new(),
        }
    }

    /// What an event says. The source of a library's event is a field of its own.
    pub(super) fn of(event: &Event<'_>, time: Timestamp) -> Self {
        let metadata = event.metadata();
        let mut line = Self::new(time, *metadata.level(), String::new());
        event.record(&mut line);
        if !is_ours(metadata.target()) {
            let target = Value::Text(metadata.target().to_owned());
            line.fields.push(("target", target));
        }
        line
    }

    /// The line with its newline.
    pub(super) fn render(&self, settings: &Settings) -> Vec<u8> {
        let mut line = match settings.format {
            Format::Text => self.text(settings),
            Format::Json => self.json(&Names::REGISTRY_2, settings),
            Format::Logstash => self.json(&Names::LOGSTASH, settings),
        };
        line.push('\n');
        line.into_bytes()
    }

    fn text(&self, settings: &Settings) -> String {
        let mut text = format!("{:.3} {:<5} ", self.time, self.level.as_str());
        push_message(&mut text, &self.message);
        for (name, value) in &self.fields {
            let _ = write!(text, " {name}={value}");
        }
        for (name, value) in self.added(settings) {
            text.push(' ');
            push_value(&mut text, name);
            text.push('=');
            push_value(&mut text, value);
        }
        text
    }

    fn json(&self, names: &'static Names, settings: &Settings) -> String {
        let object = Object {
            line: self,
            names,
            settings,
        };
        // Strings and numbers into memory: it can't fail.
        escape_invisible(serde_json::to_string(&object).unwrap_or_default())
    }

    /// `log.fields`, except those that the event itself has.
    fn added<'a>(&self, settings: &'a Settings) -> impl Iterator<Item = (&'a str, &'a str)> {
        settings
            .fields
            .iter()
            .filter(|(name, _)| self.fields.iter().all(|(taken, _)| taken != name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn record(&mut self, field: &Field, value: Value) {
        // `r#type` is how Rust spells the field `type`.
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        match value {
            Value::Text(text) if name == "message" => self.message = text,
            value => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, Value::Bool(value));
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => {
                let mut quoted = String::new();
                push_value(&mut quoted, text);
                f.write_str(&quoted)
            }
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
        }
    }
}

/// A message as it is, but whatever a terminal would act upon is escaped.
fn push_message(text: &mut String, message: &str) {
    for char in message.chars() {
        match char {
            '"' | '\'' | '\\' => text.push(char),
            char => text.extend(char.escape_debug()),
        }
    }
}

/// A value, quoted and escaped unless it is one plain word.
fn push_value(text: &mut String, value: &str) {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
    if !value.is_empty() && value.bytes().all(plain) {
        text.push_str(value);
    } else {
        let _ = write!(text, "{value:?}");
    }
}

/// JSON escapes the control characters of ASCII only; a terminal acts upon
/// others too. Outside of its strings JSON has none of them.
pub(in crate::observe) fn escape_invisible(json: String) -> String {
    if json.bytes().all(|byte| byte < 0x7f) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if char < '\u{7f}' || char.escape_debug().len() == 1 {
            escaped.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// The names of what every line has.
struct Names {
    time: &'static str,
    version: Option<(&'static str, u8)>,
    level: &'static str,
    message: &'static str,
}

impl Names {
    /// What registry:2 writes, so that whoever reads its lines reads ours.
    const REGISTRY_2: Self = Self {
        time: "time",
        version: None,
        level: "level",
        message: "msg",
    };

    const LOGSTASH: Self = Self {
        time: "@timestamp",
        version: Some(("@version", 1)),
        level: "level",
        message: "message",
    };

    fn has(&self, name: &str) -> bool {
        let version = self.version.map(|(version, _)| version);
        name == self.time || name == self.level || name == self.message || Some(name) == version
    }

    /// The name of a field, which must not hide what every line has.
    fn field<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.has(name) {
            Cow::Owned(format!("fields.{name}"))
        } else {
            Cow::Borrowed(name)
        }
    }
}

struct Object<'a> {
    line: &'a Line,
    names: &'static Names,
    settings: &'a Settings,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            line,
            names,
            settings,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names.time, &format_args!("{:.3}", line.time))?;
        if let Some((name, value)) = names.version {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry(names.level, level_name(line.level))?;
        map.serialize_entry(names.message, &line.message)?;
        for (name, value) in &line.fields {
            map.serialize_entry(&names.field(name), value)?;
        }
        for (name, value) in line.added(settings) {
            map.serialize_entry(&names.field(name), value)?;
        }
        map.end()
    }
}

/// A level as registry:2 spells it.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}
