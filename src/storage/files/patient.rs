//! Calls that a signal interrupted are made again (EINTR: network file systems
//! and FUSE do that).

use std::io::{self, ErrorKind};
use std::path::Path;

use super::cached::Cached;
use super::disk::{Disk, Handle, Identity, Listed, Making, Next, OpenFile, Status};

/// A file system whose calls aren't interrupted. Reads and writes at an offset
/// go to the file itself: see [`super::disk::write_all`].
pub(super) struct Patient<D>(pub(super) D);

impl<D: Disk> Disk for Patient<D> {
    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        again(|| self.0.mkdir(dir))
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        again(|| self.0.open(path))
    }

    fn open_to_write(&self, path: &Path, making: Making) -> io::Result<Handle> {
        again(|| self.0.open_to_write(path, making))
    }

    fn sync(&self, file: &dyn OpenFile, path: &Path) -> io::Result<()> {
        again(|| self.0.sync(file, path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        again(|| self.0.sync_dir(dir))
    }

    fn sync_dirs(&self, dirs: &[&Path]) -> Vec<io::Result<()>> {
        let outcomes = self.0.sync_dirs(dirs).into_iter().zip(dirs);
        outcomes
            .map(|(outcome, dir)| match outcome {
                Err(error) if error.kind() == ErrorKind::Interrupted => self.sync_dir(dir),
                outcome => outcome,
            })
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        again(|| self.0.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        again(|| self.0.link(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        again(|| self.0.unlink(path))
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        again(|| self.0.remove_tree(dir))
    }

    fn rmdir(&self, dir: &Path) -> io::Result<()> {
        again(|| self.0.rmdir(dir))
    }

    fn settle(&self, root: &Path) -> io::Result<()> {
        again(|| self.0.settle(root))
    }

    fn identity(&self, dir: &Path) -> Option<Identity> {
        self.0.identity(dir)
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn stat(&self, path: &Path) -> io::Result<Status> {
        again(|| self.0.stat(path))
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        again(|| self.0.is_dir(path))
    }

    fn list(&self, dir: &Path, visit: &mut dyn FnMut(Listed<'_>) -> Next) -> io::Result<()> {
        // Only from its beginning: no name is told twice.
        let mut begun = false;
        loop {
            let listed = self.0.list(dir, &mut |entry| {
                begun = true;
                visit(entry)
            });
            match listed {
                Err(error) if error.kind() == ErrorKind::Interrupted && !begun => {}
                outcome => return outcome,
            }
        }
    }

    fn open_cached(&self, path: &Path) -> Cached<Handle> {
        self.0.open_cached(path)
    }

    fn stat_cached(&self, path: &Path) -> Cached<Status> {
        self.0.stat_cached(path)
    }

    fn boot(&self) -> &[u8] {
        self.0.boot()
    }
}

fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
