//! Removes a blob, together or in pieces.
//!
//! Pieces are a session's segments: the blob's record names them, and the
//! session's note says to whoever clears up that they have to be put together.
//! So the steps are
//!
//! ```text
//! withdraw the note → abort what is being put together → remove the record
//! → remove the object → remove the session with the pieces
//! → look for the record once more
//! ```
//!
//! After the first step nobody puts the pieces together on a dead process's
//! behalf, and who clears up removes the record before the pieces: a record
//! never outlives what it names. After the second a process that is at it can't
//! complete it; where a store has no such step (Azure) it looks at the note
//! before it completes, and what slips through between the two is a whole blob
//! under its name, as if it had been pushed a moment later. The last look is for
//! a request that publishes the same session a second time: it looks at the
//! pieces after it has written the record, so that one of the two sees the other.

use object_store::ObjectStoreExt as _;

use super::Objects;
use super::fault::absent;
use crate::storage::{Key, Stage, StorageError};

impl Objects {
    /// Removes everything of a blob under one of its names.
    pub(super) async fn remove_blob(&self, key: &Key) -> Result<(), StorageError> {
        let Some(stage) = self.serving(key).await? else {
            return self.remove_object(key).await;
        };
        let ours = self.withdraw_assembly(&stage, key).await?;
        self.remove_object(&key.pieces()).await?;
        self.remove_object(key).await?;
        if ours {
            self.remove_session(&stage).await?;
            self.forget_pieces(&stage, key).await?;
        }
        Ok(())
    }

    /// Removes the record of a blob's pieces if these are a session's.
    pub(super) async fn forget_pieces(&self, stage: &Stage, key: &Key) -> Result<(), StorageError> {
        if self.serving(key).await?.as_ref() == Some(stage) {
            self.remove_object(&key.pieces()).await?;
        }
        Ok(())
    }

    /// The session whose segments are a blob's pieces, if it lies in pieces.
    async fn serving(&self, key: &Key) -> Result<Option<Stage>, StorageError> {
        let found = self.pieces_of(key).await?;
        let first = found.and_then(|(scattered, _)| scattered.pieces.into_iter().next());
        Ok(first.and_then(|(path, _)| Stage::of_segment(path.as_ref().strip_prefix(&*self.root)?)))
    }

    /// Removes one object, whatever else there is of its key.
    pub(super) async fn remove_object(&self, key: &Key) -> Result<(), StorageError> {
        let deleted = self.client.store.delete(&self.key_path(key)).await;
        absent("delete", key.as_str(), deleted).map(drop)
    }
}
