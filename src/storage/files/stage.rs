//! Upload sessions: registry:2's `startedat` and `data`, and our `wharf-note`.
//!
//! `startedat` is the session: it is written first and removed last, and an
//! upload whose `data` is missing has no bytes yet.
//!
//! A client that leaves drops its request while a worker may still be writing,
//! so a writer locks `data` (flock) until its last write has ended: nobody else
//! continues or publishes a file that still changes, and nothing is
//! ever written to a file after it became a blob.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;

use super::disk::{Disk, remove_tree};
use super::durable::{Durable, temporary};
use super::fault::{during, is_absent, unread, unwritten};
use super::read::{open_now, read_now};
use crate::oci::UploadId;
use crate::storage::{Stage, Staged, StorageError};

/// The largest note that is read back, in bytes.
const LARGEST_NOTE: u64 = 64 * 1024;

/// Where the files of one session lie.
#[derive(Debug, Clone)]
pub(super) struct Session {
    dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) started_at: PathBuf,
    note: PathBuf,
}

impl Session {
    /// The session `stage` below `root`.
    pub(super) fn new(root: &Path, stage: &Stage) -> Self {
        let dir = root.join(stage.as_str());
        Self {
            data: dir.join("data"),
            started_at: root.join(stage.started_at().as_str()),
            note: dir.join("wharf-note"),
            dir,
        }
    }

    /// Makes the session, with no bytes.
    pub(super) fn begin<D: Disk>(
        &self,
        durable: &Durable<D>,
        started_at: &str,
    ) -> Result<(), StorageError> {
        let make = || {
            fs::write(&self.started_at, started_at)?;
            File::create_new(&self.data).map(drop)
        };
        durable.place(&self.data, make).map_err(unwritten)?;
        Ok(())
    }

    /// Measures the session.
    pub(super) fn staged(&self) -> Result<Option<Staged>, StorageError> {
        let open = |path: &Path| open_now(path).map_err(|error| unread(path, &error));
        if open(&self.started_at)?.is_none() {
            return Ok(None);
        }
        let size = open(&self.data)?.map_or(0, |(_, meta)| meta.size);
        let note = match open(&self.note)? {
            Some((file, meta)) if meta.size <= LARGEST_NOTE => {
                let note = read_now(&file, meta.size);
                let note = note.map_err(|error| unread(&self.note, &error))?;
                note.strip_prefix(boot_id())
                    .map(|rest| note.slice_ref(rest))
            }
            _ => None,
        };
        Ok(Some(Staged { size, note }))
    }

    /// Opens the bytes for writing at `offset`, which must be their end, as the
    /// only writer until the file is closed; `None` while there is another.
    pub(super) fn open_at(&self, offset: u64) -> Result<Option<File>, StorageError> {
        let Some(file) = self.open_locked()? else {
            return Ok(None);
        };
        let actual = file
            .metadata()
            .map_err(|error| unread(&self.data, &error))?
            .len();
        if actual == offset {
            Ok(Some(file))
        } else {
            Err(StorageError::WrongOffset {
                expected: offset,
                actual,
            })
        }
    }

    /// Keeps a note. Whole or not at all for readers; not synced, so it names
    /// the boot that it is good for: a killed process leaves the bytes that it
    /// stands for in the page cache, a power cut may leave holes in them.
    pub(super) fn annotate(&self, note: &[u8]) -> Result<(), StorageError> {
        let temporary = temporary(&self.note);
        let note = [boot_id(), note].concat();
        let written = fs::write(&temporary, note).and_then(|()| fs::rename(&temporary, &self.note));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            if is_absent(&error) {
                StorageError::UnknownStage
            } else {
                unwritten(during("write", &self.note, &error))
            }
        })
    }

    /// Gives the bytes, which must be `size`, their durable name; `None` while
    /// somebody writes them.
    pub(super) fn publish<D: Disk>(
        &self,
        durable: &Durable<D>,
        size: u64,
        target: &Path,
    ) -> Result<Option<()>, StorageError> {
        let Some(file) = self.open_at(size)? else {
            return Ok(None);
        };
        if let Err(error) = durable.sync(&file, &self.data) {
            // The next sync would succeed, whatever the medium holds: these
            // bytes can't be trusted any more.
            let _ = remove_tree(&self.dir);
            return Err(unwritten(error));
        }
        durable
            .adopt(&self.data, target)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound if !self.data.exists() => StorageError::UnknownStage,
                ErrorKind::CrossesDevices => StorageError::Unavailable(during(
                    "publish an upload: mount one volume over the whole root directory, \
                     uploads and blobs must lie on the same one:",
                    target,
                    &error,
                )),
                _ => unwritten(error),
            })?;
        // Without it the session is gone; `discard` takes the directory.
        let _ = fs::remove_file(&self.started_at);
        Ok(Some(()))
    }

    /// Removes the session; nobody was promised that it stays removed.
    pub(super) fn discard(&self) -> Result<(), StorageError> {
        remove_tree(&self.dir).map_err(|error| unwritten(during("remove", &self.dir, &error)))
    }

    /// Opens the bytes for writing, as the only writer; `None` while there is
    /// another.
    fn open_locked(&self) -> Result<Option<File>, StorageError> {
        let file = self.open()?;
        if !lock(&file) {
            return Ok(None);
        }
        // It may have been published or discarded since it was opened.
        let (ours, named) = (file.metadata(), fs::symlink_metadata(&self.data));
        let still = match (ours, named) {
            (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
            _ => false,
        };
        Ok(still.then_some(file))
    }

    fn open(&self) -> Result<File, StorageError> {
        let open = |create: bool| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(&self.data)
        };
        let opened = match open(false) {
            Err(error) if is_absent(&error) && self.started_at.exists() => open(true),
            opened => opened,
        };
        opened.map_err(|error| {
            if is_absent(&error) {
                StorageError::UnknownStage
            } else {
                unwritten(during("open", &self.data, &error))
            }
        })
    }
}

/// Names the time between two starts of the machine. Without it no note is ever
/// good, and uploads are read again.
fn boot_id() -> &'static [u8] {
    static BOOT: OnceLock<Vec<u8>> = OnceLock::new();
    BOOT.get_or_init(|| {
        fs::read("/proc/sys/kernel/random/boot_id")
            .unwrap_or_else(|_| UploadId::random().to_string().into_bytes())
    })
}

/// Whether this is the only writer now. A file system without locks has nobody
/// to wait for.
fn lock(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}
