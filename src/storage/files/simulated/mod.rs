//! A file system in memory whose power can be cut, and whose calls can fail:
//! the test double under [`super::Files`].
//!
//! What was not synced is on the medium or not, as a seed decides; see [`tree`].

mod random;
mod tree;
mod visits;

use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use rustix::io::Errno;

pub(crate) use self::random::Random;
use self::tree::{Inode, Tree};
use self::visits::Visits;
use super::Files;
use super::disk::{Disk, Handle, Identity, Listed, Making, Next, OpenFile, Status};
use super::patient::Patient;
use super::workers::Workers;

/// A machine with one disk. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Machine {
    inside: Arc<Mutex<Inside>>,
    boot: Arc<Vec<u8>>,
    /// What a fork notes of the time that it was taken at.
    moment: Arc<AtomicU64>,
    /// What others do between the calls that come through this handle.
    visits: Visits,
}

struct Inside {
    tree: Tree,
    /// Every system call so far.
    calls: u64,
    /// From which call on one fails, and how.
    fault: Option<(u64, Fault)>,
    /// Which call did.
    failed: Option<u64>,
    lie: Lie,
    locked: HashSet<Inode>,
    forks: Option<Forks>,
}

struct Forks {
    random: Random,
    one_in: u64,
    taken: Vec<Fork>,
}

/// What a machine was between two system calls.
pub(crate) struct Fork {
    tree: Tree,
    /// [`Machine::tell`]'s last.
    pub(crate) moment: u64,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// With an error of the operating system.
    Error(Errno),
    /// Only a part is written.
    Short,
}

/// Which syncs do nothing and say `Ok`: for tests of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Nothing,
    /// All of them: `sync: none`.
    Everything,
    /// Those of files.
    Files,
    /// That of the directory in which a file got its name.
    Directory,
    /// Those of the directories above it.
    Parents,
    /// That of the directory from which something was removed.
    Removals,
}

impl Machine {
    /// With an empty disk.
    pub(crate) fn new() -> Self {
        Self::with(Tree::default())
    }

    fn with(tree: Tree) -> Self {
        static BOOTS: AtomicU64 = AtomicU64::new(0);
        Self {
            inside: Arc::new(Mutex::new(Inside {
                tree,
                calls: 0,
                fault: None,
                failed: None,
                lie: Lie::Nothing,
                locked: HashSet::new(),
                forks: None,
            })),
            boot: Arc::new(
                format!("boot {:>20}", BOOTS.fetch_add(1, Ordering::Relaxed)).into_bytes(),
            ),
            moment: Arc::default(),
            visits: Visits::default(),
        }
    }

    /// The files back end of a process that was started just now. Jobs run on
    /// the caller's thread, and let others run before them as the seed says.
    pub(crate) fn started(&self, seed: Option<u64>) -> Files {
        let disk = Arc::new(Patient(self.clone()));
        Files::over(disk, PathBuf::from("/"), Workers::inline(seed))
    }

    /// The same one, used by another process.
    pub(crate) fn another(&self) -> Self {
        Self {
            visits: Visits::default(),
            ..self.clone()
        }
    }

    /// Somebody else acts before the `n`-th call of this process from now on,
    /// counted from 1.
    pub(crate) fn visit(&self, n: u64, act: impl FnOnce() + Send + 'static) {
        self.visits.plan(n, act);
    }

    /// The visits that are still to come.
    pub(crate) fn visits_left(&self) -> usize {
        self.visits.left()
    }

    /// Takes forks before one in so many changing calls.
    pub(crate) fn take_forks(&self, random: Random, one_in: u64) {
        self.inside().forks = Some(Forks {
            random,
            one_in,
            taken: Vec::new(),
        });
    }

    /// The forks since [`Self::take_forks`].
    pub(crate) fn forks(&self) -> Vec<Fork> {
        let forks = self.inside().forks.take();
        forks.map(|forks| forks.taken).unwrap_or_default()
    }

    /// The machine as it is.
    pub(crate) fn fork(&self) -> Fork {
        Fork {
            tree: self.inside().tree.clone(),
            moment: self.moment.load(Ordering::Relaxed),
        }
    }

    /// Says what forks note from now on.
    pub(crate) fn tell(&self, moment: u64) {
        self.moment.store(moment, Ordering::Relaxed);
    }

    /// The `n`-th call from now on fails, counted from 1; if only a write can
    /// fail so, the first write from there on.
    pub(crate) fn fail(&self, n: u64, fault: Fault) {
        let mut inside = self.inside();
        inside.calls = 0;
        inside.failed = None;
        inside.fault = Some((n, fault));
    }

    /// Which call has failed, counted as by [`Self::fail`].
    pub(crate) fn failed(&self) -> Option<u64> {
        self.inside().failed
    }

    /// Which syncs do nothing from now on.
    pub(crate) fn lie(&self, lie: Lie) {
        self.inside().lie = lie;
    }

    /// Time goes by: every file is so much older.
    pub(crate) fn age(&self, by: Duration) {
        self.inside().tree.age(by);
    }

    /// The same without what a crash has left behind of nameless files.
    pub(crate) fn compact(&self) {
        let mut inside = self.inside();
        inside.tree = inside.tree.compacted();
    }

    /// Every file, with its path.
    pub(crate) fn files(&self, mut visit: impl FnMut(&str, &[u8])) {
        self.inside().tree.files(0, "", &mut visit);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Every call comes through here, before it does anything.
    fn call(&self, changes: bool) -> io::Result<MutexGuard<'_, Inside>> {
        let (inside, fault) = self.called(changes, false);
        match fault {
            Some(Fault::Error(errno)) => Err(errno.into()),
            Some(Fault::Short) | None => Ok(inside),
        }
    }

    fn called(&self, changes: bool, writes: bool) -> (MutexGuard<'_, Inside>, Option<Fault>) {
        self.visits.before_call();
        let mut inside = self.inside();
        inside.calls += 1;
        if changes {
            let Inside { forks, tree, .. } = &mut *inside;
            if let Some(forks) = forks
                && forks.random.one_in(forks.one_in)
            {
                forks.taken.push(Fork {
                    tree: tree.clone(),
                    moment: self.moment.load(Ordering::Relaxed),
                });
            }
        }
        let calls = inside.calls;
        let fault = inside
            .fault
            .take_if(|(call, fault)| *call <= calls && (writes || *fault != Fault::Short));
        if fault.is_some() {
            inside.failed = Some(calls);
        }
        (inside, fault.map(|(_, fault)| fault))
    }

    fn handle(&self, inode: Inode) -> Handle {
        Arc::new(SimulatedFile {
            machine: self.clone(),
            inode,
            locks: AtomicBool::new(false),
        })
    }
}

impl Fork {
    /// The machine after its power was cut at that time.
    pub(crate) fn crashed(&self, random: &mut Random) -> Machine {
        Machine::with(self.tree.crashed(random))
    }
}

impl Inside {
    fn status(&self, inode: Inode) -> Status {
        let about = self.tree.about(inode);
        let since = about
            .modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Status {
            is_file: !about.is_dir,
            is_dir: about.is_dir,
            size: about.size,
            modified: about.modified,
            changed: (since.as_secs().cast_signed(), since.subsec_nanos().into()),
            identity: (0, inode as u64),
        }
    }
}

impl Disk for Machine {
    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        self.call(true)?.tree.mkdir(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        let inode = self.call(false)?.tree.find(path)?;
        Ok(self.handle(inode))
    }

    fn open_to_write(&self, path: &Path, making: Making) -> io::Result<Handle> {
        let mut inside = self.call(making != Making::Never)?;
        let inode = match inside.tree.find(path) {
            Ok(_) if making == Making::New => return Err(Errno::EXIST.into()),
            Ok(found) if inside.tree.about(found).is_dir => return Err(Errno::ISDIR.into()),
            Ok(found) => found,
            Err(error) if making == Making::Never => return Err(error),
            Err(_) => inside.tree.create(path)?,
        };
        drop(inside);
        Ok(self.handle(inode))
    }

    fn sync(&self, file: &dyn OpenFile, _path: &Path) -> io::Result<()> {
        file.sync()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync_names(dir, Lie::Removals)
    }

    fn sync_dirs(&self, dirs: &[&Path]) -> Vec<io::Result<()>> {
        let lies = std::iter::once(Lie::Directory).chain(std::iter::repeat(Lie::Parents));
        dirs.iter()
            .zip(lies)
            .map(|(dir, lie)| self.sync_names(dir, lie))
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(true)?.tree.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(true)?.tree.link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call(true)?.tree.unlink(path)
    }

    /// A call for everything that is listed or removed.
    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        let listed = {
            let inside = self.call(false)?;
            match inside.tree.find(dir) {
                Ok(found) => inside.tree.list(found),
                Err(error) => Err(error),
            }
        };
        let entries = match listed {
            Err(error) if super::fault::is_absent(&error) => return Ok(()),
            listed => listed?,
        };
        for (name, is_dir) in entries {
            let path = dir.join(name);
            if is_dir {
                self.remove_tree(&path)?;
            } else {
                self.call(true)?.tree.unlink(&path)?;
            }
        }
        self.call(true)?.tree.rmdir(dir)
    }

    fn rmdir(&self, dir: &Path) -> io::Result<()> {
        self.call(true)?.tree.rmdir(dir)
    }

    fn settle(&self, _root: &Path) -> io::Result<()> {
        let mut inside = self.call(true)?;
        if inside.lie != Lie::Everything {
            inside.tree.sync_all();
        }
        Ok(())
    }

    /// No inode is used again. Nothing is asked of the disk.
    fn identity(&self, dir: &Path) -> Option<Identity> {
        let inode = self.inside().tree.find(dir).ok()?;
        Some(Identity {
            inode: (0, inode as u64),
            born: UNIX_EPOCH,
        })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn stat(&self, path: &Path) -> io::Result<Status> {
        let inside = self.call(false)?;
        let inode = inside.tree.find(path)?;
        Ok(inside.status(inode))
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        Ok(self.stat(path)?.is_dir)
    }

    fn list(&self, dir: &Path, visit: &mut dyn FnMut(Listed<'_>) -> Next) -> io::Result<()> {
        let entries = {
            let inside = self.call(false)?;
            let inode = inside.tree.find(dir)?;
            inside.tree.list(inode)?
        };
        for (name, is_dir) in entries {
            let listed = Listed {
                name: name.into(),
                is_dir: &|| is_dir,
            };
            if visit(listed) == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    fn boot(&self) -> &[u8] {
        &self.boot
    }
}

impl Machine {
    fn sync_names(&self, dir: &Path, lie: Lie) -> io::Result<()> {
        let mut inside = self.call(true)?;
        let inode = inside.tree.find(dir)?;
        if inside.lie != lie && inside.lie != Lie::Everything {
            inside.tree.sync_names(inode);
        }
        Ok(())
    }
}

struct SimulatedFile {
    machine: Machine,
    inode: Inode,
    locks: AtomicBool,
}

impl OpenFile for SimulatedFile {
    /// Nothing interrupts it.
    fn status(&self) -> io::Result<Status> {
        match self.machine.call(false) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(inside) => return Ok(inside.status(self.inode)),
        }
        Ok(self.machine.inside().status(self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inside = self.machine.call(false)?;
        let content = inside.tree.content(self.inode)?;
        let offset = usize::try_from(offset).unwrap().min(content.len());
        let count = buffer.len().min(content.len() - offset);
        buffer[..count].copy_from_slice(&content[offset..offset + count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let (mut inside, fault) = self.machine.called(true, true);
        if let Some(Fault::Error(errno)) = fault {
            return Err(errno.into());
        }
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if fault == Some(Fault::Short) {
            bytes.truncate(bytes.len().div_ceil(2));
        }
        inside.tree.write(self.inode, &bytes, offset);
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut inside, fault) = self.machine.called(true, false);
        if let Some(Fault::Error(errno)) = fault {
            if errno != Errno::INTR {
                inside.tree.fail_to_sync(self.inode);
            }
            return Err(errno.into());
        }
        if !matches!(inside.lie, Lie::Files | Lie::Everything) {
            inside.tree.sync(self.inode);
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<bool> {
        let free = self.machine.inside().locked.insert(self.inode);
        self.locks.fetch_or(free, Ordering::Relaxed);
        Ok(free)
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        if self.locks.load(Ordering::Relaxed) {
            self.machine.inside().locked.remove(&self.inode);
        }
    }
}

#[cfg(test)]
#[path = "simulated_tests.rs"]
mod tests;
