//! Manifests that an index names: where `storage.delete.children` says so, they
//! can't be deleted before it.
//!
//! Nothing on the volume leads from a manifest to the indexes that name it, as
//! nothing does in registry:2's layout. So a delete reads all manifests of its
//! repository, a few at a time, and then, when pushes wait for it, only those
//! that came meanwhile.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _};

use super::gc::Pushing;
use super::{Children, Error, Repository};
use crate::oci::{Algorithm, Digest, Manifest};
use crate::storage::{Pages, layout};

#[cfg(test)]
mod tests;

/// Names of manifests in one listing.
const PAGE: usize = 1000;

/// Manifests that are read at once, each of a few megabytes at most.
const READS: usize = 4;

/// Manifests of a repository that name no manifest that is being deleted; some
/// hundred bytes each.
#[derive(Default)]
pub(super) struct Looked(HashSet<Digest>);

impl Repository {
    /// Refuses to delete a manifest that an index of this repository names; says
    /// which ones it has looked at, so that the next call leaves them out.
    ///
    /// # Errors
    /// [`Error::ChildOfIndex`]
    pub(super) async fn check_no_parent(
        &self,
        digest: &Digest,
        mut looked: Looked,
    ) -> Result<Looked, Error> {
        if self.settings().delete_children == Children::Allow
            || self.held_manifest(digest).await?.is_none()
        {
            return Ok(looked);
        }
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            if let Some(index) = self.parent(digest, algorithm, &mut looked).await? {
                return Err(Error::ChildOfIndex {
                    digest: digest.clone(),
                    index,
                });
            }
        }
        Ok(looked)
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
    async fn parent(
        &self,
        digest: &Digest,
        algorithm: Algorithm,
        looked: &mut Looked,
    ) -> Result<Option<Digest>, Error> {
        let prefix = layout::revisions_by(&self.name, algorithm);
        let mut pages = Pages::of(prefix, PAGE);
        while let Some(page) = pages.next(self.store()).await? {
            let held: Vec<Digest> = page
                .iter()
                .filter_map(|child| format!("{algorithm}:{}", child.name).parse().ok())
                .filter(|held| !looked.0.contains(held))
                .collect();
            let mut looks = stream::iter(held)
                .map(|held| async move { (self.is_parent(&held, digest).await, held) })
                .buffered(READS);
            while let Some((outcome, held)) = looks.next().await {
                match outcome? {
                    Some(true) => return Ok(Some(held)),
                    Some(false) => drop(looked.0.insert(held)),
                    None => {}
                }
            }
        }
        Ok(None)
    }

    /// Whether a manifest is an index that names another; nothing if it isn't
    /// there. One that can't be read can't be pulled either, and keeps nothing.
    async fn is_parent(&self, held: &Digest, child: &Digest) -> Result<Option<bool>, Error> {
        let Some(content) = self.manifest_content(held).await? else {
            return Ok(None);
        };
        let manifest = Manifest::stored(&content).ok();
        Ok(Some(manifest.is_some_and(|manifest| {
            manifest.media_type.is_index()
                && manifest.parts.iter().any(|part| part.digest == *child)
        })))
    }
}
