//! Link files: records that hold one digest.

use bytes::Bytes;

use super::{Error, Registry};
use crate::oci::Digest;
use crate::storage::Key;

impl Registry {
    /// The digest in a link, or `None` if there is no link. An empty or garbled
    /// one (registry:2 leaves those after a crash) counts as none: the next
    /// push writes it anew.
    pub(super) async fn link(&self, key: &Key) -> Result<Option<Digest>, Error> {
        let Some(content) = self.store().get(key).await? else {
            return Ok(None);
        };
        let digest = std::str::from_utf8(&content)
            .ok()
            .and_then(|text| text.parse().ok());
        if digest.is_none() {
            tracing::warn!(
                key = key.as_str(),
                "this link holds no digest and is taken for missing; pushing again mends it"
            );
        }
        Ok(digest)
    }

    /// The canonical digest of content that a link says is held as `digest`.
    pub(super) async fn held(&self, key: &Key, digest: &Digest) -> Result<Option<Digest>, Error> {
        let canonical = self.link(key).await?;
        let other =
            |canonical: &Digest| canonical.algorithm() == digest.algorithm() && canonical != digest;
        if canonical.as_ref().is_some_and(other) {
            tracing::warn!(
                key = key.as_str(),
                "this link holds another digest than its name and is taken for missing; pushing again mends it"
            );
            return Ok(None);
        }
        Ok(canonical)
    }

    /// Writes a link; durable on return.
    pub(super) async fn set_link(&self, key: &Key, digest: &Digest) -> Result<(), Error> {
        Ok(self
            .store()
            .put(key, Bytes::from(digest.to_string()))
            .await?)
    }
}
