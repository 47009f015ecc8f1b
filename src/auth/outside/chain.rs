//! Certificates that a token brings (`x5c`, RFC 7515 section 4.1.6): their
//! chain must end at a certificate of the bundle.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::auth::jwt::keys::Key;

/// The most certificates that a token may bring.
const MAX_LENGTH: usize = 8;

/// The certificates that are trusted.
pub(super) struct Roots {
    themselves: Vec<CertificateDer<'static>>,
    store: Arc<RootCertStore>,
    chains: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Roots {
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(certificate.clone())
                .map_err(|error| format!("a certificate in it cannot be a root: {error}"))?;
        }
        let store = Arc::new(store);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let chains = WebPkiClientVerifier::builder_with_provider(Arc::clone(&store), provider);
        let chains = chains.build().map_err(|error| error.to_string())?;
        Ok(Self {
            themselves: certificates,
            store,
            chains,
            algorithms,
        })
    }

    /// The key of the first certificate, if the bundle holds it or an authority
    /// that vouches for it through the others.
    pub(super) fn key_of(&self, x5c: &[String], now: SystemTime) -> Result<Key, String> {
        if x5c.len() > MAX_LENGTH {
            return Err(format!("there are more than {MAX_LENGTH}"));
        }
        let chain = x5c
            .iter()
            .map(|text| STANDARD.decode(text).map(CertificateDer::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "one is not base64".to_owned())?;
        let (signer, others) = chain.split_first().ok_or("there are none")?;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.themselves.contains(signer) {
            in_time(signer, since.as_secs())?;
        } else {
            self.chain(signer, others, UnixTime::since_unix_epoch(since))
                .map_err(|error| error.to_string())?;
        }
        Key::of_certificate(signer)
    }

    /// The extended usages of TLS say nothing about tokens: either of them, and
    /// none, will do.
    fn chain(
        &self,
        signer: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.chains.verify_client_cert(signer, others, now).is_ok() {
            return Ok(());
        }
        let signer = ParsedCertificate::try_from(signer)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&signer, &self.store, others, now, algorithms)
    }
}

fn in_time(der: &[u8], now: u64) -> Result<(), String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let now = i64::try_from(now).map_err(|error| error.to_string())?;
    let now = ASN1Time::from_timestamp(now).map_err(|error| error.to_string())?;
    match certificate.validity().is_valid_at(now) {
        true => Ok(()),
        false => Err("it is not in its time".to_owned()),
    }
}
