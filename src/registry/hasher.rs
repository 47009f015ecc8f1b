//! Hashes content while it passes, and can be put aside between two requests.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::oci::{Algorithm, Digest};

/// The form of a note; another one is ignored and the content read again.
const VERSION: u8 = 1;

/// The hashes of an upload so far.
///
/// SHA-256 is always taken: it is the canonical digest under which the bytes
/// will lie. SHA-512 costs three times as much, so it is taken only when it was
/// announced, or when the upload grows so large that reading it again at its
/// end would keep the client waiting.
#[derive(Clone, Default)]
pub(super) struct Hasher {
    size: u64,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl Hasher {
    /// Takes the digest by `algorithm`, from the first byte on.
    pub(super) fn taking(algorithm: Algorithm) -> Self {
        let mut hasher = Self::default();
        if algorithm == Algorithm::Sha512 {
            hasher.also(Sha512::new());
        }
        hasher
    }

    /// How many bytes were hashed.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the digest by `algorithm` will be known.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Sha256 => true,
            Algorithm::Sha512 => self.sha512.is_some(),
        }
    }

    /// Takes SHA-512 from now on, given its state for the bytes so far.
    pub(super) fn also(&mut self, sha512: Sha512) {
        self.sha512 = Some(sha512);
    }

    /// Hashes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The canonical digest of everything so far.
    pub(super) fn canonical(&self) -> Digest {
        Digest::from_hash(Algorithm::Sha256, &self.sha256.clone().finalize())
    }

    /// The digest by `algorithm`, if it was taken.
    pub(super) fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        match algorithm {
            Algorithm::Sha256 => Some(self.canonical()),
            Algorithm::Sha512 => {
                let sha512 = self.sha512.as_ref()?;
                Some(Digest::from_hash(algorithm, &sha512.clone().finalize()))
            }
        }
    }

    /// The state as a note to keep beside the upload.
    pub(super) fn to_note(&self) -> Bytes {
        let mut note = BytesMut::with_capacity(512);
        note.put_u8(VERSION);
        note.put_u64(self.size);
        note.put_slice(&self.sha256.serialize());
        if let Some(sha512) = &self.sha512 {
            note.put_slice(&sha512.serialize());
        }
        note.freeze()
    }

    /// The state in a note, unless it is in another form.
    pub(super) fn from_note(note: &[u8]) -> Option<Self> {
        let (version, rest) = note.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let sha256_length = SerializedState::<Sha256>::default().len();
        let (sha256, rest) = rest.split_at_checked(sha256_length)?;
        let sha512 = match rest {
            [] => None,
            state => Some(Sha512::deserialize(&state.try_into().ok()?).ok()?),
        };
        Some(Self {
            size: u64::from_be_bytes(*size),
            sha256: Sha256::deserialize(&sha256.try_into().ok()?).ok()?,
            sha512,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn goes_on_from_a_note(first in proptest::collection::vec(any::<u8>(), 0..300), second in proptest::collection::vec(any::<u8>(), 0..300), both in any::<bool>()) {
            let mut hasher = Hasher::default();
            if both {
                hasher.also(Sha512::new());
            }
            hasher.update(&first);
            let mut later = Hasher::from_note(&hasher.to_note()).unwrap();
            later.update(&second);
            let whole = [first, second].concat();
            prop_assert_eq!(later.size(), whole.len() as u64);
            prop_assert_eq!(later.canonical(), Algorithm::Sha256.digest(&whole));
            prop_assert_eq!(later.digest(Algorithm::Sha512), both.then(|| Algorithm::Sha512.digest(&whole)));
        }

        #[test]
        fn garbage_is_no_note(note in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Hasher::from_note(&note);
        }
    }
}
