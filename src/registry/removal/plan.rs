//! Finds out what would go.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Target;
use super::freed::Seen;
use crate::oci::{Algorithm, Digest, Manifest, PartKind, Reference, RepositoryName, Tag};
use crate::registry::{Error, Registry, Repository};
use crate::storage::{Prefix, layout};

/// Names of one look into a listing.
const AT_ONCE: usize = 1000;

/// Look-ups under way at once.
const LOOKS: usize = 16;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// What goes, and what doesn't.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of which repository.
    pub repository: RepositoryName,
    /// What was asked for.
    pub target: Target,
    /// The tags that go, and what they name.
    pub tags: BTreeMap<Tag, Digest>,
    /// The manifests that go.
    pub manifests: Vec<Going>,
    /// The manifests that one might expect to go.
    pub stays: Vec<Staying>,
    /// The tags that may not be removed: then nothing is.
    pub kept: Vec<Kept>,
    /// The blobs that the repository holds no more.
    pub blobs: Vec<Digest>,
    /// The upload sessions that go.
    pub uploads: u64,
    /// The bytes that nothing needs any more.
    pub freed: u64,
    /// Manifests of the registry that can't be read: they may need more of it.
    pub unreadable: u64,
}

/// A manifest that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Going {
    /// Its digest.
    pub digest: Digest,
    /// Its own bytes.
    pub size: u64,
    /// What it is a referrer of, if it goes for that.
    pub referrer_of: Option<Digest>,
}

/// A manifest that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staying {
    /// Its digest.
    pub digest: Digest,
    /// Why, for people.
    pub why: String,
}

/// A tag that is immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The tag.
    pub tag: Tag,
    /// The rule, for people.
    pub rule: String,
}

impl Registry {
    /// What the removal of something would do. `seen` is told how far the walk
    /// over all repositories is, which finds out what nothing else needs.
    ///
    /// # Errors
    /// [`Error::NameUnknown`] or [`Error::ManifestUnknown`] if it isn't there;
    /// those of the store.
    pub async fn plan_removal(
        &self,
        name: &RepositoryName,
        target: Target,
        seen: &(dyn Fn(Seen) + Sync),
    ) -> Result<Plan, Error> {
        let repository = self.repository(name);
        let mut plan = Plan {
            repository: name.clone(),
            target,
            tags: BTreeMap::new(),
            manifests: Vec::new(),
            stays: Vec::new(),
            kept: Vec::new(),
            blobs: Vec::new(),
            uploads: 0,
            freed: 0,
            unreadable: 0,
        };
        match plan.target.clone() {
            Target::Tag(tag) => repository.plan_tag(&mut plan, tag).await?,
            Target::Manifest(digest) => repository.plan_manifest(&mut plan, digest).await?,
            Target::Repository => repository.plan_all(&mut plan).await?,
        }
        let immutable = &self.settings().immutable;
        plan.kept = plan
            .tags
            .keys()
            .filter_map(|tag| {
                let rule = immutable.rule(name, tag)?.to_string();
                Some(Kept {
                    tag: tag.clone(),
                    rule,
                })
            })
            .collect();
        if plan.kept.is_empty() && !(plan.manifests.is_empty() && plan.blobs.is_empty()) {
            (plan.freed, plan.unreadable) = repository.freed_by(&plan, seen).await?;
        }
        Ok(plan)
    }
}

impl Repository {
    async fn plan_tag(&self, plan: &mut Plan, tag: Tag) -> Result<(), Error> {
        let digest = self.tagged(&tag).await?;
        let digest = digest.ok_or_else(|| Error::ManifestUnknown(Reference::Tag(tag.clone())))?;
        let others = self.all_tags().await?;
        let others = others
            .iter()
            .filter(|(other, named)| **named == digest && **other != tag)
            .count();
        let why = match others {
            0 => "no tag names it any more; remove it by its digest, or with all such manifests by `wharf gc --untagged`".to_owned(),
            1 => "another tag names it".to_owned(),
            several => format!("{several} other tags name it"),
        };
        plan.stays.push(Staying {
            digest: digest.clone(),
            why,
        });
        plan.tags.insert(tag, digest);
        Ok(())
    }

    async fn plan_manifest(&self, plan: &mut Plan, digest: Digest) -> Result<(), Error> {
        if self.held_manifest(&digest).await?.is_none() {
            return Err(Error::ManifestUnknown(Reference::Digest(digest)));
        }
        let tags = self.all_tags().await?;
        let mut seen = BTreeSet::from([digest.clone()]);
        let mut next = vec![(digest, None)];
        while let Some((digest, referrer_of)) = next.pop() {
            self.plan_one(plan, &digest, referrer_of, &tags).await?;
            // What clients keep under tags made of the subject's digest belongs
            // to it: indexes of referrers, and cosign's signatures.
            let base = digest.to_string().replace(':', "-");
            let belongs = |tag: &Tag| {
                let rest = tag.to_string();
                let rest = rest.strip_prefix(&base).map(str::to_owned);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            for (tag, named) in &tags {
                if belongs(tag) && seen.insert(named.clone()) {
                    next.push((named.clone(), Some(digest.clone())));
                }
            }
            for referrer in self.all_referrers(&digest).await? {
                let named = tags.iter().find(|(tag, named)| {
                    **named == referrer && !tag.to_string().starts_with(&base)
                });
                match named {
                    _ if seen.contains(&referrer) => {}
                    Some((tag, _)) => {
                        seen.insert(referrer.clone());
                        plan.stays.push(Staying {
                            why: format!("a referrer of {digest}, but the tag {tag} names it"),
                            digest: referrer,
                        });
                    }
                    None => {
                        seen.insert(referrer.clone());
                        next.push((referrer, Some(digest.clone())));
                    }
                }
            }
        }
        Ok(())
    }

    /// One manifest goes, with the tags that name it; its children stay.
    async fn plan_one(
        &self,
        plan: &mut Plan,
        digest: &Digest,
        referrer_of: Option<Digest>,
        tags: &BTreeMap<Tag, Digest>,
    ) -> Result<(), Error> {
        let content = self.manifest_content(digest).await?;
        let named = tags.iter().filter(|(_, named)| *named == digest);
        plan.tags
            .extend(named.map(|(tag, named)| (tag.clone(), named.clone())));
        plan.manifests.push(Going {
            digest: digest.clone(),
            size: content.as_ref().map_or(0, bytes::Bytes::len) as u64,
            referrer_of,
        });
        let manifest = content.and_then(|content| Manifest::stored(&content).ok());
        let parts = manifest.map(|manifest| manifest.parts).unwrap_or_default();
        for part in parts {
            if matches!(part.kind, PartKind::Child(_))
                && self.held_manifest(&part.digest).await?.is_some()
            {
                plan.stays.push(Staying {
                    digest: part.digest,
                    why: format!("the index {digest} names it, which goes; remove it by its digest, or with all such manifests by `wharf gc --untagged`"),
                });
            }
        }
        Ok(())
    }

    async fn plan_all(&self, plan: &mut Plan) -> Result<(), Error> {
        if !self.exists().await? && !self.store().exists(&layout::uploads(self.name())).await? {
            return Err(Error::NameUnknown(self.name().clone()));
        }
        plan.tags = self.all_tags().await?;
        for digest in self.all_revisions().await? {
            let canonical = self.held_manifest(&digest).await?;
            let located = match canonical {
                Some(canonical) => self.registry.located(&canonical).await?,
                None => None,
            };
            plan.manifests.push(Going {
                digest,
                size: located.map_or(0, |(_, meta)| meta.size),
                referrer_of: None,
            });
        }
        for algorithm in ALGORITHMS {
            let prefix = layout::layers_by(self.name(), algorithm);
            let digests = self.listed(&prefix).await?;
            let digests = digests.iter().filter_map(|hex| digest(algorithm, hex));
            plan.blobs.extend(digests);
        }
        plan.uploads = self.listed(&layout::uploads(self.name())).await?.len() as u64;
        Ok(())
    }

    /// Every tag of the repository that names something.
    pub(super) async fn all_tags(&self) -> Result<BTreeMap<Tag, Digest>, Error> {
        let names = self.listed(&layout::tags(self.name())).await?;
        let tags = names.iter().filter_map(|name| name.parse().ok());
        stream::iter(tags.collect::<Vec<Tag>>())
            .map(|tag| async move {
                let digest = self.tagged(&tag).await?;
                Ok(digest.map(|digest| (tag, digest)))
            })
            .buffered(LOOKS)
            .try_filter_map(|named| std::future::ready(Ok(named)))
            .try_collect()
            .await
    }

    /// Every manifest that the repository lists.
    pub(super) async fn all_revisions(&self) -> Result<Vec<Digest>, Error> {
        let mut all = Vec::new();
        for algorithm in ALGORITHMS {
            let prefix = layout::revisions_by(self.name(), algorithm);
            let digests = self.listed(&prefix).await?;
            all.extend(digests.iter().filter_map(|hex| digest(algorithm, hex)));
        }
        Ok(all)
    }

    async fn all_referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Error> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.referrers(subject, None, after.as_ref(), None).await?;
            all.extend(page.descriptors.into_iter().map(|one| one.digest));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Every name under a prefix.
    pub(super) async fn listed(&self, prefix: &Prefix) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned();
            let children = self
                .store()
                .children(prefix, after.as_deref(), AT_ONCE)
                .await?;
            let full = children.len() == AT_ONCE;
            names.extend(children.into_iter().map(|child| child.name));
            if !full {
                return Ok(names);
            }
        }
    }
}

/// The digest of a listing's entry.
pub(super) fn digest(algorithm: Algorithm, hex: &str) -> Option<Digest> {
    format!("{algorithm}:{hex}").parse().ok()
}
