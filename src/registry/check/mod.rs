//! Looks whether a store is what docs/durability.md promises: every blob has its
//! digest, every link leads somewhere, every manifest has its parts, every tag
//! a manifest, every subject its referrers.
//!
//! The bytes come first ([`blobs`]), in the order of their digests, then the
//! repositories in the order of their names ([`repositories`]), so that a check
//! can go on where another ended ([`Checkpoint`]). Within a repository things
//! are looked at as [`inspect`] says. The registry may be served meanwhile:
//! what looks wrong is looked at once more, a while later, and only then told
//! ([`run`]), since a push or delete may have been under way. What can be mended
//! is mended by [`repair`] and [`heal`], if that was asked for.

mod blobs;
mod finding;
mod heal;
mod inspect;
mod known;
mod meter;
mod pace;
mod record;
mod repair;
mod repositories;
mod run;
mod scrub;
mod sessions;
mod strange;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use finding::{Finding, Kind, Place};
pub use heal::{Source, SourceError};
pub use meter::{Counts, Meter};
pub use pace::{InvalidRate, Rate};
pub use record::Record;
pub use scrub::{ScrubRecord, Scrubbing, seconds};

use super::{Error, Registry};
use crate::oci::Digest;
use crate::storage::files::Survey;
use crate::storage::{Meta, Store};
use known::Known;
use pace::Pace;

/// How long a push or delete takes from its first write to its last, usually.
const SETTLE: Duration = Duration::from_secs(2);

/// How a check is made.
#[derive(Clone)]
pub struct Options {
    /// Things that are looked at, at once; at least one.
    pub jobs: usize,
    /// The most bytes that are read per second.
    pub rate: Option<Rate>,
    /// Whether what was found is mended, as far as that is possible.
    pub repair: bool,
    /// Where content is fetched from that is damaged or missing; only with `repair`.
    pub source: Option<Arc<dyn Source>>,
    /// Where files lie that no reader sees, on files.
    pub survey: Option<Survey>,
    /// How long after the first look the second one comes.
    pub settle: Duration,
    /// Ends the check early when it is cancelled.
    pub stop: CancellationToken,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 1,
            rate: None,
            repair: false,
            source: None,
            survey: None,
            settle: SETTLE,
            stop: CancellationToken::new(),
        }
    }
}

/// Who is told what happens, while it happens.
pub trait Observer: Send + Sync {
    /// Something is wrong, or left over.
    fn found(&self, _finding: &Finding) {}

    /// Something was done; a line for people.
    fn mended(&self, _deed: &str) {}

    /// A check that is ended after this can go on from here.
    fn reached(&self, _checkpoint: &Checkpoint) {}
}

/// Nobody is told.
impl Observer for () {}

/// How far a check is, and what it has found so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last blob that was looked at.
    pub blob: Option<Digest>,
    /// Whether all blobs were.
    pub blobs_done: bool,
    /// The last repository that was looked at.
    pub repository: Option<String>,
    /// What was looked at.
    pub counts: Counts,
    /// What is wrong; the first 100,000.
    pub findings: Vec<Record>,
    /// What is left over; the first 10,000.
    pub notes: Vec<Record>,
    /// What was done about it.
    pub mended: Vec<String>,
}

/// What came of a check.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether it came to its end; else it can go on from `reached`.
    pub complete: bool,
    /// How far it came, and everything that was found. After a repair,
    /// `findings` has only what remains.
    pub reached: Checkpoint,
}

/// The store failed altogether.
#[derive(Debug, thiserror::Error)]
#[error("the check ended early: {error}")]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// How far it came.
    pub reached: Box<Checkpoint>,
}

/// Checks one store. Cheap to clone.
#[derive(Clone)]
pub struct Checker {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    options: Options,
    observer: Arc<dyn Observer>,
    pace: Pace,
    meter: Arc<Meter>,
    /// The blobs that are there.
    known: RwLock<Known>,
    /// Those whose bytes are wrong, and which version that is.
    damaged: Mutex<HashMap<Digest, Meta>>,
}

impl Checker {
    /// A check of the registry's store, by the registry's own settings.
    pub fn new(registry: Registry, options: Options, observer: Arc<dyn Observer>) -> Self {
        Self {
            inner: Arc::new(Inner {
                pace: Pace::new(options.rate),
                registry,
                options,
                observer,
                meter: Arc::default(),
                known: RwLock::default(),
                damaged: Mutex::default(),
            }),
        }
    }

    /// How far it is, for whoever shows progress.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.inner.meter)
    }

    /// Checks everything behind `from`, or everything if that is empty.
    ///
    /// # Errors
    /// The store failed altogether; what is wrong with single things is a finding.
    pub async fn run(&self, from: Checkpoint) -> Result<Report, Failure> {
        run::run(self, from).await
    }

    fn store(&self) -> &dyn Store {
        self.inner.registry.store()
    }

    fn options(&self) -> &Options {
        &self.inner.options
    }

    fn jobs(&self) -> usize {
        self.inner.options.jobs.max(1)
    }

    fn damaged(&self) -> MutexGuard<'_, HashMap<Digest, Meta>> {
        self.inner
            .damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
