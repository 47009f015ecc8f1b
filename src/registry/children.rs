//! Manifests that an index names: where `storage.delete.children` says so, they
//! can't be deleted before it.
//!
//! Nothing on the volume leads from a manifest to the indexes that name it, as
//! nothing does in registry:2's layout. So a delete reads all manifests of its
//! repository, a few at a time.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::gc::Pushing;
use super::{Children, Error, Repository};
use crate::oci::{Algorithm, Digest, Manifest};
use crate::storage::layout;

/// Names of manifests in one listing.
const PAGE: usize = 1000;

/// Manifests that are read at once, each of a few megabytes at most.
const READS: usize = 4;

impl Repository {
    /// Refuses to delete a manifest that an index of this repository names.
    pub(super) async fn check_no_parent(&self, digest: &Digest) -> Result<(), Error> {
        if self.settings().delete_children == Children::Allow {
            return Ok(());
        }
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            if let Some(index) = self.parent(digest, algorithm).await? {
                return Err(Error::ChildOfIndex {
                    digest: digest.clone(),
                    index,
                });
            }
        }
        Ok(())
    }

    /// Looks again whether all children of an index that was just written are
    /// there, if deletes must leave them: one on another replica may have looked
    /// for the index before it was there.
    pub(super) async fn check_children_stayed(
        &self,
        manifest: &Manifest,
        pushing: &Pushing,
    ) -> Result<(), Error> {
        if self.settings().delete_children == Children::Refuse && manifest.media_type.is_index() {
            self.check_needs(manifest, pushing).await?;
        }
        Ok(())
    }

    /// An index held by a digest of this algorithm that names the manifest.
    async fn parent(&self, digest: &Digest, algorithm: Algorithm) -> Result<Option<Digest>, Error> {
        let prefix = layout::revisions_by(&self.name, algorithm);
        let mut after: Option<String> = None;
        loop {
            let page = self.store().children(&prefix, after.as_deref(), PAGE);
            let page = page.await?;
            let held = page
                .iter()
                .filter_map(|child| format!("{algorithm}:{}", child.name).parse().ok());
            let parents = stream::iter(held.collect::<Vec<Digest>>())
                .map(|held| async move {
                    let names_it = self.is_parent(&held, digest).await?;
                    Ok::<_, Error>(names_it.then_some(held))
                })
                .buffered(READS)
                .try_filter_map(|parent| async { Ok(parent) });
            if let Some(parent) = std::pin::pin!(parents).try_next().await? {
                return Ok(Some(parent));
            }
            match page.into_iter().nth(PAGE - 1) {
                Some(last) => after = Some(last.name),
                None => return Ok(None),
            }
        }
    }

    /// Whether a manifest is an index that names another. One that can't be read
    /// can't be pulled either, and keeps nothing.
    async fn is_parent(&self, held: &Digest, child: &Digest) -> Result<bool, Error> {
        let content = self.manifest_content(held).await?;
        let manifest = content.and_then(|content| Manifest::stored(&content).ok());
        Ok(manifest.is_some_and(|manifest| {
            manifest.media_type.is_index()
                && manifest.parts.iter().any(|part| part.digest == *child)
        }))
    }
}
