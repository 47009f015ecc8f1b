//! Deletes and pushes on several replicas, which share no lock.
//!
//! Who deletes a manifest looks which tags name it and then removes those; a
//! push on another replica may move one in between, and would be lost though it
//! was acknowledged. So a delete announces itself before it looks, and a push
//! that has written asks for such announcements before it is acknowledged:
//! either the delete sees what the push wrote, or the push sees the delete,
//! waits for its end and looks whether anything of its own is gone.
//!
//! A process that dies leaves its announcements behind, and a clock that jumps
//! makes any age of theirs possible; so what counts is also how long this
//! process has seen them, by its own steady clock. Those of a collection count
//! for as long as it holds [`layout::collector`], where that can be known: a
//! slow disk may take longer for one removal than anybody would wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Error, Repository};
use crate::oci::UploadId;
use crate::storage::{Hold, Key, StorageError, layout};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a push waits for deletes to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// An announcement that is older was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(60);

/// The same on a volume, which one process serves: another's is left by the
/// process before it, or by one that is just ending.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// What the announcements of collections begin with; their holder follows.
const COLLECTION: &str = "gc.";

/// Announcements that one look fetches.
const AT_ONCE: usize = 100;

/// The announcements of other processes, and since when they are known here.
#[derive(Clone, Default)]
pub(super) struct Announcements(Arc<Seen>);

#[derive(Default)]
struct Seen {
    since: Mutex<HashMap<String, Instant>>,
    /// Whoever served the store before us made them, not replicas.
    of_predecessors: AtomicBool,
}

impl Announcements {
    /// No other process serves the store.
    pub(super) fn are_of_predecessors(&self) {
        self.0.of_predecessors.store(true, Ordering::Relaxed);
    }

    /// Whether it has been there for so long that nobody can be at it.
    fn is_left(&self, id: &str) -> bool {
        let abandoned = if self.0.of_predecessors.load(Ordering::Relaxed) {
            LEFT_BEHIND
        } else {
            ABANDONED
        };
        let now = Instant::now();
        let mut since = self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        // Others have ended in order.
        since.retain(|_, first| now - *first < 10 * ABANDONED);
        now - *since.entry(id.to_owned()).or_insert(now) > abandoned
    }
}

impl Repository {
    /// Runs a delete that others are told of while it runs.
    pub(super) async fn announced<T>(
        &self,
        delete: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.announced_as(UploadId::random().to_string(), delete)
            .await
    }

    /// The same for a collection, by the name under which it holds the store.
    pub(super) async fn announced_by<T>(
        &self,
        holder: &str,
        delete: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let id = format!("{COLLECTION}{holder}.{}", UploadId::random());
        self.announced_as(id, delete).await
    }

    async fn announced_as<T>(
        &self,
        id: String,
        delete: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let key = layout::deleting(&self.name, &id);
        match self.store().post(&key, Bytes::new()).await {
            // Nobody can push meanwhile, and a delete is what makes room.
            Err(StorageError::Full(_)) => return delete.await,
            outcome => outcome?,
        }
        let deleted = delete.await;
        // Left there, it delays pushes for a minute.
        if let Err(error) = self.store().withdraw(&key).await {
            tracing::warn!(repository = %self.name, %error, "the announcement of a delete stays for a minute");
        }
        deleted
    }

    /// Waits until no delete is running that began before this call.
    pub(super) async fn deletes_ended(&self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.delete_runs().await? {
            if Instant::now() >= deadline {
                return Err(Error::DeleteRuns(self.name.clone()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn delete_runs(&self) -> Result<bool, Error> {
        let prefix = layout::deletes(&self.name);
        let announced = self.store().children(&prefix, None, AT_ONCE).await?;
        let mut runs = false;
        for child in announced {
            let key = layout::deleting(&self.name, &child.name);
            let is_left = self.registry.inner.announcements.is_left(&child.name);
            if (is_left || self.is_abandoned(&key).await?)
                && !self.is_collecting(&child.name).await?
            {
                self.store().delete(&key).await?;
            } else {
                runs = true;
            }
        }
        Ok(runs)
    }

    /// Whether it is of a collection that is surely still running.
    async fn is_collecting(&self, id: &str) -> Result<bool, Error> {
        let Some(holder) = id
            .strip_prefix(COLLECTION)
            .and_then(|rest| rest.split('.').next())
        else {
            return Ok(false);
        };
        let record = self.registry.collections().await?;
        if !record.running || record.holder != holder {
            return Ok(false);
        }
        let hold = self.store().hold(&layout::collector()).await?;
        Ok(matches!(hold, Hold::Taken))
    }

    async fn is_abandoned(&self, key: &Key) -> Result<bool, Error> {
        let meta = self.store().head(key).await?;
        let age = meta.and_then(|meta| meta.modified.elapsed().ok());
        Ok(age.is_some_and(|age| age > ABANDONED))
    }
}
