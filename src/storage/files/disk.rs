//! The steps that the order of writes is made of, one system call or two each.
//!
//! A trait, so that a test can record the steps and let any of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{CWD, OFlags, RenameFlags};

/// One file system.
pub(super) trait Disk: Send + Sync + 'static {
    /// Makes a directory, 0777 less the umask, as registry:2 does.
    fn mkdir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a file that must not exist, 0666 less the umask, and fills it.
    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<File>;

    /// Waits until the content of a file is on the medium.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Waits until the names in a directory are on the medium.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file its name, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a name that nobody has, or fails with `AlreadyExists`. The
    /// old name may be left.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;
}

/// `sync` of the configuration: whether writes wait for the medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// `full`: what is acknowledged survives a power cut.
    #[default]
    Full,
    /// `none`: nothing is synced. A power cut loses what was acknowledged and
    /// tears what is left, for registries that can be filled anew.
    None,
}

/// The real thing.
#[derive(Default)]
pub(super) struct Posix {
    sync: SyncMode,
}

impl Posix {
    /// Files that are synced or not.
    pub(super) fn new(sync: SyncMode) -> Self {
        Self { sync }
    }
}

impl Disk for Posix {
    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(content)?;
        Ok(file)
    }

    fn sync(&self, file: &File, _path: &Path) -> io::Result<()> {
        match self.sync {
            SyncMode::Full => file.sync_all(),
            SyncMode::None => Ok(()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.sync == SyncMode::None {
            return Ok(());
        }
        match open_dir(dir)?.sync_all() {
            // Some network file systems know no such call for directories; their
            // names are written at once.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            outcome => outcome,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            // A file system without hard links (vfat, some FUSE) says one of the two.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported
                ) =>
            {
                rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
                    .map_err(io::Error::from)
            }
            outcome => outcome,
        }
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Removes a directory with everything below it, whoever else adds to it or
/// removes from it meanwhile; absent is success.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    const ROUNDS: usize = 64;
    let mut outcome = Ok(());
    for _ in 0..ROUNDS {
        outcome = fs::remove_dir_all(dir);
        match &outcome {
            Ok(()) => return Ok(()),
            // Of the directory itself, or of something below that another
            // remover was quicker with.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if fs::symlink_metadata(dir).is_err_and(|error| super::fault::is_absent(&error)) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(_) => return outcome,
        }
    }
    outcome
}

/// Opens a directory, and nothing else.
fn open_dir(dir: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
        .open(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_never_replaces() {
        let disk = Posix::default();
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        disk.write_new(&one, b"1").unwrap();
        disk.link(&one, &two).unwrap();
        disk.unlink(&one).unwrap();
        disk.write_new(&one, b"other").unwrap();
        let refused = disk.link(&one, &two).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&two).unwrap(), b"1");
    }

    #[test]
    fn removing_a_tree_tolerates_company() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for number in 0..200 {
                        let _ = fs::create_dir_all(tree.join(format!("a/{}", number % 7)));
                        remove_tree(&tree).unwrap();
                    }
                });
            }
        });
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
