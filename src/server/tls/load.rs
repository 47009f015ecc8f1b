//! `http.tls`'s files into a rustls configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    InconsistentKeys, ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};

use super::leaf::Leaf;
use super::{ClientAuth, Settings, Version};

/// Bytes of a PEM file: more than any chain or bundle of authorities.
const MAX_PEM: u64 = 8 * 1024 * 1024;

/// Why TLS cannot be had with these settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {error}: correct {setting} or the file's owner and mode", path.display())]
    Unreadable {
        /// `certificate`, `key` or `client authorities`.
        what: &'static str,
        /// The key of the configuration that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is no PEM, or nothing in it is what is looked for.
    #[error("{} holds no {what} in PEM (a block that begins with -----BEGIN {label}-----): {setting} must name such a file", path.display())]
    NotPem {
        /// `certificate`, `private key` or `client authority`.
        what: &'static str,
        /// What a block of the kind is called.
        label: &'static str,
        /// The key of the configuration that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// Certificate and key are no pair.
    #[error("the key {} does not belong to the certificate {}: give the key that the certificate was made with, and put the server's own certificate first in its file", key.display(), certificate.display())]
    Mismatch {
        /// `http.tls.certificate`
        certificate: PathBuf,
        /// `http.tls.key`
        key: PathBuf,
    },
    /// rustls does not take the certificate, the key or an authority.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why, in rustls's words.
        reason: String,
    },
    /// `http.tls.ciphersuites` has a name that is not known.
    #[error("http.tls.ciphersuites: `{name}` is not known or not secure; known are {known}")]
    UnknownCipherSuite {
        /// The name.
        name: String,
        /// What could be said instead.
        known: String,
    },
    /// Anything else that rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A configuration that connections can be accepted with.
#[derive(Debug)]
pub(in crate::server) struct Loaded {
    /// For the acceptor.
    pub(in crate::server) config: Arc<ServerConfig>,
    /// What the log says about the certificate.
    pub(in crate::server) leaf: Leaf,
}

/// Reads all files that the settings name. Blocks.
pub(super) fn load(settings: &Settings, http2: bool) -> Result<Loaded, TlsError> {
    let provider = Arc::new(provider(&settings.cipher_suites)?);
    let chain = certificates("certificate", "http.tls.certificate", &settings.certificate)?;
    let key = private_key(&settings.key)?;
    let leaf = Leaf::read(&chain).ok_or_else(|| TlsError::Unusable {
        path: settings.certificate.clone(),
        reason: "its first certificate is no X.509".to_owned(),
    })?;

    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(settings.minimum))?;
    let builder = match client_verifier(settings, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                certificate: settings.certificate.clone(),
                key: settings.key.clone(),
            },
            other => TlsError::Unusable {
                path: settings.key.clone(),
                reason: other.to_string(),
            },
        })?;
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    // Fresh with each set of files: a ticket must not outlive the client
    // authorities that it was given under.
    config.ticketer = Ticketer::new()?;
    Ok(Loaded {
        config: Arc::new(config),
        leaf,
    })
}

fn versions(minimum: Version) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    static NEWER: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match minimum {
        Version::Tls12 => &BOTH,
        Version::Tls13 => &NEWER,
    }
}

/// The provider, with TLS 1.2 restricted to the named suites; those of TLS 1.3
/// are always on, as in Go.
fn provider(names: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if names.is_empty() {
        return Ok(provider);
    }
    let known = &provider.cipher_suites;
    if let Some(unknown) = names
        .iter()
        .find(|name| !known.iter().any(|suite| iana_name(suite) == **name))
    {
        let known: Vec<_> = known.iter().map(iana_name).collect();
        return Err(TlsError::UnknownCipherSuite {
            name: unknown.clone(),
            known: known.join(", "),
        });
    }
    provider.cipher_suites.retain(|suite| {
        suite.version().version == ProtocolVersion::TLSv1_3 || names.contains(&iana_name(suite))
    });
    Ok(provider)
}

fn iana_name(suite: &SupportedCipherSuite) -> String {
    // rustls marks the suites of TLS 1.3, IANA does not.
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

fn client_verifier(
    settings: &Settings,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(first) = settings.client_cas.first() else {
        return Ok(None);
    };
    for path in &settings.client_cas {
        for authority in certificates("client authorities", "http.tls.clientcas", path)? {
            roots.add(authority).map_err(|error| TlsError::Unusable {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match settings.client_auth {
        ClientAuth::IfGiven => builder.allow_unauthenticated(),
        ClientAuth::Required => builder,
    };
    let verifier = builder.build().map_err(|error| TlsError::Unusable {
        path: first.clone(),
        reason: error.to_string(),
    })?;
    Ok(Some(verifier))
}

fn certificates(
    what: &'static str,
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = read(what, setting, path)?;
    match CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::NotPem {
            what: "certificate",
            label: "CERTIFICATE",
            setting,
            path: path.to_owned(),
        }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let setting = "http.tls.key";
    let content = zeroize::Zeroizing::new(read("key", setting, path)?);
    PrivateKeyDer::from_pem_slice(&content).map_err(|_| TlsError::NotPem {
        what: "unencrypted private key",
        label: "PRIVATE KEY",
        setting,
        path: path.to_owned(),
    })
}

fn read(what: &'static str, setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let bounded = || {
        let size = fs::metadata(path)?.len();
        if size > MAX_PEM {
            let message = format!("{size} bytes are too many for PEM");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        fs::read(path)
    };
    bounded().map_err(|error| TlsError::Unreadable {
        what,
        setting,
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    struct Files {
        _directory: TempDir,
        settings: Settings,
    }

    fn files() -> Files {
        let directory = TempDir::new().unwrap();
        let settings = Settings {
            certificate: directory.path().join("domain.crt"),
            key: directory.path().join("domain.key"),
            client_cas: Vec::new(),
            client_auth: ClientAuth::Required,
            minimum: Version::Tls12,
            cipher_suites: Vec::new(),
        };
        write_pair(&settings);
        Files {
            _directory: directory,
            settings,
        }
    }

    fn write_pair(settings: &Settings) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&settings.certificate, made.cert.pem()).unwrap();
        fs::write(&settings.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn refusal(settings: &Settings) -> String {
        load(settings, true).unwrap_err().to_string()
    }

    #[test]
    fn a_pair_offers_both_protocols_and_tickets() {
        let files = files();
        let loaded = load(&files.settings, true).unwrap();
        assert_eq!(loaded.leaf.names, ["localhost"]);
        assert_eq!(
            loaded.config.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
        assert!(loaded.config.ticketer.enabled());
        let loaded = load(&files.settings, false).unwrap();
        assert_eq!(loaded.config.alpn_protocols, [b"http/1.1".to_vec()]);
    }

    #[test]
    fn a_missing_file_is_named_with_its_setting() {
        let files = files();
        fs::remove_file(&files.settings.key).unwrap();
        let message = refusal(&files.settings);
        assert!(message.contains("domain.key"), "{message}");
        assert!(message.contains("http.tls.key"), "{message}");
    }

    #[test]
    fn what_is_no_pem_is_named() {
        let files = files();
        fs::write(&files.settings.certificate, "garbage").unwrap();
        let message = refusal(&files.settings);
        assert!(
            message.contains("domain.crt holds no certificate"),
            "{message}"
        );

        write_pair(&files.settings);
        fs::copy(&files.settings.certificate, &files.settings.key).unwrap();
        let message = refusal(&files.settings);
        assert!(
            message.contains("domain.key holds no unencrypted private key"),
            "{message}"
        );
    }

    #[test]
    fn a_foreign_key_is_a_mismatch() {
        let (files, other) = (files(), files());
        fs::copy(&other.settings.key, &files.settings.key).unwrap();
        let message = refusal(&files.settings);
        assert!(message.contains("does not belong to"), "{message}");
    }

    #[test]
    fn cipher_suites_have_their_iana_names() {
        let mut files = files();
        files.settings.cipher_suites = vec![
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned(),
            "TLS_AES_128_GCM_SHA256".to_owned(),
        ];
        let loaded = load(&files.settings, true).unwrap();
        let suites = &loaded.config.crypto_provider().cipher_suites;
        assert_eq!(suites.len(), 3 + 1, "TLS 1.3 keeps its own: {suites:?}");

        files.settings.cipher_suites = vec!["TLS_RSA_WITH_RC4_128_SHA".to_owned()];
        let message = refusal(&files.settings);
        assert!(message.contains("`TLS_RSA_WITH_RC4_128_SHA`"), "{message}");
        assert!(
            message.contains("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
            "{message}"
        );
    }

    #[test]
    fn client_authorities_are_read() {
        let mut files = files();
        files.settings.client_cas = vec![files.settings.certificate.clone()];
        assert!(load(&files.settings, true).is_ok());
        files.settings.client_cas = vec![files.settings.key.clone()];
        let message = refusal(&files.settings);
        assert!(message.contains("http.tls.clientcas"), "{message}");
    }
}
