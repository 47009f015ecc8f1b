//! What a repository holds, as far as retention has to know it.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Failure;
use super::graph::Graph;
use crate::oci::{Algorithm, Digest, Manifest, PartKind, Tag};
use crate::registry::{PullTimes, Repository};
use crate::storage::{Key, Meta, Prefix, Version, layout};

/// Things that are looked at, at once.
const AT_ONCE: usize = 16;

/// Names that one look lists: a volume reads the whole directory for each.
const LISTED: usize = 50_000;

/// A tag and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tagged {
    pub(super) digest: Digest,
    pub(super) written: Written,
}

/// When a link was last written, and which version of it that is: every push
/// writes its links anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) at: SystemTime,
    version: Version,
}

/// Everything of one repository. Its memory is bounded by what the repository
/// holds: some 500 bytes for each tag and manifest.
#[derive(Default)]
pub(super) struct View {
    pub(super) tags: BTreeMap<Tag, Tagged>,
    pub(super) manifests: BTreeMap<Digest, Written>,
    pub(super) graph: Graph,
    /// What pushes that are under way are about to need.
    pub(super) pushing: HashSet<Digest>,
    pub(super) pulls: PullTimes,
}

#[cfg(test)]
impl Written {
    pub(super) fn once(at: SystemTime) -> Self {
        let version = Version::of(at);
        Self { at, version }
    }
}

impl From<Meta> for Written {
    fn from(meta: Meta) -> Self {
        Self {
            at: meta.modified,
            version: meta.version,
        }
    }
}

impl View {
    /// The tags and when they were pulled, without the manifests.
    pub(super) async fn of_tags(repository: &Repository) -> Result<Self, Failure> {
        Ok(Self {
            tags: repository.tags_written().await?,
            pulls: repository.pull_times().await?,
            ..Self::default()
        })
    }

    /// Everything. First the manifests, then the pushes that are under way, then
    /// the tags: a push that had written its manifest by then has either not
    /// ended, or written its tags.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] if a manifest can't be read: what it needs is not
    /// known.
    pub(super) async fn of(repository: &Repository) -> Result<Self, Failure> {
        let mut view = Self::default();
        let held = repository.revisions().await?;
        view.add(repository, held).await?;
        view.pushing = repository.pushing().await?;
        let View { tags, pulls, .. } = Self::of_tags(repository).await?;
        view.graph.name(&tags, view.manifests.keys());
        (view.tags, view.pulls) = (tags, pulls);
        Ok(view)
    }

    /// The manifests that came since, which are known from now on.
    pub(super) async fn catch_up(
        &mut self,
        repository: &Repository,
    ) -> Result<Vec<Digest>, Failure> {
        let held = repository.revisions().await?;
        let new = held.into_iter();
        let new = new.filter(|digest| !self.manifests.contains_key(digest));
        self.add(repository, new.collect()).await
    }

    /// Reads manifests; those that are gone are left out.
    async fn add(
        &mut self,
        repository: &Repository,
        digests: Vec<Digest>,
    ) -> Result<Vec<Digest>, Failure> {
        let mut added = Vec::new();
        let mut reads = stream::iter(digests)
            .map(|digest| async move {
                let read = repository.read_relations(&digest).await?;
                Ok::<_, Failure>((digest, read))
            })
            .buffered(AT_ONCE);
        while let Some((digest, read)) = reads.try_next().await? {
            let Some((written, relations)) = read else {
                continue;
            };
            self.graph.add(&digest, relations);
            self.manifests.insert(digest.clone(), written);
            added.push(digest);
        }
        Ok(added)
    }
}

/// What a manifest names.
pub(super) struct Relations {
    pub(super) children: Vec<Digest>,
    pub(super) subject: Option<Digest>,
}

impl Repository {
    /// The digests of manifests that are or were held.
    async fn revisions(&self) -> Result<Vec<Digest>, Failure> {
        let mut digests = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let prefix = layout::revisions_by(&self.name, algorithm);
            let names = self.names(&prefix).await?;
            let parsed = names.iter();
            digests.extend(parsed.filter_map(|hex| format!("{algorithm}:{hex}").parse().ok()));
        }
        Ok(digests)
    }

    /// All tags that name something.
    async fn tags_written(&self) -> Result<BTreeMap<Tag, Tagged>, Failure> {
        let names = self.names(&layout::tags(&self.name)).await?;
        let tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let mut tagged = BTreeMap::new();
        let mut reads = stream::iter(tags)
            .map(|tag| async move {
                let current = layout::tag_current(&self.name, &tag);
                // Its time first: a push in between makes it look older than it
                // is, and is noticed before anything is removed.
                let written = self.written(&current).await?;
                Ok::<_, Failure>((written, self.tagged(&tag).await?, tag))
            })
            .buffered(AT_ONCE);
        while let Some((written, digest, tag)) = reads.try_next().await? {
            if let (Some(written), Some(digest)) = (written, digest) {
                tagged.insert(tag, Tagged { digest, written });
            }
        }
        Ok(tagged)
    }

    async fn names(&self, prefix: &Prefix) -> Result<Vec<String>, Failure> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(String::as_str);
            let children = self.store().children(prefix, after, LISTED).await?;
            let full = children.len() == LISTED;
            names.extend(children.into_iter().map(|child| child.name));
            if !full {
                return Ok(names);
            }
        }
    }

    /// When a link was written, if it is there.
    pub(super) async fn written(&self, link: &Key) -> Result<Option<Written>, Failure> {
        Ok(self.store().head(link).await?.map(Written::from))
    }

    /// What a manifest names, if the repository holds it.
    async fn read_relations(
        &self,
        digest: &Digest,
    ) -> Result<Option<(Written, Relations)>, Failure> {
        let link = layout::revision_link(&self.name, digest);
        let Some(written) = self.written(&link).await? else {
            return Ok(None);
        };
        let content = self.manifest_content(digest).await?;
        let Some(manifest) = content.and_then(|content| Manifest::stored(&content).ok()) else {
            if self.written(&link).await?.is_none() {
                return Ok(None);
            }
            return Err(Failure::Unreadable(digest.clone()));
        };
        let is_child = |kind: &PartKind| matches!(kind, PartKind::Child(_));
        let children = manifest.parts.into_iter();
        let children = children.filter(|part| is_child(&part.kind));
        Ok(Some((
            written,
            Relations {
                children: children.map(|part| part.digest).collect(),
                subject: manifest.subject,
            },
        )))
    }

    /// What pushes to this repository that are under way are about to need:
    /// their manifests and what those name.
    pub(super) async fn pushing(&self) -> Result<HashSet<Digest>, Failure> {
        let intents = self.registry.intents().await?.into_iter();
        let own = intents.filter(|intent| intent.repository == self.name);
        let needed = own.flat_map(|intent| intent.parts.into_iter().chain([intent.digest]));
        Ok(needed.collect())
    }
}
