//! What the wire can be told.

use http::{HeaderName, HeaderValue};

use super::Proxies;

/// `http.prefix`, `http.host`, `http.relativeurls`, `http.headers` and
/// `http.trustedproxies` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What every path begins with: empty, or `/name` without a slash at the end.
    pub prefix: String,
    /// `https://host[:port]` before every `Location`; without it they are
    /// relative, which is right behind every proxy.
    pub external_url: Option<String>,
    /// Added to every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whose word is taken for who a client is.
    pub proxies: Proxies,
    /// What one request may hold (`limits`).
    pub limits: Limits,
}

/// The wire's part of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `tagsperrequest`: the most tags in one PUT of a manifest by digest.
    pub tags: usize,
    /// `queryparameters`: the most parameters that are read.
    pub query_parameters: usize,
    /// `ranges`: more ranges than this in one request get the whole instead.
    pub ranges: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tags: 100,
            query_parameters: 4096,
            ranges: 256,
        }
    }
}
