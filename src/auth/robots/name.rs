//! The name of a robot, as it stands in a login and in a key of the storage.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
const MAX_LENGTH: usize = 64;

/// A robot's name: lower-case letters, digits, `.`, `_` and `-`, the first of
/// them a letter or a digit. It is one component of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RobotName(String);

/// The string is no robot's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no robot's name: at most {MAX_LENGTH} lower-case letters, digits, `.`, `_` and `-`, the first a letter or a digit"
)]
pub struct InvalidRobotName(String);

impl RobotName {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RobotName {
    type Err = InvalidRobotName;

    fn from_str(text: &str) -> Result<Self, InvalidRobotName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = text.len() <= MAX_LENGTH
            && text.bytes().next().is_some_and(plain)
            && text
                .bytes()
                .all(|byte| plain(byte) || b"._-".contains(&byte));
        match good {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidRobotName(text.chars().take(MAX_LENGTH).collect())),
        }
    }
}

impl fmt::Display for RobotName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_component_of_a_key_and_one_user_of_a_login() {
        for good in ["ci", "0", "build.linux_amd64-2", &"a".repeat(64)] {
            assert_eq!(good.parse::<RobotName>().unwrap().to_string(), good);
        }
        for bad in [
            "", ".", "..", ".ci", "-ci", "a/b", "a:b", "CI", "a b", "ä", "a\n", "a%2f",
        ] {
            assert!(bad.parse::<RobotName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(65).parse::<RobotName>().is_err());
    }
}
