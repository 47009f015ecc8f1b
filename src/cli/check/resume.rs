//! `--resume FILE`: how far a check is, for the next one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::registry::check::Checkpoint;
use crate::storage::{Settings, object};

/// The form of the file.
const VERSION: u32 = 1;

/// The file, if there is one.
#[derive(Clone)]
pub(super) struct Resume {
    path: Option<PathBuf>,
    store: String,
    repair: bool,
}

/// Why a check can't go on with this file.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResumeError {
    /// It can't be read.
    #[error("cannot go on with {0}: {1}; remove it to begin anew")]
    Unreadable(PathBuf, String),
    /// It belongs to another check.
    #[error("{0}")]
    Other(String),
}

/// What became of the file.
pub(super) enum Kept {
    /// The next check goes on with it.
    In(PathBuf),
    /// It could not be written.
    Lost(PathBuf, io::Error),
    /// None was asked for.
    Nowhere,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    store: String,
    repair: bool,
    reached: Checkpoint,
}

impl Resume {
    pub(super) fn new(path: Option<PathBuf>, storage: &Settings, repair: bool) -> Self {
        Self {
            path,
            store: name(storage),
            repair,
        }
    }

    /// Where to go on; at the beginning if there is no file.
    pub(super) fn read(&self) -> Result<Checkpoint, ResumeError> {
        let Some(path) = &self.path else {
            return Ok(Checkpoint::default());
        };
        let unreadable = |why: String| ResumeError::Unreadable(path.clone(), why);
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Checkpoint::default());
            }
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let file: File =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if file.version != VERSION {
            return Err(unreadable("another version of wharf wrote it".to_owned()));
        }
        if file.store != self.store || file.repair != self.repair {
            return Err(ResumeError::Other(format!(
                "{} belongs to a check of {}{}; name another file",
                path.display(),
                file.store,
                if file.repair { " with --repair" } else { "" }
            )));
        }
        Ok(file.reached)
    }

    /// Keeps how far the check is: the whole of it or what was there.
    pub(super) fn write(&self, reached: &Checkpoint) -> Kept {
        let Some(path) = self.path.clone() else {
            return Kept::Nowhere;
        };
        let file = File {
            version: VERSION,
            store: self.store.clone(),
            repair: self.repair,
            reached: reached.clone(),
        };
        match replace(&path, &file) {
            Ok(()) => Kept::In(path),
            Err(error) => Kept::Lost(path, error),
        }
    }

    /// The check is done.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.path {
            // Left there, it makes the next check short; and it names this one.
            let _ = fs::remove_file(path);
        }
    }
}

impl Kept {
    /// How to go on, as the end of a sentence.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::In(path) => format!(
                "; the same command with --resume {} goes on",
                path.display()
            ),
            Self::Lost(path, error) => {
                format!(
                    "; how far it was could not be written to {}: {error}",
                    path.display()
                )
            }
            Self::Nowhere => "; with --resume FILE the next one could go on".to_owned(),
        }
    }
}

fn replace(path: &Path, file: &File) -> io::Result<()> {
    let text = serde_json::to_vec(file)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

fn name(storage: &Settings) -> String {
    match storage {
        Settings::Files(files) => {
            let root = std::path::absolute(&files.root).unwrap_or_else(|_| files.root.clone());
            format!("directory {}", root.display())
        }
        Settings::Object(objects) => {
            let bucket = match &objects.engine {
                object::Engine::S3(s3) => format!("bucket {}", s3.bucket),
                object::Engine::Gcs(gcs) => format!("bucket {}", gcs.bucket),
                object::Engine::Azure(azure) => format!("container {}", azure.container),
            };
            format!("{bucket} at /{}", objects.root.trim_matches('/'))
        }
    }
}
