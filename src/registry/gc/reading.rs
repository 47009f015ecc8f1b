//! C3 of one repository: its manifests, what they reach, and the links that
//! nothing needs.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _};

use super::collection::{Collector, Failure};
use super::held::{Held, Revision};
use super::mark::{DEPTH, Mark};
use super::reached::{self, Cell, Share, cell};
use super::records::PAGE;
use crate::oci::{Algorithm, Digest, Manifest, PartKind, RepositoryName};
use crate::registry::Registry;
use crate::registry::usage::Measured;
use crate::storage::{Pages, layout};

/// Manifests of one repository that are read at once.
const READS: usize = 8;

/// One repository that is being read.
pub(super) struct Reading<'a> {
    collector: &'a Collector,
    mark: &'a Mark,
    name: RepositoryName,
    number: u32,
    /// The cells that it was counted for.
    needs: HashSet<Cell>,
    /// The layer links that its manifests need, by the digests' cells.
    links: HashSet<Cell>,
    untidy: bool,
    /// Whether anything was found in it.
    holds: bool,
    manifests: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        collector: &'a Collector,
        mark: &'a Mark,
        name: RepositoryName,
        number: u32,
    ) -> Self {
        Self {
            collector,
            mark,
            name,
            number,
            needs: HashSet::new(),
            links: HashSet::new(),
            untidy: false,
            holds: false,
            manifests: 0,
        }
    }

    fn registry(&self) -> &Registry {
        self.collector.registry()
    }

    /// Takes its number.
    pub(super) fn enter(&self) {
        let mut found = self.mark.found();
        let number = self.number as usize;
        while found.repositories.len() <= number {
            let name = self.name.clone();
            found.repositories.push(Measured {
                name,
                manifests: 0,
                tags: 0,
                unique: 0,
                shared: 0,
            });
        }
        if let Some(measured) = found.repositories.get_mut(number) {
            measured.name = self.name.clone();
        }
    }

    pub(super) async fn manifests(&mut self) -> Result<(), Failure> {
        let observer = self.collector.observer();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let prefix = layout::revisions_by(&self.name, algorithm);
            let mut pages = Pages::of(prefix, PAGE);
            while let Some(page) = pages.next(self.registry().store()).await? {
                self.found_anything(!page.is_empty());
                let digests = page
                    .iter()
                    .filter_map(|child| format!("{algorithm}:{}", child.name).parse().ok());
                let mut digests: Vec<Digest> = digests.collect();
                digests.retain(|digest| !self.collector.is_without(&self.name, digest));
                let registry = self.registry().clone();
                let name = self.name.clone();
                let mut revisions = stream::iter(digests)
                    .map(|digest| {
                        let (registry, name) = (registry.clone(), name.clone());
                        async move {
                            let revision = registry.revision(&name, &digest).await;
                            (digest, revision)
                        }
                    })
                    .buffered(READS);
                while let Some((digest, revision)) = revisions.next().await {
                    self.collector.check_stopped()?;
                    match revision? {
                        Revision::Held(held) => self.needs_manifest(&digest, &held).await?,
                        Revision::Dangling => {
                            self.collector.counts().dangling();
                            observer.dangling(&self.name, &digest);
                        }
                        Revision::Unlinked => self.untidy = true,
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells of the repository once, if it is one.
    fn found_anything(&mut self, anything: bool) {
        if anything && !self.holds {
            self.holds = true;
            self.collector.observer().repository(&self.name);
        }
    }

    /// A manifest, and everything below it.
    async fn needs_manifest(&mut self, digest: &Digest, held: &Held) -> Result<(), Failure> {
        let observer = self.collector.observer();
        observer.manifest(&self.name, digest);
        for part in &held.manifest.parts {
            observer.blob(&self.name, &part.digest);
        }
        self.collector.counts().manifest();
        self.manifests += 1;
        self.needs(&held.canonical, held.size);
        let mut children = self.needs_parts(&held.manifest).await?;
        let mut seen = HashSet::from([cell(&held.canonical)]);
        // A child is there by itself, too, unless it was deleted: then its bytes
        // stay as long as the index does.
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for child in children {
                if !seen.insert(cell(&child)) {
                    continue;
                }
                let Some(canonical) = self.registry().canonical(&self.name, &child).await? else {
                    continue;
                };
                let Some(held) = self
                    .registry()
                    .manifest_of(&self.name, &child, canonical)
                    .await?
                else {
                    continue;
                };
                self.needs(&held.canonical, held.size);
                below.extend(self.needs_parts(&held.manifest).await?);
            }
            children = below;
            if children.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What a manifest names; returns its children.
    async fn needs_parts(&mut self, manifest: &Manifest) -> Result<Vec<Digest>, Failure> {
        let mut children = Vec::new();
        for part in &manifest.parts {
            if matches!(part.kind, PartKind::Child(_)) {
                children.push(part.digest.clone());
                continue;
            }
            self.links.insert(cell(&part.digest));
            let canonical = self.registry().canonical(&self.name, &part.digest).await?;
            if let Some(canonical) = canonical {
                self.links.insert(cell(&canonical));
                self.needs(&canonical, part.size);
            }
        }
        Ok(children)
    }

    /// Counts a cell for this repository, once.
    fn needs(&mut self, digest: &Digest, size: u64) {
        let cell = cell(digest);
        if !self.mark.part.has(&cell) || !self.needs.insert(cell) {
            return;
        }
        let mut found = self.mark.found();
        let share = found.reached.needs(cell, self.number);
        if let Share::TakenFrom(other) = share
            && let Some(other) = found.repositories.get_mut(other as usize)
        {
            other.unique = other.unique.saturating_sub(size);
            other.shared += size;
        }
        if share == Share::First {
            self.collector.counts().needed(size);
        }
        if let Some(this) = found.repositories.get_mut(self.number as usize) {
            match share {
                Share::First => this.unique += size,
                Share::TakenFrom(_) | Share::Shared => this.shared += size,
                Share::Known => {}
            }
        }
    }

    /// Layer links that no manifest needs: the young ones keep their bytes, since
    /// somebody may be about to push the manifest.
    pub(super) async fn layers(&mut self) -> Result<(), Failure> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let prefix = layout::layers_by(&self.name, algorithm);
            let mut pages = Pages::of(prefix, PAGE);
            while let Some(page) = pages.next(self.registry().store()).await? {
                self.found_anything(!page.is_empty());
                for child in page {
                    let Ok(digest) = format!("{algorithm}:{}", child.name).parse::<Digest>() else {
                        continue;
                    };
                    if !self.links.contains(&cell(&digest)) {
                        self.unneeded(&digest).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn unneeded(&mut self, digest: &Digest) -> Result<(), Failure> {
        let link = layout::layer_link(&self.name, digest);
        let meta = self.registry().store().head(&link).await?;
        let grace = self.collector.options().grace;
        if !meta.is_some_and(|meta| self.mark.is_young(meta.modified, grace)) {
            self.untidy = true;
            return Ok(());
        }
        if let Some(canonical) = self.registry().canonical(&self.name, digest).await? {
            self.mark.stays(&canonical);
        }
        Ok(())
    }

    pub(super) async fn leave(self) -> Result<(), Failure> {
        let tags = self.registry().all_names(&layout::tags(&self.name)).await?;
        let empty = self.manifests == 0 && tags.is_empty();
        self.collector.counts().repository();
        let mut found = self.mark.found();
        found.holding += u64::from(self.holds);
        if let Some(measured) = found.repositories.get_mut(self.number as usize) {
            measured.manifests = self.manifests;
            measured.tags = tags.len() as u64;
        }
        if self.untidy || empty {
            found.untidy.push(self.name);
        }
        if found.reached.len() > 2 * reached::MOST {
            return Err(Failure::TooMany);
        }
        Ok(())
    }
}
