//! C1 to C3: registers a mark, and reads what must stay: intents, then every
//! repository's links and what they reach.
//!
//! Memory is bounded by the cells of one pass ([`super::reached::MOST`]), those
//! of the largest repository, and some 100 bytes for each repository. A store
//! with more cells is collected in several passes, each over a part of the
//! digests.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::collection::{Collector, Failure};
use super::reached::{self, Cell, Reached, Share, cell};
use super::records::{Intent, PAGE, Registered};
use crate::oci::{Algorithm, Digest, Manifest, PartKind, RepositoryName};
use crate::registry::Registry;
use crate::registry::usage::Measured;
use crate::storage::layout;

/// Manifests of one repository that are read at once.
const READS: usize = 8;

/// Repositories that one walk names.
const NAMES: usize = 10_000;

/// How deep indexes of indexes are followed: deeper ones were never accepted
/// with their children.
const DEPTH: usize = 100;

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
    part: Part,
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

/// A manifest that a repository holds.
pub(super) struct Held {
    /// Under which digest its bytes are.
    pub(super) canonical: Digest,
    /// Bytes.
    pub(super) size: u64,
    pub(super) manifest: Manifest,
}

/// What a revision link leads to.
pub(super) enum Revision {
    /// A manifest.
    Held(Box<Held>),
    /// The bytes are gone: nothing is known of what it needs.
    Dangling,
    /// There is no link.
    Unlinked,
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

    fn stays(&self, digest: &Digest) {
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
        let mut repository = Reading {
            collector: self,
            mark,
            number,
            needs: HashSet::new(),
            links: HashSet::new(),
            untidy: false,
            holds: false,
            manifests: 0,
            name,
        };
        repository.enter();
        repository.manifests().await?;
        repository.layers().await?;
        repository.leave().await
    }
}

/// One repository that is being read.
struct Reading<'a> {
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

impl Reading<'_> {
    fn registry(&self) -> &Registry {
        self.collector.registry()
    }

    /// Takes its number.
    fn enter(&self) {
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

    async fn manifests(&mut self) -> Result<(), Failure> {
        let observer = self.collector.observer();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let prefix = layout::revisions_by(&self.name, algorithm);
            let mut after: Option<String> = None;
            loop {
                let store = self.registry().store();
                let page = store.children(&prefix, after.as_deref(), PAGE).await?;
                self.found_anything(!page.is_empty());
                let next = page.get(PAGE - 1).map(|child| child.name.clone());
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
                drop(revisions);
                match next {
                    Some(last) => after = Some(last),
                    None => break,
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
    async fn layers(&mut self) -> Result<(), Failure> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let prefix = layout::layers_by(&self.name, algorithm);
            let mut after: Option<String> = None;
            loop {
                let store = self.registry().store();
                let page = store.children(&prefix, after.as_deref(), PAGE).await?;
                self.found_anything(!page.is_empty());
                let next = page.get(PAGE - 1).map(|child| child.name.clone());
                for child in page {
                    let Ok(digest) = format!("{algorithm}:{}", child.name).parse::<Digest>() else {
                        continue;
                    };
                    if !self.links.contains(&cell(&digest)) {
                        self.unneeded(&digest).await?;
                    }
                }
                match next {
                    Some(last) => after = Some(last),
                    None => break,
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

    async fn leave(self) -> Result<(), Failure> {
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

impl Registry {
    /// What a revision link of a repository leads to.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] if the manifest can't be read: nobody knows what
    /// it needs.
    pub(super) async fn revision(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Revision, Failure> {
        let key = layout::revision_link(repository, digest);
        let Some(content) = self.store().get(&key).await? else {
            return Ok(Revision::Unlinked);
        };
        let canonical = match digest.algorithm() {
            // Whatever a crash left in the link: its name says what it is.
            Algorithm::Sha256 => digest.clone(),
            Algorithm::Sha512 => {
                let text = std::str::from_utf8(&content).ok();
                match text.and_then(|text| text.parse::<Digest>().ok()) {
                    Some(canonical) => canonical,
                    None => return Ok(Revision::Dangling),
                }
            }
        };
        Ok(
            match self.manifest_of(repository, digest, canonical).await? {
                Some(held) => Revision::Held(Box::new(held)),
                None => Revision::Dangling,
            },
        )
    }

    /// A manifest's bytes, read; `None` if they are gone.
    pub(super) async fn manifest_of(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        canonical: Digest,
    ) -> Result<Option<Held>, Failure> {
        let unreadable = |why: String| Failure::Unreadable {
            repository: repository.clone(),
            digest: digest.clone(),
            why,
        };
        let Some(content) = self.content(&canonical).await? else {
            let aside = layout::quarantined(&canonical);
            if self.store().exists(&aside).await? {
                return Err(unreadable(
                    "its bytes were damaged and are in quarantine".into(),
                ));
            }
            return Ok(None);
        };
        let actual = canonical.algorithm().digest(&content);
        if actual != canonical {
            return Err(unreadable(format!("its bytes have the digest {actual}")));
        }
        let manifest = Manifest::stored(&content);
        let manifest = manifest.map_err(|error| unreadable(error.to_string()))?;
        let size = content.len() as u64;
        Ok(Some(Held {
            canonical,
            size,
            manifest,
        }))
    }

    /// Under which digest the bytes are that a repository knows by `digest`.
    pub(super) async fn canonical(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Digest>, Failure> {
        if digest.algorithm() == Algorithm::Sha256 {
            return Ok(Some(digest.clone()));
        }
        let layer = self.link(&layout::layer_link(repository, digest)).await?;
        if layer.is_some() {
            return Ok(layer);
        }
        Ok(self
            .link(&layout::revision_link(repository, digest))
            .await?)
    }

    /// Every cell that a push under way needs.
    pub(super) async fn needed_by(&self, intent: &Intent) -> Result<Vec<Digest>, Failure> {
        let mut needed = intent.cells.clone();
        let mut children = intent.children.clone();
        let mut seen: HashSet<Digest> = HashSet::new();
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for child in children {
                if !seen.insert(child.clone()) {
                    continue;
                }
                let held = self.manifest_of(&intent.repository, &child, child.clone());
                let Some(held) = held.await? else { continue };
                for part in &held.manifest.parts {
                    let Some(canonical) = self.canonical(&intent.repository, &part.digest).await?
                    else {
                        continue;
                    };
                    if matches!(part.kind, PartKind::Child(_)) {
                        below.push(canonical.clone());
                    }
                    needed.push(canonical);
                }
            }
            children = below;
            if children.is_empty() {
                break;
            }
        }
        Ok(needed)
    }
}
