//! What is pushed: media types, digests (taken without the library's help),
//! manifests and bytes.

use serde_json::{Value, json};
use sha2::Digest as _;

/// OCI's image manifest.
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, version 2, schema 2.
pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's list of manifests.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI's layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI's empty configuration.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of an empty configuration.
pub const EMPTY_JSON: &[u8] = b"{}";
/// Its digest.
pub const EMPTY_DIGEST: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// A digest that no content of these tests has.
pub const ABSENT: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// The SHA-256 digest of `content`.
pub fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex(&sha2::Sha256::digest(content)))
}

/// The SHA-512 digest of `content`.
pub fn sha512(content: &[u8]) -> String {
    format!("sha512:{}", hex(&sha2::Sha512::digest(content)))
}

/// The descriptor of `content`.
pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(content), "size": content.len()})
}

/// An image with an empty configuration and these layers.
pub fn image(layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor(LAYER, layer))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor(EMPTY, EMPTY_JSON),
        "layers": layers,
    })
}

/// An index of these manifests, each with its media type.
pub fn index(children: &[(&str, &[u8])]) -> Value {
    let children: Vec<Value> = children
        .iter()
        .map(|(media_type, content)| descriptor(media_type, content))
        .collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
}

/// A document's bytes, spaced as no encoder would space them: who encodes it
/// again gets other bytes.
pub fn bytes(document: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("JSON");
    bytes.extend(b"\n \n");
    bytes
}

/// `size` bytes that don't compress, the same for the same seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(size).collect()
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
