//! JSON objects read strictly: every parser must see the same document.
//!
//! Parsers differ in what they make of repeated keys, and Go's ignores case.
//! Both are refused here, and nesting is bounded before anything recurses.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fields::folds_to;
use super::readings;

/// What editors of Windows put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The members of one JSON object, in their order, values unread.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads a whole document, which must be one object and nested no deeper
    /// than `depth` levels.
    pub(super) fn parse(bytes: &'a [u8], depth: usize) -> Result<Self, String> {
        serde_json::from_str(bounded(bytes, depth)?).map_err(|error| error.to_string())
    }

    /// Reads a whole document in which every parser reads the same.
    pub(super) fn parse_unambiguous(bytes: &'a [u8], depth: usize) -> Result<Self, String> {
        readings::check(bounded(bytes, depth)?)?;
        Self::parse(bytes, depth)
    }

    /// Reads one member's value as an object.
    pub(super) fn of(raw: &'a RawValue) -> Result<Self, String> {
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())
    }

    /// The value of a member; JSON's `null` counts as absent, as Go's encoders
    /// write it for what is not set.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (!is_absent(value)).then_some(*value)
    }

    /// All members, in their order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }

    /// The value of a member as `T`; the error names the member.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|error| format!("`{name}`: {error}"))
    }

    /// Refuses members that are `names` but for case: some parsers take them
    /// for the same.
    pub(super) fn check_spelling(&self, names: &[&str]) -> Result<(), String> {
        for (key, _) in &self.0 {
            if let Some(name) = names
                .iter()
                .find(|name| folds_to(key, name) && key != *name)
            {
                return Err(format!("`{key}` must be spelled `{name}`"));
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    if !seen.insert(key.0.clone()) {
                        return Err(A::Error::custom(format!(
                            "the key `{}` is there twice",
                            key.0
                        )));
                    }
                    members.push((key.0, map.next_value::<&'de RawValue>()?));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A key, borrowed from the document unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Whether a value is JSON's `null`.
pub(super) fn is_absent(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The text of a document that is safe to recurse into.
fn bounded(bytes: &[u8], depth: usize) -> Result<&str, String> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return Err("it begins with a byte order mark, which JSON has not".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if nested_deeper_than(text, depth) {
        return Err(format!("it is nested deeper than {depth} levels"));
    }
    Ok(text)
}

/// Whether brackets outside strings nest deeper than `limit`.
fn nested_deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}
