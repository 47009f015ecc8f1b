//! What all replicas know about the application of retention to their store.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::registry::{Error, Registry};
use crate::storage::{StorageError, layout};

/// Who applies retention, and when that was last done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRecord {
    /// The process that is at it; empty if none is.
    pub holder: String,
    /// When it said so, in seconds since 1970.
    pub written: u64,
    /// When it was last done, likewise.
    pub completed: Option<u64>,
}

impl Registry {
    /// What is remembered; nothing if that is torn.
    pub async fn retention_record(&self) -> Result<RetentionRecord, Error> {
        let record = self.store().get(&layout::retention()).await?;
        let record = record.and_then(|record| serde_json::from_slice(&record).ok());
        Ok(record.unwrap_or_default())
    }

    /// Remembers it.
    pub async fn set_retention_record(&self, record: &RetentionRecord) -> Result<(), Error> {
        let text = serde_json::to_vec(record)
            .map_err(|error| Error::Storage(StorageError::Unavailable(error.into())))?;
        Ok(self.store().put(&layout::retention(), text.into()).await?)
    }
}

/// The time by the store's clock, which the links have theirs from: that of
/// this machine may be days off.
pub(super) struct Clock {
    began: SystemTime,
    since: Instant,
}

impl Clock {
    /// Asks the store; where nothing may be written, this machine.
    pub(super) async fn of(registry: &Registry, may_write: bool) -> Result<Self, Error> {
        let since = Instant::now();
        let mut began = SystemTime::now();
        if may_write {
            let key = layout::clock();
            registry.store().post(&key, Bytes::new()).await?;
            if let Some(meta) = registry.store().head(&key).await? {
                began = meta.modified;
            }
        }
        Ok(Self { began, since })
    }

    pub(super) fn now(&self) -> SystemTime {
        self.began
            .checked_add(self.since.elapsed())
            .unwrap_or(self.began)
    }
}
