//! Opens the storage that the configuration names, files or an object store,
//! and looks whether it does what a registry needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::storage::files::{self, Files, SyncMode};
use crate::storage::object::{self, Check, Objects, Outcome, Report};
use crate::storage::{Settings, Space, StorageError, Store};

/// Less room than this is too little for the next image.
const LITTLE: u64 = 1024 * 1024 * 1024;

/// What `none` means for those who didn't write it.
const UNSYNCED: &str = "storage.filesystem.sync is `none`: nothing waits for the disk, and a power cut loses pushes and deletes that were acknowledged and leaves torn files; write `full` unless all of it can be pushed again";

/// A storage that can be used.
pub struct Opened {
    /// What was opened.
    pub store: Arc<dyn Store>,
    /// registry:2's name of the driver.
    pub driver: &'static str,
}

/// Why a storage can't be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("the storage at {place} cannot be used: {why}")]
pub struct Unusable {
    /// The directory or bucket.
    pub place: String,
    /// Why.
    pub why: String,
}

/// Opens the storage. One that is only read may be mounted read-only, or have
/// keys that allow no more; every other is tried out first.
pub async fn open(settings: &Settings, read_only: bool) -> Result<Opened, Unusable> {
    match settings {
        Settings::Files(settings) => {
            let store = Arc::new(open_files(settings, read_only)?);
            if settings.sync == SyncMode::None && !read_only {
                tracing::warn!(root = %settings.root.display(), "{UNSYNCED}");
            }
            Ok(Opened {
                store,
                driver: "filesystem",
            })
        }
        Settings::Object(settings) => {
            let objects = connect(settings).await?;
            let report = try_out(&objects, read_only).await;
            log(&report);
            match report.failure() {
                Some(why) => Err(Unusable {
                    why: why.to_owned(),
                    place: report.store,
                }),
                None => Ok(Opened {
                    driver: objects.driver(),
                    store: Arc::new(objects),
                }),
            }
        }
    }
}

/// What [`open`] would find, all of it, without making anything.
pub async fn examine(settings: &Settings, read_only: bool) -> Result<Report, Unusable> {
    match settings {
        Settings::Files(settings) => Ok(examine_files(settings, read_only).await),
        Settings::Object(settings) => {
            let objects = connect(settings).await?;
            Ok(try_out(&objects, read_only).await)
        }
    }
}

/// How long a removal may keep pushes waiting, which give up after 10 s. Its
/// announcement is taken for one of a dead process after 2 s on files and after
/// 60 s in an object store, where one look takes longer, too.
pub fn patience(settings: &Settings) -> Duration {
    match settings {
        Settings::Files(_) => Duration::from_secs(1),
        Settings::Object(_) => Duration::from_secs(8),
    }
}

/// The keys of the configuration that these settings come from.
pub fn keys(settings: &Settings) -> &'static str {
    match settings {
        Settings::Files(_) => "storage.filesystem",
        Settings::Object(objects) => match objects.engine {
            object::Engine::S3(_) => "storage.s3 or storage.redirect",
            object::Engine::Gcs(_) => "storage.gcs or storage.redirect",
            object::Engine::Azure(_) => "storage.azure or storage.redirect",
        },
    }
}

async fn connect(settings: &object::Settings) -> Result<Objects, Unusable> {
    let connected = Objects::connect(settings).await;
    connected.map_err(|error| Unusable {
        place: place(settings),
        why: error.to_string(),
    })
}

/// Names what can't be connected to.
fn place(settings: &object::Settings) -> String {
    match &settings.engine {
        object::Engine::S3(s3) => format!("bucket {} (storage.s3)", s3.bucket),
        object::Engine::Gcs(gcs) => format!("bucket {} (storage.gcs)", gcs.bucket),
        object::Engine::Azure(azure) => format!("container {} (storage.azure)", azure.container),
    }
}

/// A registry that never writes only looks.
async fn try_out(objects: &Objects, read_only: bool) -> Report {
    if !read_only {
        return objects.examine().await;
    }
    let reached = objects.probe().await;
    Report {
        store: objects.name().to_owned(),
        checks: vec![Check {
            name: "reach the bucket (the registry is read-only)",
            outcome: outcome(reached),
        }],
    }
}

/// What fails is told by [`Unusable`].
fn log(report: &Report) {
    for check in &report.checks {
        if let Outcome::Lacking(what) = &check.outcome {
            tracing::warn!(store = report.store, check = check.name, "{what}");
        }
    }
}

fn open_files(settings: &files::Settings, read_only: bool) -> Result<Files, Unusable> {
    let open = if read_only {
        Files::open_read_only
    } else {
        Files::open
    };
    open(settings).map_err(|cause| Unusable {
        place: settings.root.display().to_string(),
        why: cause.to_string(),
    })
}

async fn examine_files(settings: &files::Settings, read_only: bool) -> Report {
    let mut report = Report {
        store: format!("directory {}", settings.root.display()),
        checks: Vec::new(),
    };
    let mut note = |name, outcome| report.checks.push(Check { name, outcome });
    if !read_only && is_missing(&settings.root) {
        let what = format!(
            "{} is not there yet: `wharf serve` makes it; if it should be, look whether its volume is mounted",
            settings.root.display()
        );
        note("open the directory", Outcome::Lacking(what));
        return report;
    }
    let files = match open_files(settings, read_only) {
        Ok(files) => files,
        Err(unusable) => {
            note("open the directory", Outcome::Failed(unusable.why));
            return report;
        }
    };
    note("open the directory", Outcome::Passed);
    if read_only {
        note("read it", outcome(files.probe().await));
    } else {
        let name = "write a record, sync it, read it back and remove it";
        note(name, outcome(files.probe().await));
    }
    let room = match files.space().await {
        Ok(Some(space)) if !read_only => enough(&space),
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    note("have room", room);
    if settings.sync == SyncMode::None && !read_only {
        note(
            "keep what it acknowledges",
            Outcome::Lacking(UNSYNCED.to_owned()),
        );
    }
    report
}

fn is_missing(root: &Path) -> bool {
    matches!(root.try_exists(), Ok(false))
}

fn enough(space: &Space) -> Outcome {
    if space.free >= LITTLE {
        return Outcome::Passed;
    }
    Outcome::Lacking(format!(
        "{} of {} MiB are free: make room, or pushes will be refused",
        space.free / (1024 * 1024),
        space.total / (1024 * 1024)
    ))
}

fn outcome(result: Result<(), StorageError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
