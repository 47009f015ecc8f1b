//! What the wire can be told.

use http::{HeaderName, HeaderValue};

/// `http.prefix`, `http.host`, `http.relativeurls` and `http.headers` of the
/// configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What every path begins with: empty, or `/name` without a slash at the end.
    pub prefix: String,
    /// `https://host[:port]` before every `Location`; without it they are
    /// relative, which is right behind every proxy.
    pub external_url: Option<String>,
    /// Added to every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}
