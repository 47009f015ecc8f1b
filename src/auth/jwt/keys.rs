//! Keys that tokens are verified with: out of a JWK set (RFC 7517) or out of
//! certificates. Each is pinned to the algorithms of its kind.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::ALGORITHMS;

/// The most keys of one set.
const MAX_KEYS: usize = 256;

/// Ed25519 in a certificate (RFC 8410).
const ED25519: &str = "1.3.101.112";

/// What libtrust, registry:2's library, writes a key's name with (RFC 4648).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// One public key.
#[derive(Clone)]
pub(in crate::auth) struct Key {
    key: DecodingKey,
    /// All of one kind.
    algorithms: Vec<Algorithm>,
}

/// Keys by their names.
#[derive(Clone, Default)]
pub(in crate::auth) struct Keys(BTreeMap<String, Key>);

impl Key {
    /// The key of a certificate.
    pub(in crate::auth) fn of_certificate(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| format!("a certificate cannot be read: {error}"))?;
        Self::of(&certificate)
    }

    fn of(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let info = certificate.public_key();
        let bits = &info.subject_public_key.data;
        let other = || format!("{}: its key is of no known kind", certificate.subject());
        if info.algorithm.algorithm.to_id_string() == ED25519 {
            let key = DecodingKey::from_ed_der(bits);
            return Ok(Self::new(key, &[Algorithm::EdDSA]));
        }
        match info.parsed() {
            Ok(PublicKey::RSA(_)) => Ok(Self::new(DecodingKey::from_rsa_der(bits), &RSA)),
            Ok(PublicKey::EC(point)) => {
                let algorithm = match point.key_size() {
                    // What is left of the point without its first byte, in halves.
                    256 => Algorithm::ES256,
                    384 => Algorithm::ES384,
                    _ => return Err(other()),
                };
                Ok(Self::new(DecodingKey::from_ec_der(bits), &[algorithm]))
            }
            _ => Err(other()),
        }
    }

    /// An Ed25519 key by its 32 bytes.
    pub(in crate::auth) fn of_ed25519(public: &[u8]) -> Self {
        Self::new(DecodingKey::from_ed_der(public), &[Algorithm::EdDSA])
    }

    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let all: &[Algorithm] = match key.family() {
            AlgorithmFamily::Rsa => &RSA,
            AlgorithmFamily::Ec => {
                use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
                match &jwk.algorithm {
                    AlgorithmParameters::EllipticCurve(point) => match point.curve {
                        EllipticCurve::P256 => &[Algorithm::ES256],
                        EllipticCurve::P384 => &[Algorithm::ES384],
                        _ => return None,
                    },
                    _ => return None,
                }
            }
            AlgorithmFamily::Ed => &[Algorithm::EdDSA],
            // A shared secret is no key to verify with.
            AlgorithmFamily::Hmac => return None,
        };
        let mut key = Self::new(key, all);
        if let Some(only) = jwk.common.key_algorithm {
            let only = only.to_string();
            key.algorithms
                .retain(|algorithm| super::name(*algorithm) == only);
        }
        (!key.algorithms.is_empty()).then_some(key)
    }

    fn new(key: DecodingKey, algorithms: &[Algorithm]) -> Self {
        Self {
            key,
            algorithms: algorithms.to_vec(),
        }
    }

    /// Whether the key is one for `algorithm`.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether `signature` over `signed` is this key's.
    pub(super) fn signed(&self, signed: &str, signature: &str, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.key, algorithm)
            .unwrap_or(false)
    }

    /// Its JWK thumbprint (RFC 7638): its name in registry:3.
    fn thumbprint(&self) -> Option<String> {
        let algorithm = self.algorithms.first()?;
        let jwk = Jwk::from_decoding_key(&self.key, Some(*algorithm)).ok()?;
        jwk.thumbprint(ThumbprintHash::SHA256).ok()
    }
}

/// What RSA keys sign by.
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// A JWK set, its keys unread: one that we don't know must not spoil the rest.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// The keys of a JWK set that are for signatures and of a kind that is
    /// known; there must be one at least.
    pub(in crate::auth) fn of_set(json: &[u8]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(json)
            .map_err(|error| format!("it is no JWK set (`{{\"keys\": [...]}}`): {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("it holds more than {MAX_KEYS} keys"));
        }
        let mut keys = Self::default();
        for value in set.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            let signs = jwk
                .common
                .public_key_use
                .as_ref()
                .is_none_or(|use_| *use_ == PublicKeyUse::Signature);
            let verifies = jwk
                .common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
            if let (true, true, Some(key)) = (signs, verifies, Key::of_jwk(&jwk)) {
                match jwk.common.key_id.or_else(|| key.thumbprint()) {
                    Some(name) => keys.0.entry(name).or_insert(key),
                    None => continue,
                };
            }
        }
        match keys.0.is_empty() {
            true => Err(format!(
                "it holds no key for signatures of a kind that is known ({})",
                ALGORITHMS.map(super::name).join(", ")
            )),
            false => Ok(keys),
        }
    }

    /// The keys of certificates, each by the name that registry:2 gives it and
    /// by that of registry:3; and the certificates.
    pub(in crate::auth) fn of_certificates(
        pem: &[u8],
    ) -> Result<(Self, Vec<CertificateDer<'static>>), String> {
        let mut keys = Self::default();
        let mut certificates = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            let der = der.map_err(|error| format!("it is no PEM file: {error}"))?;
            let (_, certificate) = X509Certificate::from_der(&der)
                .map_err(|error| format!("a certificate in it cannot be read: {error}"))?;
            let key = Key::of(&certificate)?;
            if let Some(name) = key.thumbprint() {
                keys.0.insert(name, key.clone());
            }
            keys.0.insert(libtrust(certificate.public_key().raw), key);
            certificates.push(der);
        }
        match certificates.is_empty() {
            true => Err("it holds no certificate (`-----BEGIN CERTIFICATE-----`)".to_owned()),
            false => Ok((keys, certificates)),
        }
    }

    /// The key of this name.
    pub(in crate::auth) fn get(&self, name: &str) -> Option<&Key> {
        self.0.get(name)
    }

    /// Their names.
    #[cfg(test)]
    pub(in crate::auth) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many names there are.
    pub(in crate::auth) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The name that libtrust gives a key: the first 240 bits of the SHA-256 of its
/// SubjectPublicKeyInfo in base32, four letters between colons.
fn libtrust(info: &[u8]) -> String {
    let digest = Sha256::digest(info);
    let mut name = String::with_capacity(59);
    for (nth, five) in digest
        .iter()
        .take(30)
        .collect::<Vec<_>>()
        .chunks(5)
        .enumerate()
    {
        let bits = five
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(**byte));
        for letter in 0..8 {
            if letter % 4 == 0 && (nth, letter) != (0, 0) {
                name.push(':');
            }
            let index = usize::try_from(bits >> (35 - 5 * letter) & 31).unwrap_or_default();
            name.extend(BASE32.get(index).map(|byte| char::from(*byte)));
        }
    }
    name
}
