//! Descriptors: how manifests point at content (image-spec, "Descriptors").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Digest;

/// A descriptor as the referrers API lists it (distribution-spec, "Listing
/// Referrers"): one manifest whose `subject` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
    /// The manifest's `artifactType`, or an image's configuration media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// All annotations of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}
