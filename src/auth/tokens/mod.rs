//! wharf's own token service: short-lived signed tokens for whoever has logged
//! in (distribution's "Token Authentication Specification").

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long tokens may be made to last.
pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600);

/// `auth.tokens` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a token can be used.
    pub lifetime: Duration,
    /// The URL of `/token` as clients reach it, unless their request tells.
    pub realm: Option<String>,
    /// What tokens are for (`aud`); the same on all replicas.
    pub service: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            realm: None,
            service: "wharf".to_owned(),
        }
    }
}
