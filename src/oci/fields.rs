//! The fields of manifests (image-spec, "Image Manifest", "Image Index",
//! "Descriptors"; Docker's schema 2): each has its spelling and its type, also
//! those that a registry does not read, because clients do.
//!
//! Only for what is pushed: what is stored already is served as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Digest;
use super::json::{Object, is_absent};
use super::readings::Place;

/// What a field holds.
#[derive(Clone, Copy)]
enum Field {
    Text,
    Texts,
    /// An object of strings.
    Annotations,
    Number,
    Digest,
    /// Base64 of the content itself.
    Data,
    Platform,
    Descriptor,
    Descriptors,
    /// Nothing that we look at, but nobody else may take it for something.
    Unread,
}

type Fields = [(&'static str, Field)];

const DOCUMENT: &Fields = &[
    ("schemaVersion", Field::Number),
    ("mediaType", Field::Text),
    ("artifactType", Field::Text),
    ("config", Field::Descriptor),
    ("layers", Field::Descriptors),
    ("manifests", Field::Descriptors),
    ("subject", Field::Descriptor),
    ("annotations", Field::Annotations),
    // Docker's schema 1: clients tell it by this field.
    ("fsLayers", Field::Unread),
];

const DESCRIPTOR: &Fields = &[
    ("mediaType", Field::Text),
    ("digest", Field::Digest),
    ("size", Field::Number),
    ("urls", Field::Texts),
    ("annotations", Field::Annotations),
    ("data", Field::Data),
    ("artifactType", Field::Text),
    ("platform", Field::Platform),
];

const PLATFORM: &Fields = &[
    ("architecture", Field::Text),
    ("os", Field::Text),
    ("os.version", Field::Text),
    ("os.features", Field::Texts),
    ("variant", Field::Text),
    ("features", Field::Texts),
];

/// Refuses a document with a field that is misspelled, of another type, or at
/// odds with another one; the text names it: `layers[3].size`.
pub(super) fn check(document: &Object<'_>) -> Result<(), String> {
    members(document, Place::Document, DOCUMENT)
}

/// Each member by its name; unknown ones are nobody's.
fn members(object: &Object<'_>, place: Place<'_>, fields: &Fields) -> Result<(), String> {
    for (key, raw) in object.members() {
        let Some((name, field)) = fields.iter().find(|(name, _)| folds_to(key, name)) else {
            continue;
        };
        let member = Place::Member(&place, key);
        if key != *name {
            return Err(format!(
                "`{member}` must be spelled `{}`",
                Place::Member(&place, name)
            ));
        }
        if !is_absent(raw) {
            value(raw, member, *field)?;
        }
    }
    Ok(())
}

/// Whether Go's parser takes `key` for `name`, which is ASCII: it folds case as
/// Unicode does, and two letters outside of ASCII fold into it.
pub(super) fn folds_to(key: &str, name: &str) -> bool {
    let folded = key.chars().map(|character| match character {
        '\u{017f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(name.chars().map(|character| character.to_ascii_lowercase()))
}

fn value(raw: &RawValue, place: Place<'_>, field: Field) -> Result<(), String> {
    match field {
        Field::Text | Field::Data => read::<String>(raw, place, "a string").map(drop),
        Field::Number => number(raw, place).map(drop),
        Field::Digest => digest(raw, place).map(drop),
        Field::Texts => entries(raw, place)?
            .into_iter()
            .try_for_each(|(index, raw)| {
                read::<String>(raw, Place::Entry(&place, index), "a string").map(drop)
            }),
        Field::Annotations => object(raw, place)?.members().try_for_each(|(key, raw)| {
            read::<String>(raw, Place::Member(&place, key), "a string").map(drop)
        }),
        Field::Platform => members(&object(raw, place)?, place, PLATFORM),
        Field::Descriptor => descriptor(raw, place),
        Field::Descriptors => entries(raw, place)?
            .into_iter()
            .try_for_each(|(index, raw)| descriptor(raw, Place::Entry(&place, index))),
        Field::Unread => Ok(()),
    }
}

fn descriptor(raw: &RawValue, place: Place<'_>) -> Result<(), String> {
    let object = object(raw, place)?;
    members(&object, place, DESCRIPTOR)?;
    let member = |name| Place::Member(&place, name);
    let present = |name| {
        let raw = object.raw(name);
        raw.ok_or_else(|| format!("`{}` is missing", member(name)))
    };
    let digest = digest(present("digest")?, member("digest"))?;
    let size = number(present("size")?, member("size"))?;
    match object.raw("data") {
        Some(raw) => embedded(raw, member("data"), &digest, size),
        None => Ok(()),
    }
}

/// `data` must be the content that the descriptor points at: clients take
/// whichever of the two they like.
fn embedded(raw: &RawValue, place: Place<'_>, digest: &Digest, size: u64) -> Result<(), String> {
    let text: String = read(raw, place, "a string")?;
    let data = STANDARD
        .decode(text)
        .map_err(|error| format!("`{place}` is not base64: {error}"))?;
    if data.len() as u64 != size {
        let length = data.len();
        return Err(format!(
            "`{place}` has {length} bytes, but the size is {size}"
        ));
    }
    if digest.algorithm().digest(&data) != *digest {
        return Err(format!(
            "`{place}` is not the content with the digest {digest}"
        ));
    }
    Ok(())
}

/// Numbers are signed and have 64 bits to every client; `2.0` and `1e2` are
/// numbers to some and mistakes to others.
fn number(raw: &RawValue, place: Place<'_>) -> Result<u64, String> {
    let number: i64 = read(raw, place, "a whole number without fraction or exponent")?;
    u64::try_from(number).map_err(|_| format!("`{place}` is negative"))
}

fn digest(raw: &RawValue, place: Place<'_>) -> Result<Digest, String> {
    let text: String = read(raw, place, "a string")?;
    text.parse()
        .map_err(|error: super::InvalidDigest| format!("`{place}`: {error}"))
}

fn object<'a>(raw: &'a RawValue, place: Place<'_>) -> Result<Object<'a>, String> {
    Object::of(raw).map_err(|_| format!("`{place}` must be an object"))
}

fn entries<'a>(raw: &'a RawValue, place: Place<'_>) -> Result<Vec<(usize, &'a RawValue)>, String> {
    let entries: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| format!("`{place}` must be a list"))?;
    Ok(entries.into_iter().enumerate().collect())
}

fn read<T: DeserializeOwned>(
    raw: &RawValue,
    place: Place<'_>,
    expected: &str,
) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|_| format!("`{place}` must be {expected}"))
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
