//! One key that tokens are signed with (Ed25519, RFC 8037), and its record in
//! the storage.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::Failed;
use crate::auth::jwt::keys;

/// A key of one period.
pub(super) struct SigningKey {
    /// `<period>.<fingerprint>`: its `kid`.
    id: String,
    signs: EncodingKey,
    verifies: keys::Key,
    record: Zeroizing<Vec<u8>>,
}

/// As it lies in the storage.
#[derive(Serialize, Deserialize)]
struct Record {
    algorithm: String,
    /// PKCS#8, in base64.
    private: String,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.private.zeroize();
    }
}

const ALGORITHM: &str = "EdDSA";

impl SigningKey {
    /// A new one.
    pub(super) fn random(period: u64) -> Result<Self, Failed> {
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(Failed::key)?;
        let private = STANDARD.encode(Zeroizing::new(pair.serialize_der()));
        let record = Record {
            algorithm: ALGORITHM.to_owned(),
            private,
        };
        let record = serde_json::to_vec(&record).map_err(Failed::key)?;
        Self::of(period, &pair, Zeroizing::new(record))
    }

    /// The one that was written down; `None` if the record holds none.
    pub(super) fn read(period: u64, record: &[u8]) -> Option<Self> {
        let written: Record = serde_json::from_slice(record).ok()?;
        if written.algorithm != ALGORITHM {
            return None;
        }
        let private = Zeroizing::new(STANDARD.decode(&written.private).ok()?);
        let pair = KeyPair::try_from(private.as_slice()).ok()?;
        Self::of(period, &pair, Zeroizing::new(record.to_vec())).ok()
    }

    fn of(period: u64, pair: &KeyPair, record: Zeroizing<Vec<u8>>) -> Result<Self, Failed> {
        if !pair.is_compatible(&PKCS_ED25519) {
            return Err(Failed::key("it is no Ed25519 key"));
        }
        let public = pair.der_bytes();
        let print = Sha256::digest(public);
        let print = URL_SAFE_NO_PAD.encode(print.first_chunk::<9>().map_or(&[][..], |nine| nine));
        Ok(Self {
            id: format!("{period}.{print}"),
            signs: EncodingKey::from_ed_der(&Zeroizing::new(pair.serialize_der())),
            verifies: keys::Key::of_ed25519(public),
            record,
        })
    }

    /// Its name in the header of what it signs.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What a signature is verified with.
    pub(super) fn verifies(&self) -> &keys::Key {
        &self.verifies
    }

    /// What is kept of it.
    pub(super) fn record(&self) -> Bytes {
        Bytes::copy_from_slice(&self.record)
    }

    /// A compact JWS.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, Failed> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        encode(&header, claims, &self.signs).map_err(Failed::key)
    }
}

/// The period that a `kid` names.
pub(super) fn period_of(id: &str) -> Option<u64> {
    let (period, _) = id.split_once('.')?;
    // One spelling for each.
    let number: u64 = period.parse().ok()?;
    (number.to_string() == period).then_some(number)
}
