//! Manifests: what we read of one is what others read of it, or we refuse it.
//! The others are serde_json's `Value`, and Go's encoding/json, which folds
//! case and takes the last of several keys.

use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use wharf::oci::{Bounds, Digest, Manifest, ManifestType};

/// What is accepted reads the same to everybody, also when it is stored; what
/// is refused has a reason that others can see.
pub fn run(data: &[u8]) {
    let stored = Manifest::stored(data);
    let _ = Manifest::stored_type(data);
    match Manifest::parse(data, None, &Bounds::default()) {
        Ok(manifest) => {
            assert_eq!(stored.as_ref(), Ok(&manifest));
            let media_type = Some(manifest.media_type.as_str());
            assert_eq!(
                Manifest::parse(data, media_type, &Bounds::default()).as_ref(),
                Ok(&manifest)
            );
            let value: Value = serde_json::from_slice(data).expect("JSON");
            assert_eq!(ours(&manifest), references(&value), "serde_json");
            let seen = Seen::read(std::str::from_utf8(data).expect("UTF-8"));
            assert_eq!(ours(&manifest), references(&seen.by_go()), "Go");
            assert!(is_valid(&value), "{value}");
        }
        Err(error) => {
            let error = error.to_string();
            assert!(!error.is_empty() && error.len() < 4096, "{error}");
            let value = serde_json::from_slice::<Value>(data);
            let (Ok(value), Ok(text)) = (value, std::str::from_utf8(data)) else {
                return;
            };
            let seen = Seen::read(text);
            if seen.is_plain() && seen.depth() <= 64 {
                assert!(!is_valid(&value), "refused ({error}): {value}");
            }
        }
    }
}

/// Digests and sizes in their order; the subject is the last.
type References = Vec<(String, u64)>;

fn ours(manifest: &Manifest) -> (References, Option<String>) {
    let references = manifest
        .parts
        .iter()
        .map(|part| (part.digest.to_string(), part.size))
        .collect();
    (references, manifest.subject.as_ref().map(Digest::to_string))
}

fn references(value: &Value) -> (References, Option<String>) {
    let mut found = Vec::new();
    let mut add = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        found.push((
            digest.to_owned(),
            descriptor["size"].as_u64().unwrap_or_default(),
        ));
    };
    if value["config"].is_object() {
        add(&value["config"]);
    }
    for list in ["layers", "manifests"] {
        value[list]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(&mut add);
    }
    let subject = value["subject"]["digest"].as_str();
    (found, subject.map(str::to_owned))
}

/// A document with every member of its objects, in their order.
enum Seen {
    Object(Vec<(String, Seen)>),
    List(Vec<Seen>),
    Leaf(Value),
}

/// The fields that anybody reads, at any level.
static FIELDS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    [
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "fsLayers",
        "subject",
        "annotations",
        "digest",
        "size",
        "urls",
        "data",
        "platform",
        "architecture",
        "os",
        "variant",
        "features",
        r"os\.version",
        r"os\.features",
    ]
    .into_iter()
    // The simple folding of Unicode is what Go does too.
    .map(|name| (name, Regex::new(&format!(r"\A(?i:{name})\z")).unwrap()))
    .collect()
});

impl Seen {
    fn read(text: &str) -> Self {
        let text = text.trim_ascii();
        if let Ok(Members(members)) = serde_json::from_str(text) {
            let members = members.into_iter();
            Self::Object(
                members
                    .map(|(key, raw)| (key, Self::read(raw.get())))
                    .collect(),
            )
        } else if let Ok(items) = serde_json::from_str::<Vec<Box<RawValue>>>(text) {
            Self::List(items.iter().map(|raw| Self::read(raw.get())).collect())
        } else {
            Self::Leaf(serde_json::from_str(text).unwrap_or_default())
        }
    }

    /// Go's view: members fold into fields, and the last one wins.
    fn by_go(&self) -> Value {
        match self {
            Self::Object(members) => members
                .iter()
                .map(|(key, value)| {
                    let field = FIELDS.iter().find(|(_, pattern)| pattern.is_match(key));
                    let name = field.map_or(key.as_str(), |(name, _)| name);
                    (name.to_owned(), value.by_go())
                })
                .collect(),
            Self::List(items) => items.iter().map(Self::by_go).collect(),
            Self::Leaf(value) => value.clone(),
        }
    }

    /// Whether each key is there once, and no other one folds into a field.
    fn is_plain(&self) -> bool {
        match self {
            Self::Object(members) => {
                let mut seen = HashSet::new();
                members.iter().all(|(key, value)| {
                    let field = FIELDS.iter().find(|(_, pattern)| pattern.is_match(key));
                    let exact = field.is_none_or(|(name, _)| name.replace('\\', "") == *key);
                    exact && seen.insert(key) && value.is_plain()
                })
            }
            Self::List(items) => items.iter().all(Self::is_plain),
            Self::Leaf(_) => true,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Object(members) => {
                1 + members
                    .iter()
                    .map(|(_, value)| value.depth())
                    .max()
                    .unwrap_or(0)
            }
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Leaf(_) => 0,
        }
    }
}

/// The members of one object, doubles kept.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Whether a document without double or misspelled keys is a manifest: written
/// from the specification, not from our validator.
fn is_valid(value: &Value) -> bool {
    let there = |name: &str| !value[name].is_null();
    let Some(is_index) = (match value["mediaType"].as_str() {
        None => (!there("mediaType")).then(|| there("manifests")),
        Some(text) => ManifestType::from_content_type(text)
            .filter(|known| known.as_str() == text)
            .map(ManifestType::is_index),
    }) else {
        return false;
    };
    let shape = if is_index {
        !there("config") && !there("layers")
    } else {
        there("config") && !there("manifests")
    };
    value.is_object()
        && value["schemaVersion"] == 2
        && shape
        && !there("fsLayers")
        && is_text(&value["artifactType"])
        && is_annotations(&value["annotations"])
        && (!there("config") || is_descriptor(&value["config"]))
        && (!there("subject") || is_descriptor(&value["subject"]))
        && is_list(&value["layers"], is_descriptor)
        && is_list(&value["manifests"], is_descriptor)
}

fn is_descriptor(value: &Value) -> bool {
    let Some(digest) = value["digest"]
        .as_str()
        .and_then(|text| text.parse::<Digest>().ok())
    else {
        return false;
    };
    let size = value["size"]
        .as_i64()
        .and_then(|size| u64::try_from(size).ok());
    let is_data = |text: &str| {
        STANDARD.decode(text).is_ok_and(|data| {
            Some(data.len() as u64) == size && digest.algorithm().digest(&data) == digest
        })
    };
    size.is_some()
        && is_text(&value["mediaType"])
        && is_text(&value["artifactType"])
        && is_list(&value["urls"], Value::is_string)
        && is_annotations(&value["annotations"])
        && (value["data"].is_null() || value["data"].as_str().is_some_and(is_data))
        && is_platform(&value["platform"])
}

fn is_platform(value: &Value) -> bool {
    let texts = ["architecture", "os", "os.version", "variant"];
    value.is_null()
        || value.is_object()
            && texts.iter().all(|name| is_text(&value[*name]))
            && is_list(&value["os.features"], Value::is_string)
            && is_list(&value["features"], Value::is_string)
}

fn is_text(value: &Value) -> bool {
    value.is_null() || value.is_string()
}

fn is_list(value: &Value, is_item: impl Fn(&Value) -> bool) -> bool {
    value.is_null()
        || value
            .as_array()
            .is_some_and(|items| items.iter().all(is_item))
}

fn is_annotations(value: &Value) -> bool {
    let members = value.as_object();
    value.is_null() || members.is_some_and(|members| members.values().all(Value::is_string))
}
