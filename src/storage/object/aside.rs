//! Moves one version of an object to another key, and only that version, as
//! far as a store without conditional deletes can: it is copied, looked at
//! again, and removed. A push of the same key that falls between that look and
//! the removal, one round trip, is removed with it.

use object_store::ObjectStoreExt as _;

use super::Objects;
use super::fault::{absent, failed};
use crate::storage::{Aside, Key, Meta, StorageError, Store as _};

impl Objects {
    /// Moves the version that `expected` describes.
    pub(super) async fn move_version(
        &self,
        from: &Key,
        to: &Key,
        expected: &Meta,
    ) -> Result<Aside, StorageError> {
        let is_expected = async || {
            let there = self.head(from).await?;
            // What lies in pieces is still being written.
            Ok::<_, StorageError>(there.as_ref() == Some(expected) && expected.assembled)
        };
        if !is_expected().await? {
            return Ok(Aside::Changed);
        }
        let (source, target) = (self.key_path(from), self.key_path(to));
        let copied = self.client.store.copy(&source, &target).await;
        if absent("copy", from.as_str(), copied)?.is_none() {
            return Ok(Aside::Changed);
        }
        if !is_expected().await? {
            self.delete(to).await?;
            return Ok(Aside::Changed);
        }
        let deleted = self.client.store.delete(&source).await;
        deleted.map_err(|error| failed("delete", from.as_str(), error))?;
        Ok(Aside::Moved)
    }
}
