//! Retention: which tags stay, and what goes with those that don't.
//!
//! A rule says why tags stay ([`decide`]). Who loses its last tag goes, and with
//! it an index's children and a subject's referrers that nothing else needs
//! ([`plan`], [`graph`]). Nothing but links is removed, as a user's delete does
//! ([`remove`]); the bytes are for the next collection. Manifests that no tag
//! names are removed in the same way.
//!
//! A repository is looked at as a whole ([`view`]), and once more, under an
//! announcement, before anything of it is removed: what was pushed or pulled
//! meanwhile stays.

mod decide;
mod graph;
mod plan;
mod record;
#[cfg(test)]
mod removal_tests;
mod remove;
mod run;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod version;
mod view;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use decide::Verdict;
pub use plan::{Plan, PlannedManifest, PlannedTag};
pub use record::RetentionRecord;
pub use remove::Removed;
pub use settings::{Keep, Newest, Order, Rule, Settings};

use super::Error;
use crate::oci::{Digest, RepositoryName};
use crate::storage::StorageError;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this repository.
    pub repository: Option<RepositoryName>,
    /// Whether nothing is removed.
    pub dry_run: bool,
    /// How long one announcement stands: pushes wait for its end, and others
    /// take it for one of a dead process after 2 s on files and after 60 s in
    /// an object store.
    pub batch: Duration,
    /// Ends the run early when it is cancelled.
    pub stop: CancellationToken,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            repository: None,
            dry_run: false,
            batch: Duration::from_secs(1),
            stop: CancellationToken::new(),
        }
    }
}

/// Who is told what happens, while it happens.
pub trait Observer: Send + Sync {
    /// This would go, or goes now. Only repositories that a rule decides about,
    /// or where something goes.
    fn planned(&self, _plan: &Plan) {}

    /// This went.
    fn removed(&self, _repository: &RepositoryName, _removed: &Removed) {}

    /// Nothing more is removed of this repository by this run.
    fn failed(&self, _repository: &RepositoryName, _why: &Failure) {}
}

/// Nobody is told.
impl Observer for () {}

/// What came of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Repositories that were looked at.
    pub repositories: u64,
    /// What went; with [`Options::dry_run`], what would go.
    pub removed: Removed,
    /// Repositories that something was wrong with.
    pub failed: u64,
}

/// Why nothing, or no more, is removed of a repository.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the manifest needs can't be known.
    #[error(
        "the manifest {0} can't be read, so what it needs isn't known and nothing is removed: push it again or delete it (`wharf check` tells more)"
    )]
    Unreadable(Digest),
    /// One look takes longer than an announcement may stand.
    #[error(
        "it takes {0:?} to look at it once more, longer than pushes may be kept waiting, so nothing is removed: try again when the storage has less to do"
    )]
    TooSlow(Duration),
    /// Anything else.
    #[error(transparent)]
    Registry(#[from] Error),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Registry(error.into())
    }
}
