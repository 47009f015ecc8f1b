//! How parts of a caller are written into a token of our own and read back: as
//! text, by the grammar of each.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// A user's name.
pub(super) mod user {
    use super::*;
    use crate::auth::user_name::UserName;

    pub(crate) fn serialize<S: Serializer>(name: &UserName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UserName, D::Error> {
        parsed(from)
    }
}

/// A pattern of repositories.
pub(super) mod pattern {
    use super::*;
    use crate::oci::RepositoryPattern;

    pub(crate) fn serialize<S: Serializer>(
        pattern: &RepositoryPattern,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(pattern.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<RepositoryPattern, D::Error> {
        parsed(from)
    }
}

/// Actions, with commas between.
pub(super) mod actions {
    use super::*;
    use crate::oci::{Action, Actions};

    pub(crate) fn serialize<S: Serializer>(actions: &Actions, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(actions)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Actions, D::Error> {
        let text = String::deserialize(from)?;
        let words = text.split(',').filter(|word| !word.is_empty());
        words
            .map(|word| word.parse::<Action>().map_err(D::Error::custom))
            .collect()
    }
}

/// The bytes of a stamp, in base64url.
pub(super) mod stamp {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(from)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        bytes
            .try_into()
            .map_err(|_| D::Error::custom("a stamp has 16 bytes"))
    }
}
