//! The bounds of connections: what a client may hold, and for how long
//! (threat model T12: slow clients and floods).

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that are kept for everything that is no connection, but a
/// quarter of them at most.
const RESERVED_FILES: u64 = 64;

/// What one server allows: its part of `limits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `connections`: open connections in all; further ones wait in the kernel's
    /// queue.
    pub connections: usize,
    /// `connectionsperaddress`: open connections from one IPv4 address or one IPv6 /64; further ones are
    /// closed at once. Everything behind one reverse proxy counts as one address.
    pub per_address: usize,
    /// `handshaketimeout`: from the first byte to the end of the TLS handshake.
    pub handshake: Duration,
    /// `headertimeout`: from the first byte of an HTTP/1 request's head, or from the start of a
    /// connection, to the end of that head.
    pub head: Duration,
    /// `idletimeout`: how long a connection may stay open without a request.
    pub idle: Duration,
    /// `bodytimeout`: how long a request's body may pause.
    pub body_stall: Duration,
    /// `bodygrace`: how long we wait in all for a request's body before [`Limits::body_rate`]
    /// is asked for.
    pub body_grace: Duration,
    /// `bodyrate`: bytes per second that a request's body must reach while we wait for it.
    pub body_rate: u64,
    /// `answertimeout`: how long a client may take nothing of the answers that it asked for.
    pub answer_stall: Duration,
    /// `headersize`: bytes of an HTTP request's head.
    pub head_bytes: usize,
    /// `headers`: fields of an HTTP/1 request's head.
    pub head_fields: usize,
    /// `streams`: HTTP/2 requests at once on one connection.
    pub streams: u32,
    /// `resets`: HTTP/2 requests that a client may abandon in a minute before the
    /// connection is closed (CVE-2023-44487).
    pub resets_per_minute: u32,
    /// How often certificate files are looked at.
    pub certificate_poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            per_address: 4_096,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            body_stall: Duration::from_secs(60),
            body_grace: Duration::from_secs(30),
            body_rate: 1024,
            answer_stall: Duration::from_secs(75),
            head_bytes: 64 * 1024,
            head_fields: 100,
            streams: 128,
            resets_per_minute: 1_000,
            certificate_poll: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// [`Limits::connections`], or less where the process may not open as many
    /// files: a request needs a second descriptor for the blob that it moves.
    pub(super) fn affordable_connections(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let affordable = (files - RESERVED_FILES.min(files / 4)) / 2;
        usize::try_from(affordable)
            .unwrap_or(usize::MAX)
            .min(self.connections)
            .max(1)
    }
}

/// Raises the soft limit of open files to the hard one, as Go's programs do:
/// the usual 1,024 is too few for a registry. Failing is harmless, the limit
/// stays what it is.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_exceed_what_files_allow() {
        raise_open_files();
        let limits = Limits {
            connections: 3,
            ..Limits::default()
        };
        assert_eq!(limits.affordable_connections(), 3);
        let limits = Limits {
            connections: usize::MAX,
            ..Limits::default()
        };
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(limits.affordable_connections() as u64 <= files / 2);
    }
}
