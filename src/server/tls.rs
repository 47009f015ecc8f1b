//! Certificates and keys into a rustls configuration that follows its files.

mod follow;
mod leaf;
mod load;

use std::path::PathBuf;

pub(super) use follow::Tls;
pub(super) use leaf::{Leaf, colons};
pub use load::TlsError;

/// `http.tls` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `certificate`: PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// `key`: PEM.
    pub key: PathBuf,
    /// `clientcas`: PEM files of authorities of client certificates.
    pub client_cas: Vec<PathBuf>,
    /// `clientauth`; only with `clientcas`.
    pub client_auth: ClientAuth,
    /// `minimumtls`.
    pub minimum: Version,
    /// `ciphersuites` by their IANA names, for TLS 1.2; empty is the default.
    pub cipher_suites: Vec<String>,
}

/// `http.tls.clientauth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `verify-client-cert-if-given`
    IfGiven,
    /// `require-and-verify-client-cert`
    Required,
}

/// `http.tls.minimumtls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `tls1.2`
    Tls12,
    /// `tls1.3`
    Tls13,
}
