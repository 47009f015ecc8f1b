//! Removes what a plan says, in short batches: others are told, everything is
//! looked at again, and what was pushed or pulled since the plan stays, with all
//! that it needs.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::decide::Policy;
use super::plan::Plan;
use super::steps::{Step, levels};
use super::view::View;
use crate::oci::{Algorithm, Digest};
use crate::registry::usage::Change;
use crate::registry::{PullTimes, Repository};
use crate::storage::layout;

/// The most tags or manifests in one batch.
const BATCH: usize = 100;

/// Removals, or looks, at once.
const AT_ONCE: usize = 16;

/// How often a look is tried that takes too long.
const ATTEMPTS: usize = 5;

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tags.
    pub tags: u64,
    /// Manifests.
    pub manifests: u64,
    /// Tags and manifests that stay after all, since they were pushed or pulled
    /// meanwhile.
    pub spared: u64,
}

/// One plan being carried out.
pub(super) struct Removal<'a> {
    repository: &'a Repository,
    policy: &'a Policy<'a>,
    plan: &'a Plan,
    view: View,
    /// Manifests that stay after all.
    spared: HashSet<Digest>,
    /// The pulls since; those of the plan are in the view.
    pulls: PullTimes,
    batch: Duration,
    removed: Removed,
}

impl<'a> Removal<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        policy: &'a Policy<'a>,
        plan: &'a Plan,
        view: View,
        batch: Duration,
    ) -> Self {
        Self {
            repository,
            policy,
            plan,
            view,
            spared: HashSet::new(),
            pulls: PullTimes::default(),
            batch,
            removed: Removed::default(),
        }
    }

    /// Removes until everything is, or `stop` is cancelled; also says what went
    /// before something failed.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> (Removed, Result<(), Failure>) {
        for level in levels(self.plan, &self.view.graph) {
            for steps in level.chunks(BATCH) {
                let (mut left, mut slow) = (steps, 0);
                while !left.is_empty() && !stop.is_cancelled() {
                    match self.batch(left).await {
                        Ok(done) => left = left.get(done..).unwrap_or_default(),
                        Err(Failure::TooSlow(_)) if slow < ATTEMPTS => slow += 1,
                        Err(failure) => return (self.removed, Err(failure)),
                    }
                }
            }
        }
        let tidied = self.tidy().await;
        (self.removed, tidied)
    }

    /// Leaves no directories behind, which the next run would look into.
    async fn tidy(&self) -> Result<(), Failure> {
        let Self { repository, .. } = self;
        let store = repository.store();
        store.tidy(&layout::manifests(&repository.name)).await?;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let referrers = layout::subjects_by(&repository.name, algorithm);
            store.tidy(&referrers).await?;
        }
        Ok(())
    }

    /// Does the first of these steps; says how many.
    async fn batch(&mut self, steps: &[Step]) -> Result<usize, Failure> {
        let repository = self.repository;
        let _alone = repository.locks().alone(&repository.name).await;
        let mut outcome = Ok(0);
        repository
            .announced(async {
                outcome = self.announced_batch(steps).await;
                Ok(())
            })
            .await?;
        outcome
    }

    async fn announced_batch(&mut self, steps: &[Step]) -> Result<usize, Failure> {
        let begun = Instant::now();
        self.look_again().await?;
        let there = self.compare(steps).await?;
        if begun.elapsed() > self.batch {
            return Err(Failure::TooSlow(begun.elapsed()));
        }
        let mut done = 0;
        for (some, there) in steps.chunks(AT_ONCE).zip(there.chunks(AT_ONCE)) {
            if begun.elapsed() > self.batch {
                break;
            }
            let due: Vec<&Step> = some
                .iter()
                .zip(there)
                .filter(|(_, there)| **there)
                .map(|(step, _)| step)
                .filter(|step| !self.is_spared(step))
                .collect();
            let spared = there.iter().filter(|there| **there).count() - due.len();
            self.removed.spared += spared as u64;
            try_join_all(due.iter().map(|step| self.remove(step))).await?;
            for step in due {
                match step {
                    Step::Tag(_) => {
                        self.removed.tags += 1;
                        let change = Change::default().with_tags(-1);
                        self.repository.note_usage(change);
                    }
                    Step::Manifest(digest) => {
                        self.removed.manifests += 1;
                        // Whoever pushes it from now on makes it a new one.
                        self.view.manifests.remove(digest);
                    }
                }
            }
            done += some.len();
        }
        Ok(done)
    }

    /// What has begun or come since: pushes that are under way, manifests and
    /// what they need, pulls.
    async fn look_again(&mut self) -> Result<(), Failure> {
        let pushing = self.repository.pushing().await?;
        let new = self.view.catch_up(self.repository).await?;
        self.spare(pushing.into_iter().chain(new));
        self.pulls = self.repository.pull_times().await?;
        Ok(())
    }

    /// Which steps are about something that is there; those that have changed
    /// since the plan are spared.
    async fn compare(&mut self, steps: &[Step]) -> Result<Vec<bool>, Failure> {
        let this = &*self;
        let looks = stream::iter(steps.to_vec())
            .map(|step| async move { this.look(&step).await })
            .buffered(AT_ONCE);
        let looks: Vec<Look> = looks.try_collect().await?;
        let mut there = Vec::new();
        for look in looks {
            there.push(!matches!(look, Look::Gone));
            if let Look::Changed(stays) = look {
                self.spare(stays);
            }
        }
        Ok(there)
    }

    async fn look(&self, step: &Step) -> Result<Look, Failure> {
        let (repository, view) = (self.repository, &self.view);
        Ok(match step {
            Step::Tag(tag) => {
                let link = layout::tag_current(&repository.name, tag);
                let Some(known) = view.tags.get(tag) else {
                    return Ok(Look::Gone);
                };
                match repository.written(&link).await? {
                    None => Look::Gone,
                    Some(now) if now == known.written && !self.is_pulled(step) => Look::Same,
                    Some(_) => {
                        let now = repository.tagged(tag).await?;
                        Look::Changed(now.into_iter().chain([known.digest.clone()]).collect())
                    }
                }
            }
            Step::Manifest(digest) => {
                let link = layout::revision_link(&repository.name, digest);
                match repository.written(&link).await? {
                    None => Look::Gone,
                    now if now.as_ref() == view.manifests.get(digest) && !self.is_pulled(step) => {
                        Look::Same
                    }
                    Some(_) => Look::Changed(vec![digest.clone()]),
                }
            }
        })
    }

    /// Whether it was pulled since the plan, so that it stays.
    fn is_pulled(&self, step: &Step) -> bool {
        let (planned, now, stays) = match step {
            Step::Tag(tag) => {
                let Some(tagged) = self.view.tags.get(tag) else {
                    return false;
                };
                let now = self.view.pulled_by(&self.pulls, tag, tagged);
                let stays = self.policy.stays_by_pull(now);
                (self.view.pulled(tag, tagged), now, stays)
            }
            Step::Manifest(digest) => {
                let now = self.pulls.manifest(digest);
                let stays = self.policy.untagged_stays_by_pull(now);
                (self.view.pulls.manifest(digest), now, stays)
            }
        };
        now > planned && stays
    }

    fn spare(&mut self, digests: impl IntoIterator<Item = Digest>) {
        self.view.graph.reach(digests, &mut self.spared);
    }

    /// A tag that was written again, or pulled, isn't told apart from one whose
    /// manifest was: both stay.
    fn is_spared(&self, step: &Step) -> bool {
        match step {
            Step::Manifest(digest) => self.spared.contains(digest),
            Step::Tag(tag) => {
                let subject = self.view.graph.subject_of(tag);
                let named = self.view.tags.get(tag).map(|tagged| &tagged.digest);
                [subject, named]
                    .into_iter()
                    .flatten()
                    .any(|digest| self.spared.contains(digest))
            }
        }
    }

    async fn remove(&self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Tag(tag) => self.repository.remove_tag(tag).await?,
            Step::Manifest(digest) => {
                self.repository.unlink_manifest(digest).await?;
                // Else every look would find it, and look whether it is back.
                let left = layout::revision(&self.repository.name, digest);
                self.repository.store().tidy(&left).await?;
            }
        }
        Ok(())
    }
}

/// What is found at a step's place.
enum Look {
    Gone,
    Same,
    /// These stay for it.
    Changed(Vec<Digest>),
}
