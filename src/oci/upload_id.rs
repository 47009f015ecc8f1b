//! Upload sessions' identifiers.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The unique id of an upload session (distribution-spec, "Pushing a blob in
/// chunks"): a random UUID in its hyphenated lower-case form, as registry:2
/// names the session's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadId(Uuid);

/// The string is no upload id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no upload id that a registry gave out")]
pub struct InvalidUploadId;

impl UploadId {
    /// A new id with 122 random bits.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
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
