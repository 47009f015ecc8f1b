//! Media types of manifests. Those of configurations and layers are never
//! restricted, so they stay strings.

use std::fmt;

/// Content-Type of an image index, and of every referrers answer.
pub const OCI_IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The four kinds of manifest that wharf stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManifestType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciImage,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerImage,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerList,
}

impl ManifestType {
    /// The type named by `text`, whose parameters (`; charset=…`) are ignored.
    pub fn from_content_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        [
            Self::OciImage,
            Self::OciIndex,
            Self::DockerImage,
            Self::DockerList,
        ]
        .into_iter()
        .find(|known| essence.eq_ignore_ascii_case(known.as_str()))
    }

    /// The media type on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciImage => OCI_IMAGE_MANIFEST,
            Self::OciIndex => OCI_IMAGE_INDEX,
            Self::DockerImage => DOCKER_MANIFEST,
            Self::DockerList => DOCKER_MANIFEST_LIST,
        }
    }

    /// Whether it lists manifests instead of layers.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

impl fmt::Display for ManifestType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_ignored() {
        assert_eq!(
            ManifestType::from_content_type(
                "application/vnd.oci.image.index.v1+json; charset=utf-8"
            ),
            Some(ManifestType::OciIndex)
        );
        assert_eq!(
            ManifestType::from_content_type("application/vnd.docker.distribution.manifest.v1+json"),
            None
        );
        assert_eq!(ManifestType::from_content_type(""), None);
    }
}
