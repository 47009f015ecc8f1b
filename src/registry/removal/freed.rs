//! What nothing needs any more once something is removed: everything that goes
//! reaches, less what any manifest that stays reaches, in whatever repository.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _};

use super::plan::Plan;
use crate::oci::{Algorithm, Digest, Manifest, PartKind};
use crate::registry::{Error, Registry, Repository};

/// Repositories of one look.
const AT_ONCE: usize = 1000;

/// Manifests that are read at once.
const READS: usize = 16;

/// How far the walk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Repositories that were looked at.
    pub repositories: u64,
    /// Manifests that were read.
    pub manifests: u64,
}

/// What one manifest reaches, itself too, by canonical digests.
#[derive(Default)]
pub(super) struct Reached {
    pub(super) digests: HashSet<Digest>,
    /// Manifests among them that can't be read.
    unreadable: u64,
}

impl Repository {
    /// The bytes that a plan frees, and how many manifests that stay couldn't be
    /// read. Memory: what the plan removes.
    pub(super) async fn freed_by(
        &self,
        plan: &Plan,
        seen: &(dyn Fn(Seen) + Sync),
    ) -> Result<(u64, u64), Error> {
        let going: HashSet<&Digest> = plan.manifests.iter().map(|one| &one.digest).collect();
        let mut candidates: HashSet<Digest> = HashSet::new();
        for digest in &going {
            candidates.extend(self.reached(digest).await?.digests);
        }
        for blob in &plan.blobs {
            candidates.extend(self.canonical_blob(blob).await?);
        }
        let unreadable = self.spare(&going, &mut candidates, seen).await?;
        let mut freed = 0;
        for digest in candidates {
            let located = self.registry.located(&digest).await?;
            freed += located.map_or(0, |(_, meta)| meta.size);
        }
        Ok((freed, unreadable))
    }

    /// Takes out of `candidates` what manifests that stay reach.
    async fn spare(
        &self,
        going: &HashSet<&Digest>,
        candidates: &mut HashSet<Digest>,
        seen: &(dyn Fn(Seen) + Sync),
    ) -> Result<u64, Error> {
        let registry: &Registry = &self.registry;
        let (mut count, mut unreadable) = (Seen::default(), 0);
        let mut after: Option<String> = None;
        loop {
            let names = registry.directories(after.as_deref(), AT_ONCE).await?;
            let Some(last) = names.last() else {
                return Ok(unreadable);
            };
            after = Some(last.to_string());
            for name in &names {
                let repository = registry.repository(name);
                let here = name == self.name();
                let stays = repository.all_revisions().await?;
                let stays = stays
                    .into_iter()
                    .filter(|digest| !(here && going.contains(digest)));
                let mut reads = stream::iter(stays)
                    .map(|digest| {
                        let repository = &repository;
                        async move { repository.reached(&digest).await }
                    })
                    .buffer_unordered(READS);
                while let Some(reached) = reads.next().await {
                    let reached = reached?;
                    candidates.retain(|digest| !reached.digests.contains(digest));
                    unreadable += reached.unreadable;
                    count.manifests += 1;
                }
                count.repositories += 1;
                seen(count);
                if candidates.is_empty() {
                    return Ok(unreadable);
                }
            }
        }
    }

    /// Everything that a manifest of this repository needs.
    pub(super) async fn reached(&self, digest: &Digest) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        let mut next = vec![digest.clone()];
        while let Some(digest) = next.pop() {
            let Some(canonical) = self.canonical_manifest(&digest).await? else {
                continue;
            };
            if !reached.digests.insert(canonical.clone()) {
                continue;
            }
            let content = self.registry.content(&canonical).await?;
            let manifest = content.map(|content| Manifest::stored(&content));
            let Some(Ok(manifest)) = manifest else {
                reached.unreadable += 1;
                continue;
            };
            for part in manifest.parts {
                if matches!(part.kind, PartKind::Child(_)) {
                    next.push(part.digest);
                } else {
                    reached
                        .digests
                        .extend(self.canonical_blob(&part.digest).await?);
                }
            }
        }
        Ok(reached)
    }

    /// An index needs its children's bytes even where their links are gone.
    async fn canonical_manifest(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        match digest.algorithm() {
            Algorithm::Sha256 => Ok(Some(digest.clone())),
            Algorithm::Sha512 => self.held_manifest(digest).await,
        }
    }

    pub(super) async fn canonical_blob(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        match digest.algorithm() {
            Algorithm::Sha256 => Ok(Some(digest.clone())),
            Algorithm::Sha512 => self.held_blob(digest).await,
        }
    }
}
