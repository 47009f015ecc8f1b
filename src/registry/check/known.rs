//! The blobs that a check has seen: 40 bytes each, however many there are.

use crate::oci::{Algorithm, Digest};

/// A blob whose size nobody asked for: another run had looked at it.
const UNASKED: u64 = u64::MAX;

/// Blobs in the order of their digests, as a walk finds them.
#[derive(Default)]
pub(super) struct Known(Vec<([u8; 32], u64)>);

impl Known {
    /// The next blob in order, and its size in bytes if that is known. One that
    /// is out of order, or isn't SHA-256, is asked for when it is needed.
    pub(super) fn push(&mut self, digest: &Digest, size: Option<u64>) {
        let Some(hash) = hash(digest) else { return };
        if self.0.last().is_none_or(|(last, _)| *last < hash) {
            self.0.push((hash, size.unwrap_or(UNASKED)));
        }
    }

    /// The size of a blob in bytes, if it was seen and asked for.
    pub(super) fn size(&self, digest: &Digest) -> Option<u64> {
        let hash = hash(digest)?;
        let at = self
            .0
            .binary_search_by(|(known, _)| known.cmp(&hash))
            .ok()?;
        let (_, size) = self.0.get(at)?;
        (*size != UNASKED).then_some(*size)
    }
}

fn hash(digest: &Digest) -> Option<[u8; 32]> {
    if digest.algorithm() != Algorithm::Sha256 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_seen() {
        let mut digests: Vec<_> = (0..1000_u32)
            .map(|n| Algorithm::Sha256.digest(&n.to_be_bytes()))
            .collect();
        digests.sort();
        let mut known = Known::default();
        for (size, digest) in digests.iter().enumerate() {
            known.push(digest, (size % 2 == 0).then_some(size as u64));
        }
        for (size, digest) in digests.iter().enumerate() {
            let expected = (size % 2 == 0).then_some(size as u64);
            assert_eq!(known.size(digest), expected);
        }
        assert_eq!(known.size(&Algorithm::Sha256.digest(b"other")), None);
        assert_eq!(known.size(&Algorithm::Sha512.digest(b"other")), None);
    }
}
