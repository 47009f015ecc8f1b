//! Pushes of manifests share a repository, deletes have it for themselves.
//!
//! Without that a delete that looked at a tag before a push moved it would
//! remove what the push was acknowledged for. Within this process; for other
//! replicas there is [`super::deleting`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::oci::RepositoryName;

/// Repositories share locks by the hash of their names, so that memory is
/// bounded.
const STRIPES: usize = 64;

/// The locks of all repositories.
#[derive(Clone)]
pub(super) struct Locks(Arc<[RwLock<()>]>);

impl Default for Locks {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| RwLock::new(())).collect())
    }
}

impl Locks {
    /// For a push: beside other pushes.
    pub(super) async fn share(&self, name: &RepositoryName) -> Option<RwLockReadGuard<'_, ()>> {
        Some(self.of(name)?.read().await)
    }

    /// For a delete: alone.
    pub(super) async fn alone(&self, name: &RepositoryName) -> Option<RwLockWriteGuard<'_, ()>> {
        Some(self.of(name)?.write().await)
    }

    fn of(&self, name: &RepositoryName) -> Option<&RwLock<()>> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % STRIPES as u64).ok()?;
        self.0.get(index)
    }
}
