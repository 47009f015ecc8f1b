//! The real file system.

use std::fs::{self, DirEntry, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustix::fs::{Advice, CWD, OFlags, RenameFlags};

use super::cached::{Cached, Lookup, read_some};
use super::disk::{Disk, Handle, Identity, Listed, Making, Next, OpenFile, Status};
use super::fault::is_absent;
use super::together::Together;
use crate::oci::UploadId;

/// File systems stamp what is made with a clock that ticks, every 10 ms at the
/// slowest: of two directories made within a tick one could be taken for the
/// other. So none that is younger is told apart.
const TICK: Duration = Duration::from_millis(20);

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
pub(super) struct Posix {
    sync: SyncMode,
    lookup: Lookup,
    together: Together,
    settling: Together,
    boot: OnceLock<Vec<u8>>,
}

impl Posix {
    /// The file system that `root` lies on, whose files are synced or not.
    pub(super) fn new(root: &Path, sync: SyncMode) -> Self {
        Self {
            sync,
            lookup: Lookup::new(root),
            together: Together::default(),
            settling: Together::default(),
            boot: OnceLock::new(),
        }
    }

    /// Takes nothing for cached, as on a network file system.
    #[cfg(test)]
    pub(super) fn uncached() -> Self {
        Self {
            sync: SyncMode::Full,
            lookup: Lookup::never(),
            together: Together::default(),
            settling: Together::default(),
            boot: OnceLock::new(),
        }
    }
}

impl Disk for Posix {
    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        Ok(Arc::new(file))
    }

    fn open_to_write(&self, path: &Path, making: Making) -> io::Result<Handle> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(making == Making::IfAbsent)
            .create_new(making == Making::New)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        Ok(Arc::new(file))
    }

    fn sync(&self, file: &dyn OpenFile, _path: &Path) -> io::Result<()> {
        match self.sync {
            SyncMode::Full => file.sync(),
            SyncMode::None => Ok(()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.sync {
            SyncMode::Full => self.together.sync(dir, || sync_dir(dir)),
            SyncMode::None => Ok(()),
        }
    }

    fn sync_dirs(&self, dirs: &[&Path]) -> Vec<io::Result<()>> {
        match self.sync {
            SyncMode::Full => self.together.sync_all(dirs, sync_dir),
            SyncMode::None => dirs.iter().map(|_| Ok(())).collect(),
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

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        const ROUNDS: usize = 64;
        let mut outcome = Ok(());
        for _ in 0..ROUNDS {
            outcome = fs::remove_dir_all(dir);
            match &outcome {
                Ok(()) => return Ok(()),
                // Of the directory itself, or of something below that another
                // remover was quicker with.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if fs::symlink_metadata(dir).is_err_and(|error| is_absent(&error)) {
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

    fn rmdir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn settle(&self, root: &Path) -> io::Result<()> {
        match self.sync {
            SyncMode::Full => self.settling.sync(root, || {
                let opened = File::open(root)?;
                Ok(rustix::fs::syncfs(&opened)?)
            }),
            SyncMode::None => Ok(()),
        }
    }

    /// The inode may be another directory's by now, but then it was made later.
    fn identity(&self, dir: &Path) -> Option<Identity> {
        let meta = fs::metadata(dir).ok()?;
        let born = meta.created().ok()?;
        let age = SystemTime::now().duration_since(born).ok()?;
        (age > TICK).then_some(Identity {
            inode: (meta.dev(), meta.ino()),
            born,
        })
    }

    fn is_shared(&self) -> bool {
        !self.lookup.is_local()
    }

    fn stat(&self, path: &Path) -> io::Result<Status> {
        describe(&fs::symlink_metadata(path)?)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.is_dir())
    }

    fn list(&self, dir: &Path, visit: &mut dyn FnMut(Listed<'_>) -> Next) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let listed = Listed {
                name: entry.file_name(),
                is_dir: &|| is_dir(dir, &entry),
            };
            if visit(listed) == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    fn open_cached(&self, path: &Path) -> Cached<Handle> {
        match self.lookup.open(path) {
            Cached::Hit(file) => Cached::Hit(Arc::new(file)),
            Cached::Absent => Cached::Absent,
            Cached::Unknown => Cached::Unknown,
        }
    }

    fn stat_cached(&self, path: &Path) -> Cached<Status> {
        match self.lookup.stat(path) {
            Cached::Hit(file) => file.status().map_or(Cached::Unknown, Cached::Hit),
            Cached::Absent => Cached::Absent,
            Cached::Unknown => Cached::Unknown,
        }
    }

    /// Where the kernel doesn't say, no two processes are of the same boot.
    fn boot(&self) -> &[u8] {
        self.boot.get_or_init(|| {
            fs::read("/proc/sys/kernel/random/boot_id")
                .unwrap_or_else(|_| UploadId::random().to_string().into_bytes())
        })
    }
}

impl OpenFile for File {
    fn status(&self) -> io::Result<Status> {
        describe(&self.metadata()?)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        read_some(self, offset, buffer)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(self, parts, offset)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn lock(&self) -> io::Result<bool> {
        match self.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Linux starts to write the dirty pages of a range that is said to be
    /// needed no more, and keeps them until that is done; so this costs nothing
    /// but the order of what would be written anyway.
    fn start_write_back(&self, from: u64, to: u64) {
        if let Some(length) = NonZeroU64::new(to.saturating_sub(from)) {
            // Advice: that it fails changes nothing.
            let _ = rustix::fs::fadvise(self, from, Some(length), Advice::DontNeed);
        }
    }
}

fn describe(meta: &Metadata) -> io::Result<Status> {
    Ok(Status {
        is_file: meta.is_file(),
        is_dir: meta.is_dir(),
        size: meta.len(),
        modified: meta.modified()?,
        changed: (meta.ctime(), meta.ctime_nsec()),
        identity: (meta.dev(), meta.ino()),
    })
}

/// Without asking the file system where the directory says it itself; a link
/// counts as what it leads to, unless that is a directory that we came through:
/// whoever walks the tree would never end.
fn is_dir(dir: &Path, entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|target| {
            let is_target = |above: &Path| {
                fs::metadata(above)
                    .is_ok_and(|above| (above.dev(), above.ino()) == (target.dev(), target.ino()))
            };
            target.is_dir() && !dir.ancestors().any(is_target)
        }),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
        .open(dir)?;
    match opened.sync_all() {
        // Some network file systems know no such call for directories; their
        // names are written at once.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_never_replaces() {
        let disk = Posix::uncached();
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        fs::write(&one, b"1").unwrap();
        disk.link(&one, &two).unwrap();
        disk.unlink(&one).unwrap();
        fs::write(&one, b"other").unwrap();
        let refused = disk.link(&one, &two).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&two).unwrap(), b"1");
    }

    #[test]
    fn removing_a_tree_tolerates_company() {
        let disk = Posix::uncached();
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for number in 0..200 {
                        let _ = fs::create_dir_all(tree.join(format!("a/{}", number % 7)));
                        disk.remove_tree(&tree).unwrap();
                    }
                });
            }
        });
        disk.remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        disk.remove_tree(&tree).unwrap();
    }
}
