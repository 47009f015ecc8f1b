//! Log lines on standard output.

/// `log` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `level`
    pub level: tracing::Level,
    /// `formatter`
    pub format: Format,
    /// `fields`: added to every line.
    pub fields: Vec<(String, String)>,
    /// Not `accesslog.disabled`: one line per request.
    pub requests: bool,
}

/// `log.formatter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// One JSON object per line with logstash's field names.
    Logstash,
}
