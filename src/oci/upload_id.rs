//! Upload sessions' identifiers, which say to whom a session belongs.
//!
//! The session's owner is known on every replica without a record of it: half
//! of the id is a hash of the owner's name and of the other, random half. Who
//! learns the id of somebody else's session, from a log, can't use it; who
//! guesses has to guess 66 bits of one who may push there.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid, Version};

/// The unique id of an upload session (distribution-spec, "Pushing a blob in
/// chunks"): a UUID in its hyphenated lower-case form, as registry:2 names the
/// session's directory. Those of wharf's sessions have version 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadId(Uuid);

/// The string is no upload id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no upload id that a registry gave out")]
pub struct InvalidUploadId;

impl UploadId {
    /// A new id with 122 random bits, which belongs to nobody.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// A new id with 66 random bits and 56 that stand for `owner`.
    pub fn of(owner: &str) -> Self {
        let random = *Uuid::new_v4().as_bytes();
        // Version and variant stand in the half that the hash is made of.
        let mut id = *Builder::from_custom_bytes(random).as_uuid().as_bytes();
        let hash = owned(&id, owner);
        for (place, byte) in id.iter_mut().skip(KEPT).zip(hash) {
            *place = byte;
        }
        Self(Uuid::from_bytes(id))
    }

    /// Whether the session can be `owner`'s. One that another registry began
    /// says nothing of its owner: that can be anybody's.
    pub fn may_be_of(&self, owner: &str) -> bool {
        let id = self.0.as_bytes();
        let stated = id.iter().skip(KEPT);
        self.0.get_version() != Some(Version::Custom) || stated.eq(owned(id, owner).iter())
    }
}

/// Bytes of an id that are random; version and variant stand among them.
const KEPT: usize = 9;

/// What stands behind the random bytes of an owner's session.
fn owned(id: &[u8; 16], owner: &str) -> [u8; 16 - KEPT] {
    let mut hash = Sha256::new();
    hash.update(id.get(..KEPT).unwrap_or_default());
    hash.update(owner);
    hash.finalize().first_chunk().copied().unwrap_or_default()
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<Self, InvalidUploadId> {
        let id = Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidUploadId)?;
        // One spelling only: `{…}`, `urn:uuid:…` and upper case are other strings.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(InvalidUploadId)
        }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whose_it_is() {
        let id = UploadId::of("alice");
        assert_ne!(id, UploadId::of("alice"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.may_be_of("alice"));
        for other in ["bob", "", "alice ", "robot:alice", "anonymous:"] {
            assert!(!id.may_be_of(other), "{other:?}");
        }
        assert!(
            UploadId::random().may_be_of("anybody"),
            "another registry's"
        );
    }

    #[test]
    fn has_one_spelling() {
        let id = UploadId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "..",
            "x",
            &id.to_string().to_uppercase(),
            &id.to_string().replace('-', ""),
            &format!("{{{id}}}"),
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(InvalidUploadId), "{text:?}");
        }
    }
}
