//! The order of writes: what is answered survives a power cut.
//!
//! A file system may put two changes on the medium in any order unless a sync
//! stands between them, so every write goes
//!
//! ```text
//! make missing directories → write a temporary file in the same directory
//! → sync the file → give it its name → sync the directory
//! → sync the parent of every directory that isn't known to be durable, deepest first
//! ```
//!
//! A crash before the name is given leaves a `.tmp` file that no reader sees. A
//! crash after it leaves the whole content or the one before, since the content
//! was synced first. Once the directory and those above it are synced the name
//! stays, and only then is the write answered. After a failed sync nothing is
//! tried again: the kernel has marked the pages clean, so a second sync would
//! succeed and mean nothing. The temporary file goes, and the write has failed.
//!
//! Temporary files that a crash left go away with a later write to the same
//! directory ([`sweep`]), or with the directory itself when the blob or upload
//! in it is collected.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::disk::{Disk, Posix, remove_tree};
use super::fault::{during, is_absent};
use super::known::{Known, Moment};
use crate::oci::UploadId;
use crate::storage::Created;

/// What the name of every temporary file ends in.
pub(super) const TEMPORARY: &str = ".tmp";

/// How often directories may vanish under one write before it gives up.
const ATTEMPTS: usize = 64;

/// No write takes so long: an older temporary file has no writer any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The most names that [`sweep`] looks at. Directories that hold records are small.
const SWEPT: usize = 64;

/// Writes below one root directory.
pub(super) struct Durable<D = Posix> {
    disk: D,
    root: PathBuf,
    known: Known,
}

/// The directories above a new name that must be synced after it.
pub(super) struct Above {
    unsynced: Vec<PathBuf>,
    since: Moment,
}

impl<D: Disk> Durable<D> {
    /// Writes below `root`, which must exist durably.
    pub(super) fn new(disk: D, root: PathBuf) -> Self {
        Self {
            disk,
            root,
            known: Known::default(),
        }
    }

    /// The root directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Replaces a file.
    pub(super) fn put(&self, target: &Path, content: &[u8]) -> io::Result<()> {
        let ((), above) = self.place(target, || {
            let temporary = self.write_temporary(target, content)?;
            self.disk.rename(&temporary, target).inspect_err(|_| {
                let _ = self.disk.unlink(&temporary);
            })
        })?;
        self.sync_above(target, above)?;
        sweep(parent(target), SystemTime::now());
        Ok(())
    }

    /// Creates a file if nobody has.
    pub(super) fn create(&self, target: &Path, content: &[u8]) -> io::Result<Created> {
        let (created, above) = self.place(target, || self.create_once(target, content))?;
        // Whoever made the existing one may not have come this far yet.
        self.sync_above(target, above)?;
        sweep(parent(target), SystemTime::now());
        Ok(created)
    }

    /// Gives a file that was written elsewhere its durable name; its content
    /// must have been synced.
    pub(super) fn adopt(&self, source: &Path, target: &Path) -> io::Result<()> {
        let ((), above) = self.place(target, || self.disk.rename(source, target))?;
        self.sync_above(target, above)
    }

    /// Waits until the content of a file is on the medium.
    pub(super) fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.disk
            .sync(file, path)
            .map_err(|error| during("sync", path, &error))
    }

    /// Removes a file; absent is success, and is made durable too, since
    /// somebody else may have removed it a moment ago.
    pub(super) fn delete(&self, target: &Path) -> io::Result<()> {
        match self.disk.unlink(target) {
            Err(error) if !is_absent(&error) => Err(during("remove", target, &error)),
            _ => self.sync_nearest(parent(target)),
        }
    }

    /// Removes a directory with everything below it.
    pub(super) fn delete_all(&self, dir: &Path) -> io::Result<()> {
        self.known.forget(dir);
        let outcome = remove_tree(dir).map_err(|error| during("remove", dir, &error));
        self.known.forget(dir);
        outcome?;
        self.sync_nearest(parent(dir))
    }

    /// Makes the directory of `target` and calls `act`, again if somebody
    /// removed the directory in between. Not durable without [`Self::sync_above`].
    pub(super) fn place<T>(
        &self,
        target: &Path,
        mut act: impl FnMut() -> io::Result<T>,
    ) -> io::Result<(T, Above)> {
        let mut vanished = io::Error::from(ErrorKind::NotFound);
        for _ in 0..ATTEMPTS {
            let dir = parent(target);
            let ancestors = dir.ancestors().take_while(|above| *above != self.root);
            let (unsynced, since) = self.known.unknown(ancestors);
            let done = unsynced
                .iter()
                .rev()
                .try_for_each(|missing| self.mkdir(missing))
                .and_then(|()| act());
            match done {
                Ok(value) => return Ok((value, Above { unsynced, since })),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.known.forget_around(dir);
                    vanished = error;
                }
                Err(error) => return Err(during("write", target, &error)),
            }
        }
        Err(during("write", target, &vanished))
    }

    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        match self.disk.mkdir(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes a new name durable, and the directories above it.
    fn sync_above(&self, target: &Path, above: Above) -> io::Result<()> {
        self.sync_dir(parent(target))?;
        for dir in &above.unsynced {
            self.sync_dir(parent(dir))?;
        }
        self.known.remember(above.unsynced, above.since);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.disk.sync_dir(dir) {
            // Removed since, with what was written: that comes after this write.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(during("sync", dir, &error)),
            _ => Ok(()),
        }
    }

    /// Syncs a directory, or if it is gone the first above it that isn't.
    fn sync_nearest(&self, dir: &Path) -> io::Result<()> {
        for above in dir.ancestors() {
            match self.disk.sync_dir(above) {
                Err(error) if is_absent(&error) && above != self.root => {}
                Err(error) => return Err(during("sync", above, &error)),
                Ok(()) => break,
            }
        }
        Ok(())
    }

    fn create_once(&self, target: &Path, content: &[u8]) -> io::Result<Created> {
        if self.sync_existing(target)? {
            return Ok(Created::Exists);
        }
        let temporary = self.write_temporary(target, content)?;
        let linked = self.disk.link(&temporary, target);
        let _ = self.disk.unlink(&temporary);
        match linked {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if self.sync_existing(target)? {
                    Ok(Created::Exists)
                } else {
                    // Deleted again already: start over.
                    Err(ErrorKind::NotFound.into())
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Syncs the content of an existing file (registry:2 doesn't); false if
    /// there is none.
    fn sync_existing(&self, target: &Path) -> io::Result<bool> {
        match File::open(target) {
            Ok(file) if file.metadata()?.is_file() => {
                self.disk.sync(&file, target)?;
                Ok(true)
            }
            Ok(_) => Err(ErrorKind::IsADirectory.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_temporary(&self, target: &Path, content: &[u8]) -> io::Result<PathBuf> {
        let temporary = temporary(target);
        let written = self
            .disk
            .write_new(&temporary, content)
            .and_then(|file| self.disk.sync(&file, &temporary));
        match written {
            Ok(()) => Ok(temporary),
            Err(error) => {
                let _ = self.disk.unlink(&temporary);
                Err(error)
            }
        }
    }
}

/// A new name beside `target`, as registry:2 makes them.
pub(super) fn temporary(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}{TEMPORARY}", UploadId::random()));
    name.into()
}

/// Removes temporary files that a crash left in a directory. Should a clock be
/// so wrong that one had a writer, that write fails and nothing is lost.
pub(super) fn sweep(dir: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.take(SWEPT).flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .ends_with(TEMPORARY.as_bytes())
        {
            continue;
        }
        let abandoned = entry.metadata().is_ok_and(|meta| {
            let age = meta
                .modified()
                .ok()
                .and_then(|then| now.duration_since(then).ok());
            meta.is_file() && age.is_some_and(|age| age > ABANDONED)
        });
        if abandoned {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
