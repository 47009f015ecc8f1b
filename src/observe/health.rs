//! Checks that decide whether requests are answered at all.

use std::path::PathBuf;
use std::time::Duration;

/// `health` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `storagedriver`, if enabled.
    pub storage: Option<Periodic>,
    /// `file[]`: unhealthy while the file exists.
    pub files: Vec<(PathBuf, Periodic)>,
    /// `tcp[]`: unhealthy while nobody accepts connections at `host:port`.
    pub tcp: Vec<TcpCheck>,
}

/// How often a check runs, and how many failures in a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periodic {
    /// `interval`
    pub interval: Duration,
    /// `threshold`: unhealthy after this many failures in a row; 0 and 1 are
    /// the first.
    pub threshold: u32,
}

/// `health.tcp[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpCheck {
    /// `addr`: `host:port`
    pub addr: String,
    /// `timeout`
    pub timeout: Duration,
    /// `interval` and `threshold`
    pub periodic: Periodic,
}
