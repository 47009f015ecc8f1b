//! C1 to C3: registers a mark, and reads what must stay: intents, then every
//! repository's links and what they reach.
//!
//! Memory is bounded by the cells of one pass ([`super::reached::MOST`]), those
//! of the largest repository, and some 100 bytes for each repository. A store
//! with more cells is collected in several passes, each over a part of the
//! digests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::collection::{Collector, Failure};
use super::reached::{Cell, Reached, cell};
use super::reading::Reading;
use super::records::Registered;
use crate::oci::{Digest, RepositoryName};
use crate::registry::usage::Measured;
use crate::storage::layout;

/// Repositories that one walk names.
const NAMES: usize = 10_000;

/// How deep indexes of indexes are followed; each that is linked itself begins
/// anew.
pub(super) const DEPTH: usize = 100;

/// A part of all digests: those whose first byte lies in a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) first: u8,
    pub(super) last: u8,
}

/// What stays.
pub(super) struct Mark {
    /// As it is registered.
    pub(super) name: String,
    /// The store's own time when it was registered.
    pub(super) now: SystemTime,
    pub(super) part: Part,
    found: Mutex<Found>,
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) reached: Reached,
    /// By the numbers that `reached` knows them by, with directories that only
    /// lead to others.
    pub(super) repositories: Vec<Measured>,
    /// Those that hold anything.
    pub(super) holding: u64,
    /// Those with links that nothing needs, or empty directories.
    pub(super) untidy: Vec<RepositoryName>,
}

impl Part {
    pub(super) fn has(self, cell: &Cell) -> bool {
        (self.first..=self.last).contains(&cell[0])
    }
}

impl Mark {
    pub(super) fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is too young to go.
    pub(super) fn is_young(&self, modified: SystemTime, grace: Duration) -> bool {
        // What seems to come from the future is young.
        !grace.is_zero()
            && self
                .now
                .duration_since(modified)
                .is_ok_and(|age| age < grace)
            || self.now < modified && !grace.is_zero()
    }

    pub(super) fn stays(&self, digest: &Digest) {
        let cell = cell(digest);
        if self.part.has(&cell) {
            self.found().reached.stays(cell);
        }
    }
}

impl Collector {
    /// C1 to C3 for a part of the digests.
    pub(super) async fn mark(&self, part: Part) -> Result<Mark, Failure> {
        let store = self.registry().store();
        let name = Registered::new_mark();
        let key = layout::run(&name);
        if !self.options().dry_run {
            // C1
            store.post(&key, Bytes::new()).await?;
        }
        let registered = store.head(&key).await?;
        let mark = Mark {
            now: registered.map_or_else(SystemTime::now, |meta| meta.modified),
            name,
            part,
            found: Mutex::default(),
        };
        if let Err(failure) = self.read_roots(&mark).await {
            self.unmark(&mark.name).await;
            return Err(failure);
        }
        Ok(mark)
    }

    async fn read_roots(&self, mark: &Mark) -> Result<(), Failure> {
        // C2
        for intent in self.registry().intents().await? {
            for digest in self.registry().needed_by(&intent).await? {
                mark.stays(&digest);
            }
        }
        // C3
        let mut after = String::new();
        let mut number = 0;
        loop {
            let names = self.registry().directories(Some(&after), NAMES).await?;
            let Some(last) = names.last() else {
                return Ok(());
            };
            after = last.to_string();
            stream::iter(names.into_iter().zip(number..))
                .map(|(name, number)| {
                    let reading = self.paced(self.read_repository(mark, name, number));
                    reading.boxed()
                })
                .buffer_unordered(self.jobs())
                .try_for_each(|()| async { Ok(()) })
                .await?;
            number = u32::try_from(mark.found().repositories.len()).unwrap_or(u32::MAX - 2);
        }
    }

    async fn read_repository(
        &self,
        mark: &Mark,
        name: RepositoryName,
        number: u32,
    ) -> Result<(), Failure> {
        self.check_stopped()?;
        let mut repository = Reading::new(self, mark, name, number);
        repository.enter();
        repository.manifests().await?;
        repository.layers().await?;
        repository.leave().await
    }
}
