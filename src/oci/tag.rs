//! Tags: the movable names of manifests.

use std::fmt;
use std::str::FromStr;

/// The most characters of a refused tag that are shown.
const SHOWN: usize = 160;

/// A valid tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec,
/// "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// The string is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no tag: at most {max} letters, digits, `_`, `.` and `-`, and neither `.` nor `-` at the start",
    max = Tag::MAX_LENGTH
)]
pub struct InvalidTag(String);

impl Tag {
    /// The longest tag, in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// The tag as it is written in requests.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let valid = match text.as_bytes() {
            [first, rest @ ..] => {
                text.len() <= Self::MAX_LENGTH
                    && word(first)
                    && rest
                        .iter()
                        .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
            }
            [] => false,
        };
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTag(text.chars().take(SHOWN).collect()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_grammar_allows() {
        for tag in [
            "latest",
            "1.0",
            "_x",
            "A",
            "v1.2.3-rc.1",
            "sha256-abc.sig",
            "a_-.",
        ] {
            assert_eq!(tag.parse::<Tag>().unwrap().to_string(), tag);
        }
        assert!("a".repeat(128).parse::<Tag>().is_ok());
    }

    #[test]
    fn refuses_everything_else() {
        for tag in [
            "",
            ".x",
            "-x",
            "a/b",
            "a:b",
            "a b",
            "ä",
            "a\n",
            "..",
            ".",
            "sha256:abc",
            "a+b",
        ] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?}");
        }
        assert!("a".repeat(129).parse::<Tag>().is_err());
    }
}
