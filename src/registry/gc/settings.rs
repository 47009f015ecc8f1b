//! What a server is told about collecting garbage.

use std::time::Duration;

/// `gc` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether the server collects by itself.
    pub enabled: bool,
    /// From the end of one collection to the beginning of the next.
    pub interval: Duration,
    /// How old content must be before it is removed; zero is allowed.
    pub grace: Duration,
    /// From which age on manifests without a tag are removed; none are without
    /// one.
    pub untagged: Option<Duration>,
    /// After which time without a sign of life a replica's run is taken for
    /// dead; never without one. Only of object stores: a volume has one process.
    pub dead_after: Option<Duration>,
    /// How much of the time a collection may work, in percent, 1 to 100; the
    /// rest of it pauses.
    pub pace: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // A registry:2 may be writing to the same storage.
            enabled: false,
            interval: Duration::from_secs(24 * 3600),
            grace: Duration::from_secs(24 * 3600),
            untagged: None,
            dead_after: Some(Duration::from_secs(7 * 24 * 3600)),
            pace: 50,
        }
    }
}
