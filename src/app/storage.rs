//! Opens the storage that the configuration names, files or an object store.

use std::sync::Arc;

use crate::storage::files::Files;
use crate::storage::object::{self, Objects, Outcome};
use crate::storage::{Settings, Store};

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
    /// Why, and what to do.
    pub cause: String,
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
                cause: cause.to_string(),
            })?;
            Ok(Opened {
                store: Arc::new(files),
                driver: "filesystem",
            })
        }
        Settings::Object(settings) => objects(settings).await,
    }
}

/// A bucket that was tried out: it isn't trusted before.
async fn objects(settings: &object::Settings) -> Result<Opened, Unusable> {
    let objects = Objects::connect(settings).await.map_err(|error| Unusable {
        place: "the object store".to_owned(),
        cause: error.to_string(),
    })?;
    let report = objects.examine().await;
    for check in &report.checks {
        if let Outcome::Lacking(what) = &check.outcome {
            tracing::warn!(
                store = report.store,
                "the storage does not {}: {what}",
                check.name
            );
        }
    }
    match report.failure() {
        Some(why) => Err(Unusable {
            place: report.store.clone(),
            cause: why.to_owned(),
        }),
        None => {
            tracing::info!("storage: {}", report.store);
            Ok(Opened {
                driver: objects.driver(),
                store: Arc::new(objects),
            })
        }
    }
}
