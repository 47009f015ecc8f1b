//! Upload sessions: registry:2's `startedat` and `data`, and our `wharf-note`.
//!
//! `startedat` is the session: it is written first and removed last, and an
//! upload whose `data` is missing has no bytes yet.
//!
//! A client that leaves drops its request while a worker may still be writing,
//! so a writer locks `data` (flock) until its last write has ended: nobody else
//! continues or publishes a file that still changes, and nothing is
//! ever written to a file after it became a blob.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::disk::{Disk, Handle, Making, OpenFile, write_all};
use super::durable::{Durable, temporary};
use super::fault::{during, is_absent, unread, unwritten};
use super::read::{open_now, read_now};
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
    pub(super) file: Handle,
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
    pub(super) fn begin(&self, durable: &Durable, started_at: &str) -> Result<(), StorageError> {
        let disk = durable.disk();
        let make = || {
            let record = disk.open_to_write(&self.started_at, Making::IfAbsent)?;
            write_all(&*record, &[started_at.as_bytes()], 0)?;
            disk.open_to_write(&self.data, Making::New).map(drop)
        };
        durable.place(&self.data, make).map_err(unwritten)?;
        Ok(())
    }

    /// How many bytes the session has, if there is one.
    pub(super) fn size(&self, disk: &dyn Disk) -> Result<Option<u64>, StorageError> {
        if !self.is_there(disk)? {
            return Ok(None);
        }
        let data = open_now(disk, &self.data).map_err(|error| unread(&self.data, &error))?;
        Ok(Some(data.map_or(0, |(_, meta)| meta.size)))
    }

    /// Opens the session as its only writer until the file is closed: the outer
    /// `None` while there is another one, the inner if there is no session.
    pub(super) fn open(&self, durable: &Durable) -> Result<Option<Option<Opened>>, StorageError> {
        durable.check_writable().map_err(unwritten)?;
        let disk = durable.disk();
        if !self.is_there(disk)? {
            return Ok(Some(None));
        }
        let file = match self.open_locked(disk) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(StorageError::UnknownStage) => return Ok(Some(None)),
            Err(error) => return Err(error),
        };
        let status = file.status();
        let size = status.map_err(|error| unread(&self.data, &error))?.size;
        Ok(Some(Some(Opened {
            note: self.note(disk)?,
            file,
            size,
            session: self.clone(),
        })))
    }

    fn is_there(&self, disk: &dyn Disk) -> Result<bool, StorageError> {
        let found = open_now(disk, &self.started_at);
        Ok(found
            .map_err(|error| unread(&self.started_at, &error))?
            .is_some())
    }

    fn note(&self, disk: &dyn Disk) -> Result<Option<Bytes>, StorageError> {
        let found = open_now(disk, &self.note).map_err(|error| unread(&self.note, &error))?;
        let Some((file, meta)) = found.filter(|(_, meta)| meta.size <= LARGEST_NOTE) else {
            return Ok(None);
        };
        let note = read_now(&*file, meta.size).map_err(|error| unread(&self.note, &error))?;
        Ok(note
            .strip_prefix(disk.boot())
            .map(|rest| note.slice_ref(rest)))
    }

    /// Keeps a note. Whole or not at all for readers; not synced, so it names
    /// the boot that it is good for: a killed process leaves the bytes that it
    /// stands for in the page cache, a power cut may leave holes in them.
    pub(super) fn annotate(&self, disk: &dyn Disk, note: &[u8]) -> Result<(), StorageError> {
        let temporary = temporary(&self.note);
        let written = disk
            .open_to_write(&temporary, Making::New)
            .and_then(|file| write_all(&*file, &[disk.boot(), note], 0))
            .and_then(|()| disk.rename(&temporary, &self.note));
        written.map_err(|error| {
            let _ = disk.unlink(&temporary);
            if is_absent(&error) {
                StorageError::UnknownStage
            } else {
                unwritten(during("write", &self.note, &error))
            }
        })
    }

    /// Gives the bytes, of which `file` is the only writer, their durable name.
    pub(super) fn publish(
        &self,
        durable: &Durable,
        file: &dyn OpenFile,
        target: &Path,
    ) -> Result<(), StorageError> {
        let disk = durable.disk();
        durable.check_writable().map_err(unwritten)?;
        if let Err(error) = durable.sync(file, &self.data) {
            // The next sync would succeed, whatever the medium holds: these
            // bytes can't be trusted any more.
            let _ = disk.remove_tree(&self.dir);
            return Err(unwritten(error));
        }
        durable
            .adopt(&self.data, target)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound if is_gone(disk, &self.data) => StorageError::UnknownStage,
                ErrorKind::CrossesDevices => StorageError::Unavailable(during(
                    "publish an upload: mount one volume over the whole root directory, \
                     uploads and blobs must lie on the same one:",
                    target,
                    &error,
                )),
                _ => unwritten(error),
            })?;
        // Without it the session is gone; `discard` takes the directory.
        let _ = disk.unlink(&self.started_at);
        Ok(())
    }

    /// Removes the session; nobody was promised that it stays removed.
    pub(super) fn discard(&self, durable: &Durable) -> Result<(), StorageError> {
        let removed = durable
            .check_writable()
            .and_then(|()| durable.disk().remove_tree(&self.dir));
        removed.map_err(|error| unwritten(during("remove", &self.dir, &error)))
    }

    /// Opens the bytes for writing, as the only writer; `None` while there is
    /// another.
    fn open_locked(&self, disk: &dyn Disk) -> Result<Option<Handle>, StorageError> {
        let file = self.open_data(disk).map_err(|error| {
            if is_absent(&error) {
                StorageError::UnknownStage
            } else {
                unwritten(during("open", &self.data, &error))
            }
        })?;
        // A file system without locks has nobody to wait for.
        if !file.lock().unwrap_or(true) {
            return Ok(None);
        }
        // It may have been published or discarded since it was opened.
        let still = match (file.status(), disk.stat(&self.data)) {
            (Ok(ours), Ok(named)) => ours.identity == named.identity,
            _ => false,
        };
        Ok(still.then_some(file))
    }

    fn open_data(&self, disk: &dyn Disk) -> io::Result<Handle> {
        match disk.open_to_write(&self.data, Making::Never) {
            Err(error) if is_absent(&error) && !is_gone(disk, &self.started_at) => {
                disk.open_to_write(&self.data, Making::IfAbsent)
            }
            opened => opened,
        }
    }
}

fn is_gone(disk: &dyn Disk, path: &Path) -> bool {
    disk.stat(path).is_err()
}
