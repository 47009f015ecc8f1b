//! How records of usage are written: as JSON, with times in microseconds.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::registry::Error;
use crate::storage::StorageError;

/// A record as JSON.
pub(super) fn render(record: &impl Serialize) -> Result<Bytes, Error> {
    let text = serde_json::to_vec(record)
        .map_err(|error| Error::Storage(StorageError::Unavailable(error.into())))?;
    Ok(text.into())
}

/// What is in a record; nothing if it is torn.
pub(super) fn parse<T: DeserializeOwned>(record: &[u8]) -> Option<T> {
    match serde_json::from_slice(record) {
        Ok(content) => Some(content),
        Err(error) => {
            tracing::warn!(%error, "a record of usage can't be read: the numbers are right again after the next collection");
            None
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
