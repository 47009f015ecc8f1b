//! How far a collection is, for whoever shows progress.

use std::sync::atomic::{AtomicU64, Ordering};

/// The shards that blobs lie in.
const SHARDS: f64 = 256.0;

/// Counts that go up while a collection runs.
#[derive(Debug, Default)]
pub struct Meter {
    repositories: AtomicU64,
    manifests: AtomicU64,
    dangling: AtomicU64,
    needed_bytes: AtomicU64,
    shards: AtomicU64,
    removed: AtomicU64,
    removed_bytes: AtomicU64,
}

/// All of it, for whoever goes on.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct Tally {
    repositories: u64,
    manifests: u64,
    dangling: u64,
    needed_bytes: u64,
    shards: u64,
}

/// What a meter shows at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Repositories that were read.
    pub repositories: u64,
    /// Manifests that were read.
    pub manifests: u64,
    /// Names that were removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

impl Meter {
    /// What was done so far.
    pub fn counts(&self) -> Counts {
        Counts {
            repositories: self.repositories.load(Ordering::Relaxed),
            manifests: self.manifests.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
            removed_bytes: self.removed_bytes.load(Ordering::Relaxed),
        }
    }

    /// How much of the blobs was looked at, from 0 to 1; 0 while repositories
    /// are read.
    pub fn place(&self) -> f64 {
        self.shards.load(Ordering::Relaxed) as f64 / SHARDS
    }

    /// What is to be told to [`Self::resume`].
    pub(super) fn tally(&self) -> Tally {
        Tally {
            repositories: self.repositories.load(Ordering::Relaxed),
            manifests: self.manifests.load(Ordering::Relaxed),
            dangling: self.dangling.load(Ordering::Relaxed),
            needed_bytes: self.needed_bytes.load(Ordering::Relaxed),
            shards: self.shards.load(Ordering::Relaxed),
        }
    }

    /// Goes on where another one was.
    pub(super) fn resume(&self, tally: Tally) {
        self.repositories
            .store(tally.repositories, Ordering::Relaxed);
        self.manifests.store(tally.manifests, Ordering::Relaxed);
        self.dangling.store(tally.dangling, Ordering::Relaxed);
        self.needed_bytes
            .store(tally.needed_bytes, Ordering::Relaxed);
        self.shards.store(tally.shards, Ordering::Relaxed);
    }

    pub(super) fn repository(&self) {
        self.repositories.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn manifest(&self) {
        self.manifests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dangling(&self) {
        self.dangling.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn all_dangling(&self) -> u64 {
        self.dangling.load(Ordering::Relaxed)
    }

    pub(super) fn needed(&self, size: u64) {
        self.needed_bytes.fetch_add(size, Ordering::Relaxed);
    }

    pub(super) fn needed_bytes(&self) -> u64 {
        self.needed_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn shard(&self) {
        self.shards.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn removed(&self, size: u64) {
        self.removed.fetch_add(1, Ordering::Relaxed);
        self.removed_bytes.fetch_add(size, Ordering::Relaxed);
    }
}
