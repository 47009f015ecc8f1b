//! The filesystem back end: registry:2's tree under one root directory.
//!
//! [`durable`] holds the order of writes, [`stage`] and [`append`] the uploads,
//! [`read`] and [`cached`] the way out, [`list`] the directories; [`disk`] is
//! what all of them ask of a file system, [`posix`] the real one. Linux only:
//! reads answer from its page cache where they can.

mod append;
mod aside;
mod blocks;
mod cached;
mod disk;
mod durable;
mod fault;
mod hold;
mod known;
mod latch;
mod list;
mod patient;
mod posix;
mod read;
mod root;
#[cfg(test)]
pub(crate) mod simulated;
mod stage;
mod survey;
mod tidy;
mod together;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use self::append::FileUpload;
use self::blocks::Blocks;
use self::disk::Disk;
use self::durable::Durable;
use self::fault::{during, unread, unwritten};
use self::patient::Patient;
use self::posix::Posix;
pub use self::posix::SyncMode;
use self::read::{EAGER, Reader, Source, open_now, read_now};
use self::stage::Session;
pub use self::survey::{Oddity, Survey};
use self::workers::Workers;
use super::{
    Aside, Child, Created, Hold, Key, MAX_RECORD, Meta, Object, Prefix, Reading, Space, Stage,
    StorageError, Store, Upload,
};
use crate::oci::UploadId;

/// `storage.filesystem` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `rootdirectory`: where the tree begins.
    pub root: PathBuf,
    /// `maxthreads`: the most file operations at once.
    pub max_threads: usize,
    /// `sync`: whether writes wait for the medium.
    pub sync: SyncMode,
}

/// Keys as files.
pub struct Files {
    durable: Arc<Durable>,
    reader: Reader,
    writable: bool,
}

impl Files {
    /// Opens the tree, and makes its root directory if it is missing. Blocks;
    /// for the start of the program.
    ///
    /// # Errors
    /// The root can't be made, read or written: the text names it, who owns it,
    /// who we are and what to do. A full volume is no error, since it can be
    /// read and deletes make room.
    pub fn open(settings: &Settings) -> Result<Self, StorageError> {
        let root = root::prepare(&settings.root)?;
        Ok(Self::at(root, true, settings))
    }

    /// Opens a tree that will only be read: its volume may be mounted read-only.
    ///
    /// # Errors
    /// The root isn't there or can't be read.
    pub fn open_read_only(settings: &Settings) -> Result<Self, StorageError> {
        let root = root::existing(&settings.root)?;
        Ok(Self::at(root, false, settings))
    }

    fn at(root: PathBuf, writable: bool, settings: &Settings) -> Self {
        let disk = Patient(Posix::new(&root, settings.sync));
        let workers = Workers::new(settings.max_threads);
        Self {
            writable,
            ..Self::over(Arc::new(disk), root, workers)
        }
    }

    /// The tree at `root` of a file system.
    fn over(disk: Arc<dyn Disk>, root: PathBuf, workers: Workers) -> Self {
        Self {
            durable: Arc::new(Durable::new(disk.clone(), root)),
            reader: Reader {
                disk,
                workers,
                blocks: Blocks::default(),
            },
            writable: true,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.durable.root().join(below)
    }

    fn session(&self, stage: &Stage) -> Session {
        Session::new(self.durable.root(), stage)
    }

    /// Runs a job with the writer on a worker.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Durable) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let durable = self.durable.clone();
        self.reader.workers.run(move || job(&durable)).await
    }
}

#[async_trait]
impl Store for Files {
    async fn head(&self, key: &Key) -> Result<Option<Meta>, StorageError> {
        self.reader.head(&self.path(key.as_str())).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        let found = self
            .reader
            .open(&self.path(key.as_str()), MAX_RECORD)
            .await?;
        match found.map(|found| (found.content, found.meta.size)) {
            None => Ok(None),
            Some((Source::Whole(content), _)) => Ok(Some(content)),
            Some((Source::File(..), size)) => Err(StorageError::TooLarge {
                key: key.as_str().to_owned(),
                size,
            }),
        }
    }

    async fn open(&self, key: &Key, _: Reading) -> Result<Option<Object>, StorageError> {
        let found = self.reader.open(&self.path(key.as_str()), EAGER).await?;
        Ok(found.map(|found| Object {
            meta: found.meta,
            content: Arc::new(found.content),
        }))
    }

    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        let path = self.path(key.as_str());
        self.run(move |durable| durable.put(&path, &content).map_err(unwritten))
            .await
    }

    async fn create(&self, key: &Key, content: Bytes) -> Result<Created, StorageError> {
        let path = self.path(key.as_str());
        self.run(move |durable| durable.create(&path, &content).map_err(unwritten))
            .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StorageError> {
        let path = self.path(key.as_str());
        self.run(move |durable| durable.delete(&path).map_err(unwritten))
            .await
    }

    async fn set_aside(&self, key: &Key, to: &Key, version: &Meta) -> Result<Aside, StorageError> {
        let (from, to) = (self.path(key.as_str()), self.path(to.as_str()));
        let version = *version;
        self.run(move |durable| aside::set_aside(durable, &from, &to, &version))
            .await
    }

    async fn post(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        let path = self.path(key.as_str());
        self.run(move |durable| durable.post(&path, &content).map_err(unwritten))
            .await
    }

    async fn withdraw(&self, key: &Key) -> Result<(), StorageError> {
        let path = self.path(key.as_str());
        self.run(move |durable| durable.withdraw(&path).map_err(unwritten))
            .await
    }

    async fn settle(&self) -> Result<(), StorageError> {
        self.run(|durable| durable.settle().map_err(unwritten))
            .await
    }

    /// Until the machine starts anew; where others write too, nobody knows of
    /// their power cuts.
    fn era(&self) -> Option<String> {
        let disk = self.durable.disk();
        let boot = || String::from_utf8_lossy(disk.boot()).trim().to_owned();
        (self.writable && !disk.is_shared()).then(boot)
    }

    async fn hold(&self, key: &Key) -> Result<Hold, StorageError> {
        if !self.writable {
            return Ok(Hold::Unknown);
        }
        let path = self.path(key.as_str());
        self.run(move |durable| hold::hold(durable, &path)).await
    }

    async fn tidy(&self, prefix: &Prefix) -> Result<(), StorageError> {
        let (path, floor) = (self.path(prefix.as_str()), self.path(prefix.floor()));
        self.run(move |durable| tidy::tidy(durable, &path, &floor).map_err(unwritten))
            .await
    }

    async fn delete_all(&self, prefix: &Prefix) -> Result<(), StorageError> {
        let path = self.path(prefix.as_str());
        self.run(move |durable| durable.delete_all(&path).map_err(unwritten))
            .await
    }

    async fn children(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let (path, after) = (self.path(prefix.as_str()), after.map(str::to_owned));
        let list =
            move |durable: &Durable| list::children(durable.disk(), &path, after.as_deref(), limit);
        self.run(list).await
    }

    async fn exists(&self, prefix: &Prefix) -> Result<bool, StorageError> {
        self.reader.is_dir(&self.path(prefix.as_str())).await
    }

    async fn begin(&self, stage: &Stage, started_at: &str) -> Result<(), StorageError> {
        let (session, started_at) = (self.session(stage), started_at.to_owned());
        self.run(move |durable| session.begin(durable, &started_at))
            .await
    }

    async fn staged(&self, stage: &Stage) -> Result<Option<u64>, StorageError> {
        let session = self.session(stage);
        self.run(move |durable| session.size(durable.disk())).await
    }

    async fn resume(&self, stage: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError> {
        let (session, durable) = (self.session(stage), self.durable.clone());
        let open = move || session.open(&durable);
        Ok(match self.reader.workers.run_when_free(open).await? {
            Some(opened) => Some(Box::new(FileUpload::new(self, opened))),
            None => None,
        })
    }

    async fn discard(&self, stage: &Stage) -> Result<(), StorageError> {
        let session = self.session(stage);
        self.run(move |durable| session.discard(durable)).await
    }

    /// Files are served by us.
    async fn address(&self, _: &Key) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    async fn probe(&self) -> Result<(), StorageError> {
        if !self.writable {
            let look = |durable: &Durable| root::existing(durable.root()).map(drop);
            return self.run(look).await;
        }
        let path = self.path(Key::probe(&UploadId::random()).as_str());
        self.run(move |durable| probe(durable, &path)).await
    }

    async fn space(&self) -> Result<Option<Space>, StorageError> {
        let measure = |durable: &Durable| {
            let volume = rustix::fs::statvfs(durable.root())
                .map_err(|error| unread(durable.root(), &error.into()))?;
            Ok(Some(Space {
                free: volume.f_bavail.saturating_mul(volume.f_frsize),
                total: volume.f_blocks.saturating_mul(volume.f_frsize),
                free_files: volume.f_favail,
                total_files: volume.f_files,
            }))
        };
        self.run(measure).await
    }
}

/// Writes, syncs, reads and removes a record.
fn probe(durable: &Durable, path: &Path) -> Result<(), StorageError> {
    const CONTENT: &[u8] = b"wharf";
    durable.put(path, CONTENT).map_err(unwritten)?;
    let read = open_now(durable.disk(), path).and_then(|found| match found {
        Some((file, meta)) => read_now(&*file, meta.size).map(Some),
        None => Ok(None),
    });
    durable.delete(path).map_err(unwritten)?;
    if read.map_err(|error| unread(path, &error))?.as_deref() == Some(CONTENT) {
        Ok(())
    } else {
        let error = std::io::Error::other("it holds something else than what was written to it");
        Err(StorageError::Unavailable(during("trust", path, &error)))
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
