//! Opens the storage that the configuration names, files or an object store.

use std::sync::Arc;

use crate::storage::files::Files;
use crate::storage::{Settings, StorageError, Store};

/// A storage that can be used.
pub struct Opened {
    /// What was opened.
    pub store: Arc<dyn Store>,
    /// registry:2's name of the driver.
    pub driver: &'static str,
}

/// Why a storage can't be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("the storage at {place} cannot be used: {cause}")]
pub struct Unusable {
    /// The directory or bucket.
    pub place: String,
    /// Why.
    pub cause: StorageError,
}

/// Opens the storage; one that is only read may be mounted read-only.
pub async fn open(settings: &Settings, read_only: bool) -> Result<Opened, Unusable> {
    match settings {
        Settings::Files(settings) => {
            let open = if read_only {
                Files::open_read_only
            } else {
                Files::open
            };
            let files = open(settings).map_err(|cause| Unusable {
                place: settings.root.display().to_string(),
                cause,
            })?;
            Ok(Opened {
                store: Arc::new(files),
                driver: "filesystem",
            })
        }
        Settings::Object(settings) => Err(Unusable {
            place: settings.root.clone(),
            cause: StorageError::Unavailable(std::io::Error::other("object stores come next")),
        }),
    }
}
