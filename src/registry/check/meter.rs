//! How much was looked at, counted while it happens.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a check has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Blobs and manifests that were hashed.
    pub blobs: u64,
    /// Bytes that were read of them.
    pub bytes: u64,
    /// Repositories.
    pub repositories: u64,
    /// Manifests in repositories.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Findings, also those beyond what is kept.
    pub findings: u64,
    /// Notes, likewise.
    pub notes: u64,
}

/// Counts that go up, and how far the check is.
#[derive(Debug, Default)]
pub struct Meter {
    blobs: AtomicU64,
    bytes: AtomicU64,
    repositories: AtomicU64,
    manifests: AtomicU64,
    tags: AtomicU64,
    findings: AtomicU64,
    notes: AtomicU64,
    /// Of the blobs, in millionths.
    place: AtomicU64,
}

impl Meter {
    /// What was looked at so far.
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            blobs: read(&self.blobs),
            bytes: read(&self.bytes),
            repositories: read(&self.repositories),
            manifests: read(&self.manifests),
            tags: read(&self.tags),
            findings: read(&self.findings),
            notes: read(&self.notes),
        }
    }

    /// Which part of the blobs was read, from 0 to 1: digests are spread evenly,
    /// so the place of the last one tells, and nothing has to be counted first.
    pub fn place(&self) -> f64 {
        self.place.load(Ordering::Relaxed) as f64 / 1e6
    }

    pub(super) fn restore(&self, counts: &Counts) {
        let write = |count: &AtomicU64, value| count.store(value, Ordering::Relaxed);
        write(&self.blobs, counts.blobs);
        write(&self.bytes, counts.bytes);
        write(&self.repositories, counts.repositories);
        write(&self.manifests, counts.manifests);
        write(&self.tags, counts.tags);
        write(&self.findings, counts.findings);
        write(&self.notes, counts.notes);
    }

    pub(super) fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A blob is done; `hex` is its digest.
    pub(super) fn blob(&self, hex: &str) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
        self.passed(hex);
    }

    /// The walk is behind this digest.
    pub(super) fn passed(&self, hex: &str) {
        let beginning = hex
            .get(..8)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if let Some(beginning) = beginning {
            let place = (u64::from(beginning) * 1_000_000) >> 32;
            self.place.fetch_max(place, Ordering::Relaxed);
        }
    }

    pub(super) fn blobs_done(&self) {
        self.place.store(1_000_000, Ordering::Relaxed);
    }

    pub(super) fn repository(&self, manifests: u64, tags: u64) {
        self.repositories.fetch_add(1, Ordering::Relaxed);
        self.manifests.fetch_add(manifests, Ordering::Relaxed);
        self.tags.fetch_add(tags, Ordering::Relaxed);
    }

    pub(super) fn found(&self, damage: bool) {
        let count = if damage { &self.findings } else { &self.notes };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
