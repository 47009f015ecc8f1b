//! Sockets: accepts connections, TLS or plain by the first byte, HTTP/1 and 2,
//! bounds, signals and drain. Knows no route.
//!
//! A connection walks through these files: `listener` (the socket) and `accept`
//! (the loop, `slots` for how many), `connection` (its life: `mistaken` for the
//! wrong protocol, [`tls`] for the handshake), `watched` and `body` (bytes that
//! must keep moving, told to `activity`, which knows the deadlines; `framing`;
//! `refused` for what is no request), `service` (one request). [`shutdown`] is how all of it ends.

pub mod certificates;
pub mod shutdown;
pub mod tls;

mod accept;
mod activity;
mod body;
mod connection;
mod framing;
mod hints;
mod limits;
mod linger;
mod listener;
mod memory;
mod mistaken;
mod refused;
mod service;
mod slots;
mod stream;
mod watched;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use accept::{Drained, Server, ServerError};
pub use limits::{Limits, raise_open_files};
pub use memory::keep_private;
pub use shutdown::Shutdown;

/// Where and how to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `http.addr` and `http.net`.
    pub listen: Listen,
    /// `http.tls`; plain HTTP without it.
    pub tls: Option<tls::Settings>,
    /// Not `http.http2.disabled`: HTTP/2 by ALPN.
    pub http2: bool,
    /// `http.h2c.enabled`: HTTP/2 without TLS, by prior knowledge.
    pub h2c: bool,
    /// `http.draintimeout`: how long running requests may take after SIGTERM.
    pub drain: Duration,
}

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `host:port`; an empty host is every address.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}
