//! The referrers tag schema (distribution-spec, "Unavailable Referrers API"):
//! where a registry has no referrers, clients keep an index of them under the
//! tag `<algorithm>-<hex>`. Volumes of registry:2 hold such tags; their valid
//! entries are listed too ("Enabling the Referrers API").

use std::collections::BTreeSet;

use super::{Error, Repository};
use crate::oci::{Digest, Manifest, Tag};

impl Repository {
    /// What the fallback tag of `subject` claims to be its referrers.
    pub(super) async fn fallback_referrers(
        &self,
        subject: &Digest,
    ) -> Result<BTreeSet<Digest>, Error> {
        let Some(tag) = fallback_tag(subject) else {
            return Ok(BTreeSet::new());
        };
        let Some(index) = self.tagged(&tag).await? else {
            return Ok(BTreeSet::new());
        };
        let content = self.manifest_content(&index).await?;
        let index = content.and_then(|content| Manifest::stored(&content).ok());
        Ok(index
            .filter(|index| index.media_type.is_index())
            .into_iter()
            .flat_map(|index| index.parts)
            .map(|part| part.digest)
            .collect())
    }
}

/// At most 32 characters of the algorithm and 64 of the hash, joined by `-`.
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let hex = subject.hex();
    let hex = hex.get(..64).unwrap_or(hex);
    format!("{}-{hex}", subject.algorithm()).parse().ok()
}
