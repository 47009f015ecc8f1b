//! What two parsers of JSON may read differently: repeated keys (the first or
//! the last counts), escapes that are no character, numbers out of range. One
//! pass over a whole document refuses them, also where nobody looks today.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::Key;

/// The most characters of a key that are shown.
const SHOWN: usize = 100;

/// Where in a document something stands: `layers[3].size`.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The document itself.
    Document,
    /// A member of an object.
    Member(&'a Place<'a>, &'a str),
    /// An entry of a list.
    Entry(&'a Place<'a>, usize),
}

/// Refuses a document that parsers may read differently. Its nesting must be
/// bounded already.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    AnyValue(&Place::Document)
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| error.to_string())
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Entry(list, index) => write!(formatter, "{list}[{index}]"),
            Self::Member(object, key) => {
                if !matches!(object, Self::Document) {
                    write!(formatter, "{object}.")?;
                }
                key.chars()
                    .take(SHOWN)
                    .try_for_each(|character| write!(formatter, "{character}"))
            }
        }
    }
}

/// Any value, looked at and forgotten.
struct AnyValue<'a>(&'a Place<'a>);

impl<'de> DeserializeSeed<'de> for AnyValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while list
            .next_element_seed(AnyValue(&Place::Entry(self.0, index)))?
            .is_some()
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(Key(key)) = object.next_key::<Key<'de>>()? {
            let place = Place::Member(self.0, &key);
            if seen.contains(&key) {
                return Err(A::Error::custom(format!(
                    "the key `{place}` is there twice"
                )));
            }
            object.next_value_seed(AnyValue(&place))?;
            seen.insert(key);
        }
        Ok(())
    }
}
