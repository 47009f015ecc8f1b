//! The blobs that this process has linked and that no manifest has named yet.
//!
//! A collection measures what manifests reach. An image whose blobs came before
//! it and whose manifest comes after would be counted by nobody until the next
//! one: so its blobs are counted again when the manifest comes.

use std::collections::HashMap;

use crate::oci::{Digest, RepositoryName};

/// Blobs that are remembered. With more, all but the newest are forgotten, and
/// at worst counted by the next collection.
const MOST: usize = 20_000;

/// How long a push takes at most, in microseconds.
const PUSH: u64 = 24 * 3600 * 1_000_000;

/// When blobs were linked, in microseconds since 1970.
#[derive(Default)]
pub(super) struct Recent(HashMap<(RepositoryName, Digest), u64>);

impl Recent {
    /// A blob was linked that the repository didn't hold.
    pub(super) fn linked(&mut self, repository: &RepositoryName, digest: &Digest, now: u64) {
        for patience in [PUSH, PUSH / 24, 0] {
            if self.0.len() >= MOST {
                self.0
                    .retain(|_, linked| now.saturating_sub(*linked) < patience);
            }
        }
        self.0.insert((repository.clone(), digest.clone()), now);
    }

    /// A manifest names a blob. Says whether a collection that began then can't
    /// have counted it, since it was linked before and not named.
    pub(super) fn named(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
        began: u64,
    ) -> bool {
        let linked = self.0.remove(&(repository.clone(), digest.clone()));
        linked.is_some_and(|linked| linked < began)
    }
}
