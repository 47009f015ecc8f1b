//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// An extension of every request, put there by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Unknown on a unix socket.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}
