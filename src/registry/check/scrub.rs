//! What a server is told about checking itself, and how far it remembers to be.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Checkpoint, Rate};
use crate::registry::{Error, Registry};
use crate::storage::layout;

/// `scrub` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbing {
    /// Whether the server checks its storage by itself.
    pub enabled: bool,
    /// From the end of one check to the beginning of the next.
    pub interval: Duration,
    /// The most bytes that are read per second.
    pub rate: Rate,
    /// Whether damaged bytes are set aside, so that the next push heals them.
    pub repair: bool,
}

impl Default for Scrubbing {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Duration::from_secs(7 * 24 * 3600),
            rate: Rate::new(20 << 20),
            repair: false,
        }
    }
}

/// What all replicas know about the scrub of their store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ScrubRecord {
    /// Which process wrote this.
    pub holder: String,
    /// When, in seconds since 1970.
    pub written: u64,
    /// When a check last came to its end, likewise.
    pub completed: Option<u64>,
    /// Where the running one is; none runs without it.
    pub reached: Option<Checkpoint>,
}

impl Registry {
    /// What is remembered of the scrub; nothing if that is torn.
    pub async fn scrub_record(&self) -> Result<ScrubRecord, Error> {
        let record = self.store().get(&layout::scrub()).await?;
        let record = record.and_then(|record| serde_json::from_slice(&record).ok());
        Ok(record.unwrap_or_default())
    }

    /// Remembers how far the scrub is. What was found isn't kept: it was told.
    pub async fn set_scrub_record(&self, record: &ScrubRecord) -> Result<(), Error> {
        if self.settings().read_only {
            return Ok(());
        }
        let mut record = record.clone();
        if let Some(reached) = &mut record.reached {
            reached.findings.clear();
            reached.notes.clear();
            reached.mended.clear();
        }
        let text = serde_json::to_vec(&record).map_err(|error| {
            Error::Storage(crate::storage::StorageError::Unavailable(error.into()))
        })?;
        Ok(self.store().put(&layout::scrub(), text.into()).await?)
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
