//! R1 to R8: one run, which removes a few names that nothing needs.

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::collection::{Collector, Failure};
use super::mark::Mark;
use super::reached::{Cell, cell};
use super::records::{Decision, Registered, written};
use crate::oci::Digest;
use crate::storage::{Created, Key, Version, layout};

/// The most names that one run removes: it lasts about a second.
pub(super) const NAMES: usize = 1000;

/// How often a run is tried that pushes made void.
const ATTEMPTS: usize = 5;

/// Names that are removed at once.
const AT_ONCE: usize = 16;

/// A name that nothing needs.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) digest: Digest,
    pub(super) key: Key,
    /// Bytes.
    pub(super) size: u64,
    pub(super) version: Version,
}

/// What came of a run.
#[derive(Default)]
pub(super) struct Ended {
    /// What it removed.
    pub(super) removed: Vec<Candidate>,
    /// Whether it stays registered, since a removal may still come.
    pub(super) unsealed: bool,
}

impl Collector {
    /// Removes what of these candidates is still needed by nobody.
    pub(super) async fn run_over(
        &self,
        mark: &Mark,
        candidates: &[Candidate],
    ) -> Result<Ended, Failure> {
        for _ in 0..ATTEMPTS {
            self.check_stopped()?;
            // Before R1: from there to R5 pushes wait.
            let candidates = self.unchanged(candidates).await?;
            let name = Registered::new_run();
            // R1
            let key = layout::run(&name);
            self.registry().store().post(&key, Bytes::new()).await?;
            let chosen = match self.choose(mark, candidates).await {
                Ok(chosen) if !chosen.is_empty() => chosen,
                outcome => {
                    self.withdraw(&name).await?;
                    return outcome.map(|_| Ended::default());
                }
            };
            if self.decide(&name, &chosen).await? {
                let ended = self.remove(chosen).await;
                if !ended.unsealed {
                    self.withdraw(&name).await?;
                }
                return Ok(ended);
            }
            // A push was faster: it has waited long enough.
            self.withdraw(&name).await?;
        }
        Ok(Ended::default())
    }

    /// The candidates that nobody has written again meanwhile, which are young.
    async fn unchanged(&self, candidates: &[Candidate]) -> Result<Vec<Candidate>, Failure> {
        let store = self.registry().store();
        let looks = stream::iter(candidates.to_vec()).map(|candidate| {
            let look = async move {
                let meta = store.head(&candidate.key).await?;
                let same = meta.is_some_and(|meta| meta.version == candidate.version);
                Ok::<_, Failure>(same.then_some(candidate))
            };
            look.boxed()
        });
        let looked: Vec<_> = looks.buffered(AT_ONCE).collect().await;
        looked.into_iter().filter_map(Result::transpose).collect()
    }

    /// R2 to R4: the candidates that nobody needs by now.
    async fn choose(
        &self,
        mark: &Mark,
        mut candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, Failure> {
        let registry = self.registry();
        let mut needed: Vec<Cell> = Vec::new();
        // R2, then R3.
        let mut intents = registry.intents().await?;
        intents.extend(registry.pushed(&mark.name).await?);
        for intent in intents {
            let digests = registry.needed_by(&intent).await?;
            needed.extend(digests.iter().map(cell));
        }
        // R4
        let stands = registry.store().head(&layout::run(&mark.name)).await?;
        if stands.is_none_or(|record| record.modified != mark.now) {
            return Err(Failure::TakenForDead);
        }
        needed.sort_unstable();
        candidates.retain(|candidate| needed.binary_search(&cell(&candidate.digest)).is_err());
        Ok(candidates)
    }

    /// R5: whether the run may remove them.
    async fn decide(&self, name: &str, chosen: &[Candidate]) -> Result<bool, Failure> {
        let store = self.registry().store();
        let condemned = chosen.iter().map(|one| one.key.as_str().to_owned());
        let decision = written(&Decision {
            condemned: condemned.collect(),
        })?;
        let created = store.create(&layout::decision(name), decision).await?;
        if created == Created::Exists {
            return Ok(false);
        }
        Ok(store.head(&layout::run(name)).await?.is_some())
    }

    /// R6: removes the names, and says whether each removal was answered.
    async fn remove(&self, chosen: Vec<Candidate>) -> Ended {
        let mut ended = Ended::default();
        let mut removals = stream::iter(chosen)
            .map(|candidate| {
                // Garbage that a power cut brings back is garbage still: nobody
                // waits for the disk, and pushes don't wait behind it.
                let removal = async move {
                    let removed = self.registry().store().withdraw(&candidate.key).await;
                    (candidate, removed)
                };
                removal.boxed()
            })
            .buffer_unordered(AT_ONCE);
        while let Some((candidate, removed)) = removals.next().await {
            match removed {
                Ok(()) => {
                    self.observer().removed(&candidate.digest, candidate.size);
                    self.counts().removed(candidate.size);
                    ended.removed.push(candidate);
                }
                Err(error) => {
                    tracing::warn!(digest = %candidate.digest, %error, "whether this was removed is not known; until its run is taken for dead, what is pushed of it gets another name");
                    ended.unsealed = true;
                }
            }
        }
        ended
    }

    /// R7 and R8.
    async fn withdraw(&self, name: &str) -> Result<(), Failure> {
        let store = self.registry().store();
        store.withdraw(&layout::run(name)).await?;
        Ok(store.withdraw(&layout::decision(name)).await?)
    }
}
