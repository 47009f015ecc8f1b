//! Moves one version of an object to another key, and only that version, as
//! far as a store without conditional deletes can: it is copied, looked at
//! again, and removed. A push of the same key that falls between that look and
//! the removal, one round trip, is removed with it.

use object_store::ObjectStoreExt as _;

use super::Objects;
use super::fault::absent;
use crate::storage::{Aside, Key, Meta, StorageError, Store as _};

impl Objects {
    /// Moves the version that `expected` describes.
    pub(super) async fn move_version(
        &self,
        from: &Key,
        to: &Key,
        expected: &Meta,
    ) -> Result<Aside, StorageError> {
        // What lies in pieces is still being written.
        let is_expected = |there: &Meta| there == expected && expected.assembled;
        if !self.head(from).await?.as_ref().is_some_and(is_expected) {
            return Ok(Aside::Changed);
        }
        let (source, target) = (self.key_path(from), self.key_path(to));
        let copied = self.client.store.copy(&source, &target).await;
        if absent("copy", from.as_str(), copied)?.is_none() {
            return Ok(Aside::Changed);
        }
        match self.head(from).await? {
            // Somebody else has removed it: perhaps because the copy is there.
            None => {}
            Some(there) if is_expected(&there) => {
                let deleted = self.client.store.delete(&source).await;
                absent("delete", from.as_str(), deleted)?;
            }
            Some(_) => {
                self.remove_object(to).await?;
                return Ok(Aside::Changed);
            }
        }
        Ok(Aside::Moved)
    }
}
