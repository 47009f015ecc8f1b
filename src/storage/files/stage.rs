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

use bytes::Bytes;
use rustix::fs::OFlags;

use super::disk::{Disk, remove_tree};
use super::durable::{Durable, temporary};
use super::fault::{during, is_absent, unread, unwritten};
use super::read::{open_now, read_now};
use crate::oci::UploadId;
use crate::storage::{Stage, StorageError};

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

/// A session that is open for writing.
pub(super) struct Opened {
    pub(super) session: Session,
    /// Locked against other writers until it is closed.
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) note: Option<Bytes>,
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

    /// How many bytes the session has, if there is one.
    pub(super) fn size(&self) -> Result<Option<u64>, StorageError> {
        if !self.is_there()? {
            return Ok(None);
        }
        let data = open_now(&self.data).map_err(|error| unread(&self.data, &error))?;
        Ok(Some(data.map_or(0, |(_, meta)| meta.size)))
    }

    /// Opens the session as its only writer until the file is closed: the outer
    /// `None` while there is another one, the inner if there is no session.
    pub(super) fn open(&self) -> Result<Option<Option<Opened>>, StorageError> {
        if !self.is_there()? {
            return Ok(Some(None));
        }
        let file = match self.open_locked() {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(StorageError::UnknownStage) => return Ok(Some(None)),
            Err(error) => return Err(error),
        };
        let meta = file.metadata();
        let size = meta.map_err(|error| unread(&self.data, &error))?.len();
        Ok(Some(Some(Opened {
            note: self.note()?,
            file,
            size,
            session: self.clone(),
        })))
    }

    fn is_there(&self) -> Result<bool, StorageError> {
        let found = open_now(&self.started_at);
        Ok(found
            .map_err(|error| unread(&self.started_at, &error))?
            .is_some())
    }

    fn note(&self) -> Result<Option<Bytes>, StorageError> {
        let found = open_now(&self.note).map_err(|error| unread(&self.note, &error))?;
        let Some((file, meta)) = found.filter(|(_, meta)| meta.size <= LARGEST_NOTE) else {
            return Ok(None);
        };
        let note = read_now(&file, meta.size).map_err(|error| unread(&self.note, &error))?;
        Ok(note
            .strip_prefix(boot_id())
            .map(|rest| note.slice_ref(rest)))
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

    /// Gives the bytes, of which `file` is the only writer, their durable name.
    pub(super) fn publish<D: Disk>(
        &self,
        durable: &Durable<D>,
        file: &File,
        target: &Path,
    ) -> Result<(), StorageError> {
        if let Err(error) = durable.sync(file, &self.data) {
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
        Ok(())
    }

    /// Removes the session; nobody was promised that it stays removed.
    pub(super) fn discard(&self) -> Result<(), StorageError> {
        remove_tree(&self.dir).map_err(|error| unwritten(during("remove", &self.dir, &error)))
    }

    /// Opens the bytes for writing, as the only writer; `None` while there is
    /// another.
    fn open_locked(&self) -> Result<Option<File>, StorageError> {
        let file = self.open_data()?;
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

    fn open_data(&self) -> Result<File, StorageError> {
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
