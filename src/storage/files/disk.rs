//! What a file system is asked for, one system call or two each.
//!
//! A trait, so that the same code runs over the real one ([`super::posix`]) and
//! over one in memory that loses what was not synced.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::cached::Cached;

/// An open file. Clones are the same one.
pub(super) type Handle = Arc<dyn OpenFile>;

/// One file system. An error may have any kind that the operating system's
/// have; an [`ErrorKind::Interrupted`] one has changed nothing.
pub(super) trait Disk: Send + Sync + 'static {
    /// Makes a directory, 0777 less the umask, as registry:2 does.
    fn mkdir(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file for reading, or whatever else lies there, but not what a
    /// final symlink leads to.
    fn open(&self, path: &Path) -> io::Result<Handle>;

    /// Opens a regular file for reading and writing, not following a final
    /// symlink. What is made is 0666 less the umask.
    fn open_to_write(&self, path: &Path, making: Making) -> io::Result<Handle>;

    /// Waits until the content of a file is on the medium.
    fn sync(&self, file: &dyn OpenFile, path: &Path) -> io::Result<()>;

    /// Waits until the names in a directory are on the medium.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// [`Self::sync_dir`] of several, in any order or at once; the outcomes are
    /// in theirs.
    fn sync_dirs(&self, dirs: &[&Path]) -> Vec<io::Result<()>> {
        dirs.iter().map(|dir| self.sync_dir(dir)).collect()
    }

    /// Gives a file its name, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a name that nobody has, or fails with `AlreadyExists`. The
    /// old name may be left.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything below it, whoever else adds to it or
    /// removes from it meanwhile; absent is success.
    fn remove_tree(&self, dir: &Path) -> io::Result<()>;

    /// Removes a directory in which nothing is.
    fn rmdir(&self, dir: &Path) -> io::Result<()>;

    /// Waits until everything that was written to the file system of `root`, or
    /// removed from it, is on the medium, whoever did it.
    fn settle(&self, root: &Path) -> io::Result<()>;

    /// Tells a directory from every other one that has had its path, or will;
    /// `None` if that can't be told, or not yet.
    fn identity(&self, dir: &Path) -> Option<Identity>;

    /// Whether processes on other machines may use the file system at the same
    /// time, so that a lock here says nothing of them.
    fn is_shared(&self) -> bool;

    /// What lies at a path, not following a final symlink.
    fn stat(&self, path: &Path) -> io::Result<Status>;

    /// Whether a path leads to a directory, through symlinks too.
    fn is_dir(&self, path: &Path) -> io::Result<bool>;

    /// Tells the names in a directory, in any order, until it is told to stop.
    fn list(&self, dir: &Path, visit: &mut dyn FnMut(Listed<'_>) -> Next) -> io::Result<()>;

    /// [`Self::open`], as far as it needn't wait for the medium.
    fn open_cached(&self, path: &Path) -> Cached<Handle> {
        let _ = path;
        Cached::Unknown
    }

    /// [`Self::stat`], as far as it needn't wait for the medium.
    fn stat_cached(&self, path: &Path) -> Cached<Status> {
        let _ = path;
        Cached::Unknown
    }

    /// Names the time between two starts of the machine.
    fn boot(&self) -> &[u8];
}

/// An open file, closed when it is dropped.
pub(super) trait OpenFile: Send + Sync + 'static {
    /// What it is.
    fn status(&self) -> io::Result<Status>;

    /// Reads some bytes from an offset on; none is the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// [`Self::read_at`] of what needn't be fetched from the medium.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        let _ = (buffer, offset);
        None
    }

    /// Writes some of the bytes at an offset.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// See [`Disk::sync`].
    fn sync(&self) -> io::Result<()>;

    /// Becomes its only writer until it is closed; false while there is another.
    /// An error is a file system's that has no locks.
    fn lock(&self) -> io::Result<bool>;

    /// Asks for a range of bytes, `from..to`, to be written to the medium in its own time.
    fn start_write_back(&self, from: u64, to: u64) {
        let _ = (from, to);
    }
}

/// Whether [`Disk::open_to_write`] makes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// It must be there.
    Never,
    /// If it isn't there.
    IfAbsent,
    /// It must not be there.
    New,
}

/// Whether [`Disk::list`] goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next name.
    More,
    /// That was enough.
    Stop,
}

/// A name that was listed.
pub(super) struct Listed<'a> {
    pub(super) name: OsString,
    /// Whether it is a directory's, or a symlink's to one.
    pub(super) is_dir: &'a dyn Fn() -> bool,
}

/// Which directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its device and inode, which is used again when it is gone.
    pub(super) inode: (u64, u64),
    /// When it was made.
    pub(super) born: SystemTime,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) is_file: bool,
    pub(super) is_dir: bool,
    /// Bytes.
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// When the content or anything else of it changed last, in seconds and
    /// nanoseconds of the file system's own clock: nobody can put it back.
    pub(super) changed: (i64, i64),
    /// The same for all names of one file, and for its handles.
    pub(super) identity: (u64, u64),
}

/// Writes all parts, however many at once the file system takes.
pub(super) fn write_all(file: &dyn OpenFile, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_at(rest, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills a buffer from an offset on.
pub(super) fn read_exact(
    file: &dyn OpenFile,
    buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        match file.read_at(rest, offset) {
            Ok(0) => return Err(ended_early()),
            Ok(count) => {
                offset += count as u64;
                rest = rest.get_mut(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file has fewer bytes than it had.
pub(super) fn ended_early() -> io::Error {
    io::Error::new(
        ErrorKind::UnexpectedEof,
        "the file is shorter than it was when it was opened",
    )
}
