//! What is pushed: contents that know what they are made of.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::content::{IMAGE, INDEX, LAYER, bytes, descriptor, sha256};
use crate::random::Random;

/// A blob or a manifest.
#[derive(Debug)]
pub struct Content {
    pub digest: String,
    pub bytes: Vec<u8>,
    /// A manifest's media type; blobs have none.
    pub media: Option<&'static str>,
    /// The blobs that a manifest needs.
    pub blobs: Vec<Arc<Content>>,
    /// The manifests that an index needs.
    pub children: Vec<Arc<Content>>,
    /// The manifest that a referrer is about.
    pub subject: Option<String>,
    /// Whether nothing else needs it, so that it may be deleted.
    pub is_loose: bool,
}

/// A blob.
pub fn blob(bytes: Vec<u8>, is_loose: bool) -> Arc<Content> {
    Arc::new(Content {
        digest: sha256(&bytes),
        bytes,
        media: None,
        blobs: Vec::new(),
        children: Vec::new(),
        subject: None,
        is_loose,
    })
}

/// A blob of random bytes.
pub fn random_blob(random: &mut Random, most: usize) -> Arc<Content> {
    // A few bytes at least, so that no two are the same.
    let size = 16 + random.size(most);
    blob(random.bytes(size), false)
}

/// An image of these layers.
pub fn image(
    random: &mut Random,
    mut layers: Vec<Arc<Content>>,
    subject: Option<&Content>,
    is_loose: bool,
) -> Arc<Content> {
    let config = blob(
        bytes(&json!({"architecture": "amd64", "os": "linux", "number": random.next()})),
        false,
    );
    let media = "application/vnd.oci.image.config.v1+json";
    let described: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor(LAYER, &layer.bytes))
        .collect();
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor(media, &config.bytes),
        "layers": described,
    });
    if let Some(subject) = subject {
        document["subject"] = descriptor(subject.media.unwrap_or(IMAGE), &subject.bytes);
    }
    layers.push(config);
    let bytes = bytes(&document);
    Arc::new(Content {
        digest: sha256(&bytes),
        bytes,
        media: Some(IMAGE),
        blobs: layers,
        children: Vec::new(),
        subject: subject.map(|subject| subject.digest.clone()),
        is_loose,
    })
}

/// An index of these manifests.
pub fn index(children: Vec<Arc<Content>>) -> Arc<Content> {
    let described: Vec<Value> = children
        .iter()
        .map(|child| descriptor(IMAGE, &child.bytes))
        .collect();
    let document = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": described});
    let bytes = bytes(&document);
    Arc::new(Content {
        digest: sha256(&bytes),
        bytes,
        media: Some(INDEX),
        blobs: Vec::new(),
        children,
        subject: None,
        is_loose: true,
    })
}
