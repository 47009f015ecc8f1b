//! One HTTP/1.1 request over one connection, and the status of its answer.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::target::{Place, Target};

/// Where our image and most distributions keep the certificates of public CAs.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// More than any status line.
const LONGEST: usize = 1024;

/// What the server did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It answered with this status.
    Status(u16),
    /// It ended the handshake since we have no certificate: it is there.
    WantsCertificate,
}

/// Asks once. The caller bounds the time.
pub(super) async fn ask(target: &Target) -> io::Result<Answer> {
    let asked = match &target.place {
        Place::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            let peer = stream.peer_addr()?.ip();
            over(stream, target, host, peer.is_loopback()).await
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            over(stream, target, "localhost", true).await
        }
    };
    match asked {
        Err(error) if wants_certificate(&error) => Ok(Answer::WantsCertificate),
        asked => asked.map(Answer::Status),
    }
}

async fn over<S>(stream: S, target: &Target, host: &str, local: bool) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !target.tls {
        return exchange(stream, target, host).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let config = Arc::new(client(local).map_err(io::Error::other)?);
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    exchange(stream, target, host).await
}

/// The request, and the status line of the answer.
async fn exchange<S>(mut stream: S, target: &Target, host: &str) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let host = match (&target.place, host.parse()) {
        (Place::Tcp(_, port), Ok(IpAddr::V6(ip))) => format!("[{ip}]:{port}"),
        (Place::Tcp(_, port), _) => format!("{host}:{port}"),
        (Place::Unix(_), _) => host.to_owned(),
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: wharf-healthcheck\r\nConnection: close\r\n\r\n",
        target.path
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < LONGEST {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    status(&head).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it speaks no HTTP"))
}

/// The status of `HTTP/1.1 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (version, rest) = line.split_once(' ')?;
    let code = rest.split(' ').next()?;
    let known = matches!(version, "HTTP/1.1" | "HTTP/1.0") && code.len() == 3;
    code.parse().ok().filter(|_| known)
}

/// Who answers on this very machine needs no proof: certificates name the
/// outside's names, and whoever could pretend owns the machine. Other servers
/// are verified against the machine's CA bundle.
fn client(local: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    if local {
        let unverified = Arc::new(Unverified(provider));
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(unverified);
        return Ok(builder.with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    let bundle = std::env::var("SSL_CERT_FILE").unwrap_or_else(|_| CA_BUNDLE.to_owned());
    if let Ok(certificates) = CertificateDer::pem_file_iter(bundle) {
        roots.add_parsable_certificates(certificates.flatten());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether the server ended the handshake for want of a client certificate.
fn wants_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let wanted = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
    cause == Some(&wanted)
}

/// Takes any certificate; the handshake itself is still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_is_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nServer: x\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503\n"), Some(503));
        for bad in [
            &b""[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1\r\n",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/1.1 abc\r\n",
            b"\x15\x03\x01\xff\n",
        ] {
            assert_eq!(status(bad), None);
        }
    }
}
