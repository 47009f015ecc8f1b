//! The name of a user, as it stands in a users file and in a login.

use std::fmt;
use std::str::FromStr;

/// The longest user name, in bytes: what Apache's `htpasswd` allows.
const MAX_LENGTH: usize = 255;

/// A user name that fits on a line `user:hash` and into HTTP's Basic scheme
/// (RFC 7617 section 2: no colon, no control character).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

/// Why a string is no user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserName {
    /// The name is empty.
    #[error("the user name is empty")]
    Empty,
    /// The name is longer than 255 bytes.
    #[error("the user name is {0} bytes long; at most {MAX_LENGTH} are allowed")]
    TooLong(usize),
    /// The name holds a colon or a control character.
    #[error("the user name holds {0:?}; colons and control characters are not allowed")]
    Character(char),
    /// The name would be read back as a comment or without its spaces.
    #[error("a user name starts neither with `#` nor with a space, and ends with no space")]
    Edge,
}

impl UserName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        if text.is_empty() {
            return Err(InvalidUserName::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(InvalidUserName::TooLong(text.len()));
        }
        if let Some(bad) = text.chars().find(|char| *char == ':' || char.is_control()) {
            return Err(InvalidUserName::Character(bad));
        }
        if text.starts_with('#') || text.trim() != text {
            return Err(InvalidUserName::Edge);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_a_line_can_hold() {
        for name in ["a", "moby", "üser", "a b", "o'neil", "a@b.c", "-x"] {
            assert_eq!(name.parse::<UserName>().unwrap().to_string(), name);
        }
        assert!("a".repeat(255).parse::<UserName>().is_ok());
    }

    #[test]
    fn refuses_what_a_line_cannot_hold() {
        for name in ["", "a:b", "a\nb", "a\0", "\u{7f}", "#a", " a", "a ", "a\t"] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
        assert_eq!(
            "a".repeat(256).parse::<UserName>(),
            Err(InvalidUserName::TooLong(256))
        );
    }
}
