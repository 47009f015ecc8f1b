//! Repository names: `<name>` of the distribution specification.

use std::fmt;
use std::str::FromStr;

/// A valid repository name such as `library/alpine`.
///
/// Grammar (distribution-spec, "Pulling manifests"):
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`,
/// at most 255 bytes. No component starts with `_` or `.`, which keeps names
/// apart from the directories of the storage layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// Why a string is no repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The name is empty.
    #[error("the repository name is empty")]
    Empty,
    /// The name is longer than 255 bytes.
    #[error(
        "the repository name is {0} bytes long; at most {max} are allowed",
        max = RepositoryName::MAX_LENGTH
    )]
    TooLong(usize),
    /// A component does not follow the grammar.
    #[error(
        "`{0}` is no repository name: lower-case letters and digits, joined by one `.`, one or two `_` or any `-`, in components separated by `/`"
    )]
    Grammar(String),
}

impl RepositoryName {
    /// The longest name, in bytes. With a host in front, clients stay below it;
    /// file systems allow as much for one component.
    pub const MAX_LENGTH: usize = 255;

    /// The name as it is written in requests.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` may stand between two slashes of a name.
    pub fn is_component(text: &str) -> bool {
        let mut rest = text.as_bytes();
        loop {
            let word = rest
                .iter()
                .take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                .count();
            if word == 0 {
                return false;
            }
            rest = rest.get(word..).unwrap_or_default();
            rest = match rest {
                [] => return true,
                [b'.', after @ ..] | [b'_', b'_', after @ ..] | [b'_', after @ ..] => after,
                [b'-', ..] => {
                    let dashes = rest.iter().take_while(|byte| **byte == b'-').count();
                    rest.get(dashes..).unwrap_or_default()
                }
                _ => return false,
            };
        }
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidName::TooLong(text.len()));
        }
        if text.split('/').all(Self::is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::Grammar(text.to_owned()))
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl serde::Serialize for RepositoryName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RepositoryName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_the_grammar_allows() {
        for name in [
            "a",
            "0",
            "a/b",
            "a.b",
            "a_b",
            "a__b",
            "a-b",
            "a---b",
            "a/b/c/d/e/f/g/h",
            "library/alpine",
        ] {
            assert_eq!(name.parse::<RepositoryName>().unwrap().to_string(), name);
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
    }

    #[test]
    fn refuses_everything_else() {
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "-a",
            "a-",
            "_a",
            "a_",
            ".a",
            "a.",
            "a..b",
            "a___b",
            "a._b",
            "a.-b",
            "a-_b",
            "a b",
            "a%2fb",
            "a/../b",
            "..",
            ".",
            "a\\b",
            "a\nb",
            "a\0b",
            "ä",
            "_uploads",
            "a/_manifests",
            "a:b",
            "a@b",
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name:?}");
        }
        assert_eq!(
            "a".repeat(256).parse::<RepositoryName>(),
            Err(InvalidName::TooLong(256))
        );
    }

    proptest! {
        #[test]
        fn generated_names_parse(name in "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}(/[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}){0,3}") {
            prop_assert_eq!(name.parse::<RepositoryName>().unwrap().to_string(), name);
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            if let Ok(name) = text.parse::<RepositoryName>() {
                prop_assert!(name.as_str().split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '_', '-'])));
            }
        }
    }
}
