//! Where the bytes lie: [`Store`], the few verbs that the registry is written
//! against, and the back ends that keep its promises.
//!
//! Two very different engines stand behind the trait (files, object stores),
//! so it speaks of keys and bytes only. [`layout`] is the only place that forms
//! a key.

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
pub(crate) mod faulty;
pub mod files;
pub mod layout;
pub mod object;
mod pages;
pub mod room;

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use layout::{Key, Prefix, Stage};
pub use pages::Pages;
pub use room::{Floor, Room};

/// The driver that `storage` of the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// `filesystem`
    Files(files::Settings),
    /// `s3`, `gcs` or `azure`
    Object(Box<object::Settings>),
}

/// Bytes on their way in or out. An error ends the stream.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The largest record that [`Store::get`] reads into memory, in bytes: more
/// than the largest manifest.
pub const MAX_RECORD: u64 = 8 * 1024 * 1024;

/// A store of keys and bytes.
///
/// For every back end: all methods may be called concurrently, except that
/// one stage has one writer at a time. After `Ok` of a method that promises
/// durability, the effect survives a power cut and is seen by every later call
/// from any process. "Not there" is a value, never an error.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Size and age of a key, or `None` if it is absent.
    async fn head(&self, key: &Key) -> Result<Option<Meta>, StorageError>;

    /// The whole content of a small record (links, manifests), at most
    /// [`MAX_RECORD`] bytes: a whole version, never a mixture of two.
    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError>;

    /// Opens a key for reading: what is read later belongs to the version that
    /// was opened. `reading` is a hint.
    async fn open(&self, key: &Key, reading: Reading) -> Result<Option<Object>, StorageError>;

    /// Replaces a key atomically; durable on return.
    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError>;

    /// Creates a key if it is absent, atomically among all writers; durable on
    /// return, whichever of the two it was.
    async fn create(&self, key: &Key, content: Bytes) -> Result<Created, StorageError>;

    /// Removes a key; absent is success; durable on return.
    async fn delete(&self, key: &Key) -> Result<(), StorageError>;

    /// Moves one version of a key to another key, which nobody else writes:
    /// the version that [`Store::head`] or [`Store::open`] told of. Another
    /// version stays where it is, or comes back there. Durable on return.
    ///
    /// In an object store a push of the same key within the last round trip is
    /// moved too.
    async fn set_aside(&self, key: &Key, to: &Key, version: &Meta) -> Result<Aside, StorageError>;

    /// Puts up a record, atomically, that every process sees on return; a power
    /// cut may take it, or leave another content of it. For what only matters
    /// while somebody runs.
    async fn post(&self, key: &Key, content: Bytes) -> Result<(), StorageError>;

    /// Removes what [`Store::post`] put up; absent is success. A power cut may
    /// bring it back.
    async fn withdraw(&self, key: &Key) -> Result<(), StorageError>;

    /// Waits until everything that any call could see before this one, written
    /// or removed by whichever process, is durable.
    async fn settle(&self) -> Result<(), StorageError>;

    /// Names the time in which nothing that was [posted](Store::post) gets lost,
    /// by whichever process: as long as it is the same, all of it is there. Nothing
    /// where the store can't tell.
    fn era(&self) -> Option<String> {
        None
    }

    /// Has `key` for this process alone until the hold is dropped or the process
    /// is gone, whatever way it ended. The key is used for nothing else.
    async fn hold(&self, key: &Key) -> Result<Hold, StorageError>;

    /// Removes what is left of directories without content, below a prefix and
    /// from it upwards; nothing where the store has no directories. Whoever
    /// writes there meanwhile makes them anew. A power cut may bring them back.
    async fn tidy(&self, prefix: &Prefix) -> Result<(), StorageError>;

    /// Removes everything under a prefix; absent is success; durable on return.
    /// Not atomic: a reader may see part of it gone.
    async fn delete_all(&self, prefix: &Prefix) -> Result<(), StorageError>;

    /// At most `limit` names directly under a prefix, in byte order, those
    /// greater than `after`. Memory is bounded by `limit`. A name present during
    /// the whole call is listed; temporary files never are.
    async fn children(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError>;

    /// Whether anything exists under a prefix (on files: the directory itself).
    async fn exists(&self, prefix: &Prefix) -> Result<bool, StorageError>;

    /// Begins an upload of zero bytes. `started_at` is kept beside it, in
    /// RFC 3339. Not durable: nothing was acknowledged yet.
    async fn begin(&self, stage: &Stage, started_at: &str) -> Result<(), StorageError>;

    /// How many bytes of an upload were kept, or `None` if there is no such
    /// upload.
    async fn staged(&self, stage: &Stage) -> Result<Option<u64>, StorageError>;

    /// Goes on with an upload, whichever process wrote to it before, or `None`
    /// if there is no such upload. Waits a while for another writer.
    async fn resume(&self, stage: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError>;

    /// Forgets an upload and frees its space; absent is success. What was
    /// published of it stays.
    async fn discard(&self, stage: &Stage) -> Result<(), StorageError>;

    /// Where a client may fetch a key's bytes by itself for a while, if the
    /// store can say so. The address grants access: it must not be logged.
    async fn address(&self, key: &Key) -> Result<Option<String>, StorageError>;

    /// Whether the store works: files are written, read and removed, unless they
    /// were opened only for reading; an object store is asked for something.
    async fn probe(&self) -> Result<(), StorageError>;

    /// Free and total bytes of the volume, where that means something.
    async fn space(&self) -> Result<Option<Space>, StorageError>;
}

/// An upload that is being written to: bytes go to its end, and whoever
/// resumes it later finds those that were kept. Dropping it loses what was not.
#[async_trait]
pub trait Upload: Send + Sync {
    /// Bytes so far, kept or not.
    fn size(&self) -> u64;

    /// What [`Upload::keep`] noted last, possibly by another process, and
    /// possibly for fewer bytes than there are. It comes back only while what
    /// it stands for is sure to be unchanged: on files never after a power cut.
    fn note(&self) -> Option<&Bytes>;

    /// Takes every byte that the stream yields before an error of its own,
    /// which comes back as [`StorageError::Interrupted`]. After any other error
    /// the upload has to be resumed anew.
    async fn append(&mut self, content: ByteStream) -> Result<(), StorageError>;

    /// Keeps what was appended, so that another process can go on with it, and
    /// a small note beside it (the state of its hash). Not durable on files.
    ///
    /// # Errors
    /// [`StorageError::WrongOffset`] if another writer was faster.
    async fn keep(&mut self, note: Bytes) -> Result<(), StorageError>;

    /// The bytes from an offset on.
    async fn reread(&self, from: u64) -> Result<ByteStream, StorageError>;

    /// Makes the whole upload visible under a key at once, replacing what was
    /// there; durable on return. Copies nothing through this process. The
    /// bytes may still be put together afterwards. What is left of the session
    /// is for [`Store::discard`].
    async fn publish(self: Box<Self>, key: &Key) -> Result<(), StorageError>;
}

/// What [`Store::head`] tells about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Bytes.
    pub size: u64,
    /// When this version was written, by the store's clock.
    pub modified: SystemTime,
    /// Whether its bytes lie together already; only then they have an
    /// [`address`](Store::address).
    pub assembled: bool,
    /// Which version this is.
    pub version: Version,
}

/// Tells the versions of one key apart: another one as soon as the bytes may be
/// others, whoever wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Version(u64);

impl Version {
    /// The version that a back end knows by what it hashes here.
    pub(crate) fn of(identity: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What will be read of an opened key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All of it: a store may begin to send it at once.
    Whole,
    /// Some of it, or perhaps nothing.
    Parts,
}

/// An opened key.
#[derive(Clone)]
pub struct Object {
    /// Size and age of the version that was opened.
    pub meta: Meta,
    /// Its bytes.
    pub content: Arc<dyn Content>,
}

/// The bytes of one version of a key.
pub trait Content: Send + Sync + 'static {
    /// Streams a range of bytes, which must lie within the size. The stream
    /// ends early with an error if the bytes cannot be had.
    fn read(&self, range: Range<u64>) -> ByteStream;
}

/// What [`Store::create`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The key is new.
    New,
    /// Somebody else's content is there and was left alone.
    Exists,
}

/// What [`Store::hold`] found.
pub enum Hold {
    /// Nobody else has it, in any process. Dropping this gives it back.
    Held(Box<dyn Send + Sync>),
    /// A process that lives has it, perhaps this one.
    Taken,
    /// This store can't tell who lives.
    Unknown,
}

/// What [`Store::set_aside`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// The version was moved.
    Moved,
    /// The key has another version by now, or none.
    Changed,
}

/// One name directly under a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// The last component, without slashes.
    pub name: String,
    /// Whether more lies below it.
    pub is_prefix: bool,
}

/// Room on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files that may still be made.
    pub free_files: u64,
    /// Files in all; 0 if the volume has no bound of them.
    pub total_files: u64,
}

/// Why the store could not do it. The text is for the log: it may name paths.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No space or no inodes are left, or a quota is used up.
    #[error("the storage is full: {0}")]
    Full(#[source] io::Error),
    /// The volume does not allow it (read-only, permissions).
    #[error("the storage refuses to be written: {0}")]
    Refused(#[source] io::Error),
    /// Anything else that failed: try again later.
    #[error("the storage failed: {0}")]
    Unavailable(#[source] io::Error),
    /// The upload has another size than the caller thinks.
    #[error("the upload has {actual} bytes, not {expected}")]
    WrongOffset {
        /// What the caller said.
        expected: u64,
        /// What is there.
        actual: u64,
    },
    /// There is no such upload.
    #[error("there is no such upload")]
    UnknownStage,
    /// The stream that was being appended broke off; its bytes up to there are kept.
    #[error("the content broke off after {size} bytes of the upload: {cause}")]
    Interrupted {
        /// The upload's size now.
        size: u64,
        /// What the stream said.
        cause: io::Error,
    },
    /// A record is larger than [`MAX_RECORD`].
    #[error("`{key}` has {size} bytes, too many for a record")]
    TooLarge {
        /// Which record.
        key: String,
        /// Its size in bytes.
        size: u64,
    },
}
