//! What a registry does, in its own words: repositories, manifests, tags,
//! referrers, uploads. Knows neither headers nor paths.
//!
//! [`Registry`] is the whole; [`Repository`] is a name bound to it, and
//! everything that happens within one repository hangs on it. Writes follow the
//! order of docs/durability.md: content, then the links to it, then what
//! names it; each is durable before the next begins, and all of them before
//! the caller is told.

mod blobs;
mod catalog;
pub mod check;
mod children;
mod content;
#[cfg(test)]
mod crashes;
mod deleting;
mod error;
mod fallback;
pub mod gc;
mod hasher;
mod immutable;
mod integrity;
mod links;
mod locks;
mod manifests;
mod parts;
mod promises;
mod pulls;
mod purge;
mod referrers;
pub mod removal;
pub mod retention;
mod sessions;
mod settings;
mod sight;
mod store_id;
mod tags;
#[cfg(test)]
mod tests;
mod uploaders;
mod uploads;
pub mod usage;

use std::future::Future;
use std::sync::Arc;

pub use blobs::{Blob, BlobSource, Reading};
pub use error::Error;
pub use immutable::{Immutable, ImmutableRule, ImmutableTags};
pub use integrity::Alarm;
pub use manifests::{PutManifest, StoredManifest};
pub use pulls::PullTimes;
pub use purge::Purged;
pub use referrers::Referrers;
pub use settings::{Children, IndexChildren, Limits, Platform, Purging, Settings, Validation};
pub use sight::Sight;
pub use store_id::{InvalidStoreId, StoreId};
pub use uploaders::Uploader;
pub use uploads::ChunkRange;

use crate::oci::RepositoryName;
use crate::storage::{Room, Store};
use deleting::Announcements;
use integrity::Integrity;
use locks::Locks;
use promises::Promises;
use pulls::Pulls;
use sessions::Sessions;
use usage::Usage;

/// A registry over a store. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    store_id: Option<StoreId>,
}

struct Inner {
    store: Arc<dyn Store>,
    settings: Settings,
    sessions: Sessions,
    uploads: uploaders::Open,
    room: Room,
    locks: Locks,
    announcements: Announcements,
    integrity: Integrity,
    promises: Promises,
    pulls: Pulls,
    usage: Usage,
}

/// One repository, whether or not anything is in it. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    registry: Registry,
    name: RepositoryName,
    uploader: Uploader,
    /// How many bytes the request says that it will send.
    announced: Option<u64>,
    /// Whether tags that exist are left as they are.
    creating: bool,
}

/// One page of a listing, in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// After which name the next page begins, if more follow.
    pub next: Option<String>,
}

impl Registry {
    /// A registry over `store`.
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        let usage = Usage::default();
        Self {
            inner: Arc::new(Inner {
                room: Room::new(Arc::clone(&store)),
                store,
                settings,
                sessions: Sessions::default(),
                uploads: uploaders::Open::new(usage.clone()),
                locks: Locks::default(),
                announcements: Announcements::default(),
                integrity: Integrity::default(),
                promises: Promises::default(),
                pulls: Pulls::default(),
                usage,
            }),
            store_id: None,
        }
    }

    /// Tells it that no other process serves its store, so that what one left
    /// behind is soon known for what it is.
    pub fn alone(&self) {
        self.inner.announcements.are_of_predecessors();
    }

    /// The same registry, told to behave otherwise. Uploads go on.
    pub fn with_settings(&self, settings: Settings) -> Self {
        let Inner {
            store,
            sessions,
            uploads,
            room,
            locks,
            announcements,
            integrity,
            promises,
            pulls,
            usage,
            ..
        } = &*self.inner;
        Self {
            inner: Arc::new(Inner {
                store: Arc::clone(store),
                settings,
                sessions: sessions.clone(),
                uploads: uploads.clone(),
                room: room.clone(),
                locks: locks.clone(),
                announcements: announcements.clone(),
                integrity: integrity.clone(),
                promises: promises.clone(),
                pulls: pulls.clone(),
                usage: usage.clone(),
            }),
            store_id: self.store_id,
        }
    }

    /// Says whom to tell that stored content was found damaged.
    pub fn on_damage(&self, alarm: Alarm) {
        self.inner.integrity.on_damage(alarm);
    }

    /// How it was told to behave.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The repository of that name.
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository {
            registry: self.clone(),
            name: name.clone(),
            uploader: Uploader::Unknown,
            announced: None,
            creating: false,
        }
    }

    /// How much room its store has.
    pub fn room(&self) -> &Room {
        &self.inner.room
    }

    /// Looks whether there is room for new content, and says so in the log when
    /// that has changed.
    ///
    /// # Errors
    /// [`Error::LittleRoom`] below `limits.freespace`.
    pub async fn check_room(&self) -> Result<(), Error> {
        if self.room().is_low(self.settings().limits.free_space).await {
            Err(Error::LittleRoom)
        } else {
            Ok(())
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    fn integrity(&self) -> &Integrity {
        &self.inner.integrity
    }
}

impl Repository {
    /// The same repository, with the uploads that are begun counted as this
    /// one's.
    #[must_use]
    pub fn for_uploader(mut self, uploader: Uploader) -> Self {
        self.uploader = uploader;
        self
    }

    /// The same repository, for a request that says how many bytes it will send.
    #[must_use]
    pub fn announcing(mut self, bytes: Option<u64>) -> Self {
        self.announced = bytes;
        self
    }

    /// Its name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    fn store(&self) -> &dyn Store {
        self.registry.store()
    }

    fn settings(&self) -> &Settings {
        self.registry.settings()
    }

    fn integrity(&self) -> &Integrity {
        self.registry.integrity()
    }

    fn locks(&self) -> &Locks {
        &self.registry.inner.locks
    }

    /// Whether something new may be begun: neither switched off nor without room.
    async fn check_accepting(&self) -> Result<(), Error> {
        self.check_writable()?;
        self.registry.check_room().await
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.settings().read_only {
            Err(Error::ReadOnly)
        } else {
            Ok(())
        }
    }

    fn check_deletable(&self) -> Result<(), Error> {
        self.check_writable()?;
        if self.settings().delete {
            Ok(())
        } else {
            Err(Error::DeleteDisabled)
        }
    }
}

/// Runs a commit to its end even if the client hangs up: what has begun to be
/// written is either finished or never visible.
async fn uncancelled<T: Send + 'static>(
    commit: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(commit).await {
        Ok(result) => result,
        Err(_) => Err(Error::Stopped),
    }
}
