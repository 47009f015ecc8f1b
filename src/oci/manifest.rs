//! Manifests and indexes, as far as a registry reads them (image-spec,
//! "Image Manifest" and "Image Index"; Docker's schema 2).
//!
//! The bytes are kept as they came; this is the view of them that decides what
//! a manifest needs and whose referrer it is. Media types of configurations
//! and layers are never restricted.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::json::Object;
use super::{Digest, ManifestType, fields};

/// What a manifest that a client sends may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes: distribution-spec asks for at least 4 MB, and registry:2 takes
    /// 4 MiB.
    pub size: usize,
    /// Levels of arrays and objects within each other.
    pub depth: usize,
    /// Layers, or children of an index.
    pub descriptors: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            size: 4 * 1024 * 1024,
            depth: 64,
            descriptors: 10_000,
        }
    }
}

impl Bounds {
    /// Nothing that was accepted once is lost because bounds became narrower;
    /// the depth is what can be read without running out of stack.
    const STORED: Self = Self {
        size: usize::MAX,
        depth: 120,
        descriptors: usize::MAX,
    };
}

/// What a registry reads of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The kind of manifest.
    pub media_type: ManifestType,
    /// The manifest that this one says something about.
    pub subject: Option<Digest>,
    /// What the referrers API tells of it: `artifactType`, or for an image
    /// without one the configuration's media type.
    pub artifact_type: Option<String>,
    /// All annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Configuration and layers, or an index's children.
    pub parts: Vec<Part>,
}

/// Something that a manifest names by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be had (`urls`).
    pub urls: Vec<String>,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// A blob: a configuration or layer.
    Blob,
    /// A layer that need not be pushed (`nondistributable`, Docker's `foreign`).
    ForeignLayer,
    /// A manifest in an index, with its platform if it has one.
    Child(Option<Platform>),
}

/// The platform of an index's child.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// `linux`, `windows`, …
    #[serde(default)]
    pub os: String,
}

/// Why bytes are no manifest; the text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidManifest(String);

impl Manifest {
    /// Reads a manifest that a client sends with a `Content-Type`.
    pub fn parse(
        bytes: &[u8],
        content_type: Option<&str>,
        bounds: &Bounds,
    ) -> Result<Self, InvalidManifest> {
        Self::received(bytes, content_type, bounds).map_err(InvalidManifest)
    }

    /// Reads a manifest that is stored, whose media type nobody wrote down: it
    /// is the one in the document, or follows from its shape.
    pub fn stored(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        Object::parse(bytes, Bounds::STORED.depth)
            .and_then(|document| Self::read(&document, None, &Bounds::STORED))
            .map_err(InvalidManifest)
    }

    /// The media type of a stored manifest, without reading the rest.
    pub fn stored_type(bytes: &[u8]) -> Result<ManifestType, InvalidManifest> {
        let document = Object::parse(bytes, Bounds::STORED.depth).map_err(InvalidManifest)?;
        check_schema(&document).map_err(InvalidManifest)?;
        inner_type(&document).map_err(InvalidManifest)
    }

    /// What is stored is served as it is, but what is new means the same to
    /// every client.
    fn received(bytes: &[u8], content_type: Option<&str>, bounds: &Bounds) -> Result<Self, String> {
        let announced = content_type.map(announced_type).transpose()?;
        let document = Object::parse_unambiguous(bytes, bounds.depth)?;
        fields::check(&document)?;
        Self::read(&document, announced, bounds)
    }

    fn read(
        document: &Object<'_>,
        announced: Option<ManifestType>,
        bounds: &Bounds,
    ) -> Result<Self, String> {
        document.check_spelling(&[
            "schemaVersion",
            "mediaType",
            "artifactType",
            "config",
            "layers",
            "manifests",
            "subject",
            "annotations",
        ])?;
        check_schema(document)?;
        let media_type = inner_type(document)?;
        if let Some(announced) = announced
            && announced != media_type
        {
            return Err(format!(
                "the Content-Type is `{announced}`, but the document is `{media_type}`"
            ));
        }
        check_shape(document, media_type)?;

        let mut manifest = Self {
            media_type,
            subject: None,
            artifact_type: document
                .get("artifactType")?
                .filter(|text: &String| !text.is_empty()),
            annotations: document.get("annotations")?,
            parts: Vec::new(),
        };
        if let Some(raw) = document.raw("subject") {
            manifest.subject = Some(part(raw, "subject", PartKind::Blob)?.digest);
        }
        if media_type.is_index() {
            manifest.parts = list(document, "manifests", bounds.descriptors)?;
        } else {
            let config = document.raw("config").ok_or("`config` is missing")?;
            manifest.parts.push(part(config, "config", PartKind::Blob)?);
            let mut layers = list(document, "layers", bounds.descriptors)?;
            manifest.parts.append(&mut layers);
            if manifest.artifact_type.is_none() {
                manifest.artifact_type = Object::of(config)?.get("mediaType")?;
            }
        }
        Ok(manifest)
    }
}

/// The type that a request's `Content-Type` names.
fn announced_type(content_type: &str) -> Result<ManifestType, String> {
    if content_type.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        return Err(SCHEMA_1.to_owned());
    }
    ManifestType::from_content_type(content_type).ok_or_else(|| {
        let shown: String = content_type.chars().take(100).collect();
        format!("`{shown}` is no media type of a manifest: expected an OCI image manifest or index, or Docker's schema 2 manifest or list")
    })
}

/// The type that the document itself says it has.
fn inner_type(document: &Object<'_>) -> Result<ManifestType, String> {
    match document.get::<String>("mediaType")? {
        Some(text) => ManifestType::from_content_type(&text)
            .filter(|known| known.as_str() == text)
            .ok_or_else(|| "`mediaType` is no media type of a manifest".to_owned()),
        // Nobody writes down what was announced, so only what can be told
        // again from the document is accepted without it: OCI's two types.
        None if document.raw("manifests").is_some() => Ok(ManifestType::OciIndex),
        None => Ok(ManifestType::OciImage),
    }
}

const SCHEMA_1: &str =
    "Docker's schema 1 manifests are not supported: push with Docker 1.10 or newer";

fn check_schema(document: &Object<'_>) -> Result<(), String> {
    match document.get::<u64>("schemaVersion")? {
        Some(2) => Ok(()),
        Some(1) => Err(SCHEMA_1.to_owned()),
        Some(other) => Err(format!("`schemaVersion` is {other}; it must be 2")),
        None => Err("`schemaVersion` is missing; it must be 2".to_owned()),
    }
}

/// One document is one thing (CVE-2021-41190).
fn check_shape(document: &Object<'_>, media_type: ManifestType) -> Result<(), String> {
    let foreign: &[&str] = if media_type.is_index() {
        &["config", "layers", "fsLayers"]
    } else {
        &["manifests", "fsLayers"]
    };
    match foreign.iter().find(|name| document.raw(name).is_some()) {
        Some(name) => Err(format!("`{name}` does not belong into `{media_type}`")),
        None => Ok(()),
    }
}

fn list(document: &Object<'_>, name: &str, most: usize) -> Result<Vec<Part>, String> {
    let Some(raw) = document.raw(name) else {
        return Ok(Vec::new());
    };
    let items: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| format!("`{name}`: {error}"))?;
    if items.len() > most {
        return Err(format!(
            "`{name}` has {} entries; at most {most} are accepted",
            items.len()
        ));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let place = format!("{name}[{index}]");
            let kind = match name {
                "manifests" => PartKind::Child(None),
                _ => PartKind::Blob,
            };
            part(item, &place, kind)
        })
        .collect()
}

fn part(raw: &RawValue, place: &str, kind: PartKind) -> Result<Part, String> {
    read_part(raw, kind).map_err(|reason| format!("`{place}`: {reason}"))
}

fn read_part(raw: &RawValue, kind: PartKind) -> Result<Part, String> {
    let object = Object::of(raw)?;
    object.check_spelling(&["mediaType", "digest", "size", "urls", "platform"])?;
    let media_type: String = object.get("mediaType")?.unwrap_or_default();
    let kind = match kind {
        PartKind::Child(_) => PartKind::Child(object.get("platform")?),
        PartKind::Blob if is_foreign(&media_type) => PartKind::ForeignLayer,
        other => other,
    };
    // Sizes are signed 64-bit numbers to every client.
    let size = object.get::<i64>("size")?.ok_or("`size` is missing")?;
    Ok(Part {
        kind,
        digest: object.get("digest")?.ok_or("`digest` is missing")?,
        size: u64::try_from(size).map_err(|_| "`size` is negative")?,
        urls: object.get("urls")?.unwrap_or_default(),
    })
}

fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

    fn image(more: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/x.config","digest":"{DIGEST}","size":2}},"layers":[]{more}}}"#
        )
    }

    fn refusal(text: &str) -> String {
        Manifest::parse(text.as_bytes(), Some(IMAGE), &Bounds::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_image_without_media_type_is_told_by_its_shape() {
        let manifest =
            Manifest::parse(image("").as_bytes(), Some(IMAGE), &Bounds::default()).unwrap();
        assert_eq!(manifest.media_type, ManifestType::OciImage);
        assert_eq!(
            manifest.artifact_type.as_deref(),
            Some("application/x.config")
        );
        assert_eq!(manifest.parts.len(), 1);
        let index = br#"{"schemaVersion":2,"manifests":[]}"#;
        assert_eq!(Manifest::stored_type(index), Ok(ManifestType::OciIndex));
    }

    #[test]
    fn a_subject_and_annotations_are_read() {
        let more = format!(
            r#","subject":{{"mediaType":"{IMAGE}","digest":"{DIGEST}","size":9}},"artifactType":"a/b","annotations":{{"k":"v"}}"#
        );
        let manifest = Manifest::parse(image(&more).as_bytes(), None, &Bounds::default()).unwrap();
        assert_eq!(manifest.subject, Some(DIGEST.parse().unwrap()));
        assert_eq!(manifest.artifact_type.as_deref(), Some("a/b"));
        assert_eq!(manifest.annotations.unwrap()["k"], "v");
    }

    #[test]
    fn foreign_layers_are_told_apart() {
        let more = image("").replace(
            r#""layers":[]"#,
            &format!(r#""layers":[{{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"{DIGEST}","size":1,"urls":["https://a.example/x"]}}]"#),
        );
        let manifest = Manifest::parse(more.as_bytes(), None, &Bounds::default()).unwrap();
        assert_eq!(manifest.parts[1].kind, PartKind::ForeignLayer);
        assert_eq!(manifest.parts[1].urls, ["https://a.example/x"]);
    }

    #[test]
    fn refusals_name_the_field() {
        for (text, expected) in [
            ("null".to_owned(), "JSON object"),
            ("[]".to_owned(), "JSON object"),
            (format!("{} {{}}", image("")), "trailing"),
            (image(r#","manifests":[]"#), "announced"),
            (image(r#","layers":[]"#), "`layers` is there twice"),
            (image(r#","x":1,"x":2"#), "`x` is there twice"),
            (image(r#","Layers":[]"#), "spelled `layers`"),
            (
                image(r#","mediaType":"application/vnd.oci.image.index.v1+json""#),
                "Content-Type",
            ),
            (
                image(r#","subject":{"digest":"sha256:../x","size":1}"#),
                "`subject.digest`",
            ),
            (
                image("").replace(r#""size":2"#, r#""size":-2"#),
                "`config.size` is negative",
            ),
            (
                image("").replace(r#""size":2"#, r#""size":"2""#),
                "`config.size` must be a whole number",
            ),
            (
                image("").replace(r#""schemaVersion":2"#, r#""schemaVersion":1"#),
                "schema 1",
            ),
            (
                image("").replace(r#""schemaVersion":2"#, r#""schemaVersion":-1"#),
                "`schemaVersion`",
            ),
            (
                image("")
                    .replace("config\":{", "config\":[")
                    .replacen('}', "]", 1),
                "",
            ),
            (
                format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
                "64 levels",
            ),
        ] {
            let message = refusal(&text);
            if !expected.is_empty() && expected != "announced" {
                assert!(message.contains(expected), "{text:.80}: {message}");
            }
        }
        assert!(Manifest::parse(b"{}", Some("text/html"), &Bounds::default()).is_err());
        assert!(Manifest::parse(b"\xff", None, &Bounds::default()).is_err());
    }

    #[test]
    fn a_document_is_not_both_image_and_index() {
        let both =
            image(r#","mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]"#);
        assert!(refusal(&both).contains("`manifests` does not belong"));
        let none = image(r#","manifests":[]"#);
        assert!(
            Manifest::stored(none.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("`config` does not belong")
        );
    }

    #[test]
    fn docker_types_must_be_written_in_the_document() {
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        assert!(Manifest::parse(image("").as_bytes(), Some(docker), &Bounds::default()).is_err());
        let inside = image(&format!(r#","mediaType":"{docker}""#));
        assert_eq!(
            Manifest::parse(inside.as_bytes(), Some(docker), &Bounds::default())
                .unwrap()
                .media_type,
            ManifestType::DockerImage
        );
    }
}
