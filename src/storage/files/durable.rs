//! The order of writes: what is answered survives a power cut.
//!
//! A file system may put two changes on the medium in any order unless a sync
//! stands between them, so every write goes
//!
//! ```text
//! make missing directories → write a temporary file in the same directory
//! → sync the file → give it its name → sync the directory, and beside it
//! the parent of every directory that isn't known to be durable
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
//! directory ([`Durable::sweep`]), or with the directory itself when the blob or upload
//! in it is collected.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use super::disk::{Disk, Making, Next, OpenFile, write_all};
use super::fault::{during, is_absent};
use super::known::{Known, Unknown};
use super::latch::Latch;
use crate::oci::UploadId;
use crate::storage::Created;

/// What the name of every temporary file ends in.
pub(super) const TEMPORARY: &str = ".tmp";

/// How often directories may vanish under one write before it gives up.
const ATTEMPTS: u32 = 64;

/// Once more of it before each attempt, so that whoever removes directories all
/// the time is not met every time.
const PAUSE: Duration = Duration::from_micros(50);

/// No write takes so long: an older temporary file has no writer any more.
pub(super) const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The most names that [`sweep`] looks at. Directories that hold records are small.
const SWEPT: usize = 64;

/// Writes below one root directory.
pub(super) struct Durable {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    known: Known,
    latch: Latch,
}

/// The directories above a new name that must be synced after it, deepest first.
pub(super) struct Above(Vec<Unknown>);

impl Durable {
    /// Writes below `root`, which must exist durably.
    pub(super) fn new(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self {
            disk,
            root,
            known: Known::default(),
            latch: Latch::default(),
        }
    }

    /// What it writes to.
    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Refuses once the disk can't be trusted with writes any more.
    pub(super) fn check_writable(&self) -> io::Result<()> {
        self.latch.check()
    }

    /// The root directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Replaces a file.
    pub(super) fn put(&self, target: &Path, content: &[u8]) -> io::Result<()> {
        let ((), above) = self.place(target, || {
            let temporary =
                self.write_temporary(target, content, |file, path| self.disk.sync(file, path))?;
            self.name(&temporary, target)
        })?;
        self.sync_above(target, above)?;
        self.sweep(parent(target), SystemTime::now());
        Ok(())
    }

    /// Creates a file if nobody has.
    pub(super) fn create(&self, target: &Path, content: &[u8]) -> io::Result<Created> {
        let (created, above) = self.place(target, || self.create_once(target, content))?;
        // Whoever made the existing one may not have come this far yet.
        self.sync_above(target, above)?;
        self.sweep(parent(target), SystemTime::now());
        Ok(created)
    }

    /// Gives a file that was written elsewhere its durable name; its content
    /// must have been synced. The directories above come last, so that one that
    /// somebody removed and made again meanwhile is synced too.
    pub(super) fn adopt(&self, source: &Path, target: &Path) -> io::Result<()> {
        let ((), above) = self.place(target, || self.disk.rename(source, target))?;
        self.sync_above(target, above)
    }

    /// Replaces a file without waiting for the medium. It must cost little: no
    /// directory is made before one is found missing, nothing is swept.
    pub(super) fn post(&self, target: &Path, content: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let act = || {
            let temporary = self.write_temporary(target, content, |_, _| Ok(()))?;
            self.name(&temporary, target)
        };
        match act() {
            Err(error) if error.kind() == ErrorKind::NotFound => self.place(target, act).map(drop),
            outcome => outcome.map_err(|error| during("write", target, &error)),
        }
    }

    /// Removes a file without waiting for the medium; absent is success.
    pub(super) fn withdraw(&self, target: &Path) -> io::Result<()> {
        self.check_writable()?;
        match self.disk.unlink(target) {
            Err(error) if !is_absent(&error) => Err(during("remove", target, &error)),
            _ => Ok(()),
        }
    }

    /// Waits until all that was written or removed is on the medium. A failure
    /// counts as a directory's: any name may be among what was lost.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.check_writable()?;
        let settled = self.disk.settle(&self.root);
        self.counted(&self.root, settled)
            .map_err(|error| during("sync all of", &self.root, &error))
    }

    /// Waits until the content of a file is on the medium.
    pub(super) fn sync(&self, file: &dyn OpenFile, path: &Path) -> io::Result<()> {
        self.disk
            .sync(file, path)
            .map_err(|error| during("sync", path, &error))
    }

    /// Removes a file; absent is success, and is made durable too, since
    /// somebody else may have removed it a moment ago.
    pub(super) fn delete(&self, target: &Path) -> io::Result<()> {
        self.check_writable()?;
        match self.disk.unlink(target) {
            Err(error) if !is_absent(&error) => Err(during("remove", target, &error)),
            _ => self.sync_nearest(parent(target)),
        }
    }

    /// Removes a directory with everything below it.
    pub(super) fn delete_all(&self, dir: &Path) -> io::Result<()> {
        self.check_writable()?;
        let removed = self.disk.remove_tree(dir);
        removed.map_err(|error| during("remove", dir, &error))?;
        self.sync_nearest(parent(dir))
    }

    /// Makes the directory of `target` and calls `act`, again if somebody
    /// removed the directory in between. Not durable without [`Self::sync_above`].
    pub(super) fn place<T>(
        &self,
        target: &Path,
        mut act: impl FnMut() -> io::Result<T>,
    ) -> io::Result<(T, Above)> {
        self.check_writable()?;
        let mut vanished = io::Error::from(ErrorKind::NotFound);
        let dir = parent(target);
        let ancestors = || dir.ancestors().take_while(|above| *above != self.root);
        let mut missing = self.known.unheard(ancestors());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                thread::sleep(PAUSE * attempt);
            }
            let done = missing
                .iter()
                .rev()
                .try_for_each(|missing| self.mkdir(missing))
                .and_then(|()| act());
            match done {
                Ok(value) => return Ok((value, self.above(ancestors(), missing.len()))),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    missing = ancestors().collect();
                    vanished = error;
                }
                Err(error) => return Err(during("write", target, &error)),
            }
        }
        Err(during("write", target, &vanished))
    }

    /// What is to be synced above a new name: the directories that aren't known
    /// as they are now, since somebody may have removed one and made another
    /// before the name was given, and the first `made`.
    fn above<'a>(&self, ancestors: impl Iterator<Item = &'a Path> + Clone, made: usize) -> Above {
        let identify = |dir: &Path| self.disk.identity(dir);
        let mut unknown = self.known.unknown(ancestors.clone(), identify);
        let rest = ancestors.take(made).skip(unknown.len());
        unknown.extend(rest.map(|dir| (dir.to_owned(), None)));
        Above(unknown)
    }

    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        match self.disk.mkdir(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes a new name durable, and the directories above it.
    fn sync_above(&self, target: &Path, above: Above) -> io::Result<()> {
        let mut dirs = vec![parent(target)];
        dirs.extend(above.0.iter().map(|(dir, _)| parent(dir)));
        for (outcome, dir) in self.disk.sync_dirs(&dirs).into_iter().zip(dirs) {
            match self.counted(dir, outcome) {
                // Removed since, with what was written: that comes after this write.
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(during("sync", dir, &error));
                }
                _ => {}
            }
        }
        self.known.remember(above.0);
        Ok(())
    }

    /// Syncs a directory, or if it is gone the first above it that isn't.
    fn sync_nearest(&self, dir: &Path) -> io::Result<()> {
        for above in dir.ancestors() {
            match self.counted(above, self.disk.sync_dir(above)) {
                Err(error) if is_absent(&error) && above != self.root => {}
                Err(error) => return Err(during("sync", above, &error)),
                Ok(()) => break,
            }
        }
        Ok(())
    }

    /// The outcome of a directory's sync.
    fn counted(&self, dir: &Path, outcome: io::Result<()>) -> io::Result<()> {
        outcome.inspect_err(|error| self.latch.count(dir, error))
    }

    fn create_once(&self, target: &Path, content: &[u8]) -> io::Result<Created> {
        if self.sync_existing(target)? {
            return Ok(Created::Exists);
        }
        let temporary =
            self.write_temporary(target, content, |file, path| self.disk.sync(file, path))?;
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
        match self.disk.open(target) {
            Ok(file) if file.status()?.is_file => {
                self.disk.sync(&*file, target)?;
                Ok(true)
            }
            Ok(_) => Err(ErrorKind::IsADirectory.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a temporary file its name, or removes it.
    fn name(&self, temporary: &Path, target: &Path) -> io::Result<()> {
        self.disk.rename(temporary, target).inspect_err(|_| {
            let _ = self.disk.unlink(temporary);
        })
    }

    fn write_temporary(
        &self,
        target: &Path,
        content: &[u8],
        finish: impl FnOnce(&dyn OpenFile, &Path) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let temporary = temporary(target);
        let written = self
            .disk
            .open_to_write(&temporary, Making::New)
            .and_then(|file| {
                write_all(&*file, &[content], 0)?;
                finish(&*file, &temporary)
            });
        match written {
            Ok(()) => Ok(temporary),
            Err(error) => {
                let _ = self.disk.unlink(&temporary);
                Err(error)
            }
        }
    }

    /// Removes temporary files that a crash left in a directory. Should a clock
    /// be so wrong that one had a writer, that write fails and nothing is lost.
    fn sweep(&self, dir: &Path, now: SystemTime) {
        let mut looked = 0;
        let mut leftovers = Vec::new();
        // Should it fail, the next write sweeps.
        let _ = self.disk.list(dir, &mut |entry| {
            let ending = TEMPORARY.as_bytes();
            if entry.name.as_encoded_bytes().ends_with(ending) {
                leftovers.push(dir.join(entry.name));
            }
            looked += 1;
            if looked < SWEPT {
                Next::More
            } else {
                Next::Stop
            }
        });
        for leftover in leftovers {
            remove_abandoned(&*self.disk, &leftover, now);
        }
    }
}

/// Removes a temporary file that has no writer any more; whether it is gone.
pub(super) fn remove_abandoned(disk: &dyn Disk, leftover: &Path, now: SystemTime) -> bool {
    let abandoned = disk.stat(leftover).is_ok_and(|status| {
        let age = now.duration_since(status.modified);
        status.is_file && age.is_ok_and(|age| age > ABANDONED)
    });
    abandoned && disk.unlink(leftover).is_ok()
}

/// A new name beside `target`, as registry:2 makes them.
pub(super) fn temporary(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}{TEMPORARY}", UploadId::random()));
    name.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
