//! A TLS client that hides nothing: the bytes of a handshake in the test's own
//! hands, and sessions with a certificate of the test's choice.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::Registry;
use crate::wire::{Answer, Request, connect};

/// A certificate chain and its key, as a client shows them.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A client that trusts the server's authority.
pub fn config(server: &Registry, identity: Option<Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(server.authority().pem().as_bytes());
    roots.add(ca.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
    }
}

/// A handshake that has not begun. An address as a name sends no SNI.
pub fn hello(config: ClientConfig, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// The first bytes that a client sends.
pub fn client_hello(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// The status of `GET /v2/` over a handshake that may be under way.
pub fn base(client: ClientConnection, socket: TcpStream, host: &str) -> io::Result<u16> {
    let mut stream = StreamOwned::new(client, socket);
    stream.write_all(&Request::new(host, "GET", "/v2/").bytes())?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    let answer = Answer::parse(&heard, false);
    Ok(answer.map_or(0, |(answer, _)| answer.status))
}

/// What the server says to bytes until it ends the connection, which it must
/// within the limit.
pub fn said_to(host: &str, bytes: &[u8], limit: Duration) -> Vec<u8> {
    let mut socket = connect(host, limit);
    // It may have ended before it read everything.
    let _ = socket.write_all(bytes);
    let mut heard = Vec::new();
    if let Err(error) = socket.read_to_end(&mut heard) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "still open");
    }
    heard
}
