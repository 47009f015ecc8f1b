//! The referrers tag schema (distribution-spec, "Unavailable Referrers API"):
//! where a registry has no referrers, clients keep an index of them under the
//! tag `<algorithm>-<hex>`. Volumes of registry:2 hold such tags; their valid
//! entries are listed too ("Enabling the Referrers API").

use std::collections::BTreeMap;

use super::{Error, Repository};
use crate::oci::{Descriptor, Digest, Manifest, Tag};
use crate::storage::layout;

impl Repository {
    /// What the fallback tag of `subject` lists, as far as it is true: manifests
    /// of this repository whose subject it is, and that have no record yet.
    pub(super) async fn fallback_referrers(
        &self,
        subject: &Digest,
    ) -> Result<BTreeMap<Digest, Descriptor>, Error> {
        let mut referrers = BTreeMap::new();
        let Some(tag) = fallback_tag(subject) else {
            return Ok(referrers);
        };
        let Some(index) = self.tagged(&tag).await? else {
            return Ok(referrers);
        };
        let Some(content) = self.manifest_content(&index).await? else {
            return Ok(referrers);
        };
        let Ok(index) = Manifest::stored(&content) else {
            return Ok(referrers);
        };
        if !index.media_type.is_index() {
            return Ok(referrers);
        }
        for child in index.parts {
            let recorded = layout::referrer(&self.name, subject, &child.digest);
            if self.store().head(&recorded).await?.is_some() {
                continue;
            }
            if let Some(descriptor) = self.described(&child.digest, subject).await? {
                referrers.insert(child.digest, descriptor);
            }
        }
        Ok(referrers)
    }
}

/// At most 32 characters of the algorithm and 64 of the hash, joined by `-`.
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let hex = subject.hex();
    let hex = hex.get(..64).unwrap_or(hex);
    format!("{}-{hex}", subject.algorithm()).parse().ok()
}
