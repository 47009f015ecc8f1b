//! C1 to C3: registers a mark, and reads what must stay: intents, then every
//! repository's links and what they reach.
//!
//! Memory is bounded by the cells of one pass ([`super::reached::MOST`]), those
//! of the largest repository, and some 100 bytes for each repository. A store
//! with more cells is collected in several passes, each over a part of the
//! digests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::collection::{Collector, Failure};
use super::passes::Course;
use super::reached::{Cell, Reached, cell};
use super::reading::Reading;
use super::records::Registered;
use crate::oci::{Digest, RepositoryName};
use crate::registry::usage::Measured;
use crate::storage::{Version, layout};

/// Repositories that one walk names.
const NAMES: usize = 10_000;

/// Repositories after which it is looked whether a checkpoint is due.
const AT_ONCE: usize = 16;

/// How deep indexes of indexes are followed; each that is linked itself begins
/// anew.
pub(super) const DEPTH: usize = 100;

/// A part of all digests: those whose first byte lies in a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) first: u8,
    pub(super) last: u8,
}

/// How far a pass is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// Intents were read, unless nothing was, and repositories up to this one.
    Reading(Option<String>),
    /// All of them, and the blobs of shards below this one were swept.
    Sweeping(u16),
}

/// What stays.
pub(super) struct Mark {
    /// As it is registered.
    pub(super) name: String,
    /// The store's own time when it was registered.
    pub(super) now: SystemTime,
    /// The record by which it is registered.
    pub(super) record: Option<Version>,
    /// Where to go on.
    pub(super) place: Place,
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
    /// One that another process has registered; its part is that of the pass.
    pub(super) fn resumed(
        name: String,
        now: SystemTime,
        record: Version,
        place: Place,
        found: Found,
    ) -> Self {
        Self {
            name,
            now,
            record: Some(record),
            place,
            part: Part { first: 0, last: 0 },
            found: Mutex::new(found),
        }
    }

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
    /// C1 for a part of the digests.
    pub(super) async fn mark(&self, part: Part) -> Result<Mark, Failure> {
        let store = self.registry().store();
        let name = Registered::new_mark();
        let key = layout::run(&name);
        if !self.options().dry_run {
            // C1
            store.post(&key, Bytes::new()).await?;
        }
        let registered = store.head(&key).await?;
        Ok(Mark {
            now: registered.map_or_else(SystemTime::now, |meta| meta.modified),
            record: registered.map(|meta| meta.version),
            place: Place::Reading(None),
            name,
            part,
            found: Mutex::default(),
        })
    }

    /// C2 and C3, or what is left of them; a checkpoint follows now and then.
    pub(super) async fn read_roots(
        &self,
        course: &mut Course,
        mark: &mut Mark,
    ) -> Result<(), Failure> {
        let mut after = match &mark.place {
            Place::Sweeping(_) => return Ok(()),
            Place::Reading(Some(after)) => after.clone(),
            Place::Reading(None) => {
                // C2
                for intent in self.registry().intents().await? {
                    for digest in self.registry().needed_by(&intent).await? {
                        mark.stays(&digest);
                    }
                }
                String::new()
            }
        };
        course.saving.begin();
        // C3
        loop {
            let names = self.registry().directories(Some(&after), NAMES).await?;
            if names.is_empty() {
                break;
            }
            let mut names = names.into_iter().peekable();
            while names.peek().is_some() {
                let due = self.due(&course.saving);
                after = self.read_until(due, mark, &mut names).await?;
                if self.is_due(&course.saving) {
                    let place = Place::Reading(Some(after.clone()));
                    self.paced(self.save(course, mark, place)).await;
                }
            }
        }
        mark.place = Place::Sweeping(mark.part.first.into());
        Ok(())
    }

    /// Reads repositories until a checkpoint is due; none is half read then.
    /// Returns the last.
    async fn read_until(
        &self,
        due: Option<Instant>,
        mark: &Mark,
        names: &mut impl Iterator<Item = RepositoryName>,
    ) -> Result<String, Failure> {
        let mut last = None;
        let mut number = u32::try_from(mark.found().repositories.len()).unwrap_or(u32::MAX - 2);
        loop {
            let most = due.map_or(NAMES, |_| AT_ONCE);
            let some: Vec<_> = names.take(most).collect();
            let Some(name) = some.last() else { break };
            last = Some(name.to_string());
            let count = u32::try_from(some.len()).unwrap_or_default();
            stream::iter(some.into_iter().zip(number..))
                .map(|(name, number)| {
                    let reading = self.paced(self.read_repository(mark, name, number));
                    reading.boxed()
                })
                .buffer_unordered(self.jobs())
                .try_for_each(|()| async { Ok(()) })
                .await?;
            number = number.saturating_add(count);
            if due.is_some_and(|due| due <= Instant::now()) {
                break;
            }
        }
        Ok(last.unwrap_or_default())
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
