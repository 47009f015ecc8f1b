//! Carries a plan out.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::Target;
use super::plan::Plan;
use crate::oci::{Algorithm, Digest, Tag, UploadId};
use crate::registry::usage::Change;
use crate::registry::{Error, Registry, Repository};
use crate::storage::layout;

/// How long one batch goes on: others take an announcement for left after two
/// seconds on files.
const BATCH: Duration = Duration::from_millis(400);

/// Removals under way at once.
const AT_ONCE: usize = 16;

/// Links to blobs that one batch removes.
const LINKS: usize = 200;

/// How often a whole repository is looked at again for what came meanwhile.
const ROUNDS: usize = 3;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tags.
    pub tags: u64,
    /// Manifests.
    pub manifests: u64,
    /// Blobs that the repository holds no more.
    pub blobs: u64,
    /// Upload sessions.
    pub uploads: u64,
    /// Tags that name something else than in the plan, and stay.
    pub spared: Vec<Tag>,
    /// Manifests that a push needs that was under way, and that stay.
    pub needed: Vec<Digest>,
    /// Whether somebody goes on pushing to the repository that was to go.
    pub pushed_to: bool,
}

impl Registry {
    /// Does what a plan says, whether or not clients may delete: the plan of
    /// someone who administers the storage. Other processes may serve meanwhile.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; those of the store, and then some of it is removed.
    pub async fn remove(&self, plan: &Plan) -> Result<Removed, Error> {
        let repository = self.repository(&plan.repository);
        repository.check_writable()?;
        // What is subtracted below has to be known first.
        self.usage().ready(self).await?;
        let mut removed = Removed::default();
        match &plan.target {
            Target::Tag(_) => repository.remove_tags(plan, &mut removed).await?,
            Target::Manifest(_) => {
                repository.remove_manifests(plan, &mut removed).await?;
                for going in &plan.manifests {
                    if repository.held_manifest(&going.digest).await?.is_some() {
                        removed.needed.push(going.digest.clone());
                    }
                }
                if removed.needed.is_empty() {
                    removed.tags = plan.tags.len() as u64;
                    // Their own bytes are noted already.
                    let own: u64 = plan.manifests.iter().map(|one| one.size).sum();
                    repository.note_usage(Change::unlinked(plan.freed.saturating_sub(own)));
                }
            }
            Target::Repository => repository.remove_all(plan, &mut removed).await?,
        }
        self.flush_usage().await?;
        Ok(removed)
    }
}

impl Repository {
    async fn remove_tags(&self, plan: &Plan, removed: &mut Removed) -> Result<(), Error> {
        let planned: Vec<(&Tag, &Digest)> = plan.tags.iter().collect();
        let gone = self
            .in_batches(&planned, async |(tag, digest), _| {
                let same = self.tagged(tag).await?.as_ref() == Some(*digest);
                if same {
                    self.remove_tag(tag).await?;
                    self.note_usage(Change::default().with_tags(-1));
                }
                Ok(same)
            })
            .await?;
        for ((tag, _), gone) in planned.into_iter().zip(gone) {
            if gone {
                removed.tags += 1;
            } else {
                removed.spared.push(tag.clone());
            }
        }
        Ok(())
    }

    async fn remove_manifests(&self, plan: &Plan, removed: &mut Removed) -> Result<(), Error> {
        let gone = self
            .in_batches(&plan.manifests, async |going, needed| {
                if needed.contains(&going.digest) {
                    return Ok(false);
                }
                let held = self.held_manifest(&going.digest).await?.is_some();
                if held {
                    self.remove_manifest(&going.digest).await?;
                } else {
                    // A link that holds no digest, of registry:2's crashes.
                    let link = layout::revision_link(self.name(), &going.digest);
                    self.store().delete(&link).await?;
                }
                Ok(held)
            })
            .await?;
        removed.manifests += gone.into_iter().filter(|gone| *gone).count() as u64;
        Ok(())
    }

    /// Tags first, so that none names what is gone and no manifest's removal
    /// has to look for them; then manifests, then what only they needed.
    async fn remove_all(&self, plan: &Plan, removed: &mut Removed) -> Result<(), Error> {
        let mut plan = plan.clone();
        for _ in 0..ROUNDS {
            self.remove_tags(&plan, removed).await?;
            self.remove_manifests(&plan, removed).await?;
            plan.tags = self.all_tags().await?;
            plan.manifests = self.revisions_left().await?;
            let immutable = &self.settings().immutable;
            let mut tags = plan.tags.keys();
            if plan.tags.is_empty() && plan.manifests.is_empty()
                || tags.any(|tag| immutable.rule(self.name(), tag).is_some())
            {
                break;
            }
        }
        // What was spared was pushed while this ran.
        removed.spared.clear();
        removed.blobs = self.remove_layers(&plan.blobs).await?;
        for id in self.listed(&layout::uploads(self.name())).await? {
            if let Ok(id) = id.parse::<UploadId>() {
                let stage = layout::upload(self.name(), &id);
                self.store().discard(&stage).await?;
                self.registry.usage().session_ended(&stage);
                removed.uploads += 1;
            }
        }
        self.remove_referrers().await?;
        self.remove_garbled_tags().await?;
        removed.pushed_to =
            !self.all_revisions_held().await?.is_empty() || !self.all_tags().await?.is_empty();
        if !removed.pushed_to {
            self.note_nothing_left(plan.freed);
            self.store().delete_all(&layout::pulls(self.name())).await?;
        }
        self.store().delete_all(&layout::pulls(self.name())).await?;
        self.store().tidy(&layout::below(self.name())).await?;
        Ok(())
    }

    /// The links to blobs, but for those that were needed again meanwhile.
    async fn remove_layers(&self, blobs: &[Digest]) -> Result<u64, Error> {
        let mut removed = 0;
        for some in blobs.chunks(LINKS) {
            let _alone = self.locks().alone(self.name()).await;
            removed += self.announced(self.remove_links(some)).await?;
        }
        Ok(removed)
    }

    async fn remove_links(&self, blobs: &[Digest]) -> Result<u64, Error> {
        let mut needed = self.needed_by_pushes().await?;
        for digest in self.all_revisions_held().await? {
            needed.extend(self.reached(&digest).await?.digests);
        }
        let mut removed = 0;
        for some in blobs.chunks(AT_ONCE) {
            let gone = try_join_all(some.iter().map(async |digest| {
                let canonical = self.canonical_blob(digest).await?;
                if needed.contains(digest)
                    || canonical.is_some_and(|canonical| needed.contains(&canonical))
                {
                    return Ok::<_, Error>(0);
                }
                let link = layout::layer_link(self.name(), digest);
                self.store().delete(&link).await?;
                Ok(1)
            }));
            removed += gone.await?.into_iter().sum::<u64>();
        }
        Ok(removed)
    }

    /// What pushes to this repository that are under way need: they either see
    /// the announcement under which this is asked, or are seen here.
    async fn needed_by_pushes(&self) -> Result<HashSet<Digest>, Error> {
        let mut needed = HashSet::new();
        for intent in self.registry.intents().await? {
            if intent.repository == *self.name() {
                needed.insert(intent.digest);
                needed.extend(intent.parts);
                needed.extend(intent.cells);
            }
        }
        Ok(needed)
    }

    /// Tags that name nothing, of registry:2's crashes.
    async fn remove_garbled_tags(&self) -> Result<(), Error> {
        let names = self.listed(&layout::tags(self.name())).await?;
        let tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        self.in_batches(&tags, async |tag, _| {
            let garbled = self.tagged(tag).await?.is_none();
            if garbled {
                self.remove_tag(tag).await?;
            }
            Ok(garbled)
        })
        .await
        .map(drop)
    }

    /// The records of referrers whose manifests are gone.
    async fn remove_referrers(&self) -> Result<(), Error> {
        let held: HashSet<Digest> = self.all_revisions_held().await?.into_iter().collect();
        let mut records = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for hex in self
                .listed(&layout::subjects_by(self.name(), algorithm))
                .await?
            {
                let Some(subject) = super::plan::digest(algorithm, &hex) else {
                    continue;
                };
                for by in [Algorithm::Sha256, Algorithm::Sha512] {
                    let prefix = layout::referrers_by(self.name(), &subject, by);
                    let listed = self.listed(&prefix).await?;
                    let referrers = listed.iter().filter_map(|hex| super::plan::digest(by, hex));
                    let gone = referrers.filter(|referrer| !held.contains(referrer));
                    records.extend(gone.map(|referrer| (subject.clone(), referrer)));
                }
            }
        }
        self.in_batches(&records, async |(subject, referrer), needed| {
            if !needed.contains(referrer) && self.held_manifest(referrer).await?.is_none() {
                self.forget_referrer(subject, referrer).await?;
            }
            Ok(true)
        })
        .await
        .map(drop)
    }

    async fn revisions_left(&self) -> Result<Vec<super::Going>, Error> {
        let held = self.all_revisions_held().await?;
        Ok(held
            .into_iter()
            .map(|digest| super::Going {
                digest,
                size: 0,
                referrer_of: None,
            })
            .collect())
    }

    /// The manifests that the repository holds, as opposed to directories that
    /// were left of them.
    async fn all_revisions_held(&self) -> Result<Vec<Digest>, Error> {
        let mut held = Vec::new();
        for digest in self.all_revisions().await? {
            if self.held_manifest(&digest).await?.is_some() {
                held.push(digest);
            }
        }
        Ok(held)
    }

    /// Runs removals in announced batches, several at once within one; returns
    /// what each said, in their order. They are told what pushes under way need.
    async fn in_batches<T>(
        &self,
        items: &[T],
        remove: impl AsyncFn(&T, &HashSet<Digest>) -> Result<bool, Error>,
    ) -> Result<Vec<bool>, Error> {
        let mut said = Vec::with_capacity(items.len());
        let mut rest = items.chunks(AT_ONCE);
        while said.len() < items.len() {
            let _alone = self.locks().alone(self.name()).await;
            self.announced(async {
                let begun = Instant::now();
                let needed = self.needed_by_pushes().await?;
                while begun.elapsed() < BATCH
                    && let Some(some) = rest.next()
                {
                    let gone = some.iter().map(|item| remove(item, &needed));
                    said.extend(try_join_all(gone).await?);
                }
                Ok(())
            })
            .await?;
        }
        Ok(said)
    }
}
