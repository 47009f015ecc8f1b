//! D1 to D5: removes the layer links of a repository that none of its manifests
//! needs, and what is left of directories.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use super::collection::{Collector, Failure};
use super::held::Revision;
use super::records::PAGE;
use crate::oci::{Algorithm, Digest, Manifest, PartKind, RepositoryName};
use crate::registry::Repository;
use crate::storage::{Pages, layout};

/// How long the looks under an announcement may take: pushes wait for ten
/// seconds, and in a bucket an announcement counts for a minute.
const LOOKS: Duration = Duration::from_secs(7);

/// How long the removals behind them take at once.
const REMOVALS: Duration = Duration::from_millis(700);

/// What a repository needs, as far as its manifests were read.
#[derive(Default)]
struct Needs {
    manifests: HashSet<Digest>,
    layers: HashSet<Digest>,
}

impl Collector {
    /// Clears up a repository; returns how many layer links went.
    pub(super) async fn tidy(&self, name: &RepositoryName) -> Result<u64, Failure> {
        let repository = self.registry().repository(name);
        let mut needs = Needs::default();
        self.read(&repository, &mut needs).await?;
        let mut candidates = self.unneeded(&repository, &needs).await?;
        let mut removed = 0;
        while !candidates.is_empty() {
            self.check_stopped()?;
            // D1, D5
            let before = candidates.len();
            let removal = repository.announced_by(self.id(), async {
                Ok(self
                    .remove_links(&repository, &mut needs, &mut candidates)
                    .await)
            });
            removed += removal.await??;
            if candidates.len() == before {
                tracing::warn!(repository = %name, links = before, "reading its links takes longer than pushes may wait, so those that nothing needs stay for now");
                break;
            }
        }
        let store = self.registry().store();
        for prefix in [
            layout::layers(name),
            layout::manifests(name),
            layout::all_referrers(name),
            layout::uploads(name),
            layout::deletes(name),
        ] {
            store.tidy(&prefix).await?;
        }
        Ok(removed)
    }

    /// D2 to D4, for as long as the announcement surely holds.
    async fn remove_links(
        &self,
        repository: &Repository,
        needs: &mut Needs,
        candidates: &mut Vec<Digest>,
    ) -> Result<u64, Failure> {
        let begun = Instant::now();
        let mut spared = HashSet::new();
        // D2
        for intent in self.registry().intents().await? {
            if intent.repository == *repository.name() {
                spared.extend(intent.parts);
                spared.extend(intent.cells);
            }
        }
        // D3
        self.read(repository, needs).await?;
        if begun.elapsed() > LOOKS {
            return Ok(0);
        }
        let (looked, mut removed) = (Instant::now(), 0);
        // D4
        while let Some(digest) = candidates.pop() {
            if looked.elapsed() > REMOVALS {
                candidates.push(digest);
                break;
            }
            if needs.layers.contains(&digest) || spared.contains(&digest) {
                continue;
            }
            let link = layout::layer_link(repository.name(), &digest);
            self.registry().store().delete(&link).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Reads the manifests that weren't read before.
    async fn read(&self, repository: &Repository, needs: &mut Needs) -> Result<(), Failure> {
        let registry = self.registry();
        let name = repository.name();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for child in registry
                .all_names(&layout::revisions_by(name, algorithm))
                .await?
            {
                let Ok(digest) = format!("{algorithm}:{}", child.name).parse::<Digest>() else {
                    continue;
                };
                if needs.manifests.contains(&digest) {
                    continue;
                }
                // One without a link may get it while we look away.
                if let Revision::Held(held) = registry.revision(name, &digest).await? {
                    needs.manifests.insert(digest);
                    self.read_parts(name, held.manifest, needs).await?;
                }
            }
        }
        Ok(())
    }

    /// What a manifest and those below it name: a child whose own link was
    /// deleted is whole again once it is pushed again.
    async fn read_parts(
        &self,
        name: &RepositoryName,
        manifest: Manifest,
        needs: &mut Needs,
    ) -> Result<(), Failure> {
        let registry = self.registry();
        let mut manifests = vec![manifest];
        let mut seen = HashSet::new();
        while let Some(manifest) = manifests.pop() {
            for part in manifest.parts {
                let canonical = registry.canonical(name, &part.digest).await?;
                if matches!(part.kind, PartKind::Child(_))
                    && seen.insert(part.digest.clone())
                    && let Some(canonical) = &canonical
                {
                    let child = registry.manifest_of(name, &part.digest, canonical.clone());
                    manifests.extend(child.await?.map(|held| held.manifest));
                }
                needs.layers.extend(canonical);
                needs.layers.insert(part.digest);
            }
        }
        Ok(())
    }

    /// The layer links that are old and that no manifest needs.
    async fn unneeded(
        &self,
        repository: &Repository,
        needs: &Needs,
    ) -> Result<Vec<Digest>, Failure> {
        let registry = self.registry();
        let name = repository.name();
        let mut unneeded = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut pages = Pages::of(layout::layers_by(name, algorithm), PAGE);
            while let Some(page) = pages.next(registry.store()).await? {
                for child in page {
                    let Ok(digest) = format!("{algorithm}:{}", child.name).parse::<Digest>() else {
                        continue;
                    };
                    let link = layout::layer_link(name, &digest);
                    if !needs.layers.contains(&digest)
                        && let Some(meta) = registry.store().head(&link).await?
                        && self.is_old(meta.modified)
                    {
                        unneeded.push(digest);
                    }
                }
            }
        }
        Ok(unneeded)
    }

    fn is_old(&self, modified: SystemTime) -> bool {
        let grace = self.options().grace;
        grace.is_zero() || modified.elapsed().is_ok_and(|age| age >= grace)
    }
}
