//! Manifests (distribution-spec, "Pulling manifests", "Pushing manifests",
//! "Deleting manifests"): kept byte for byte.

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::children::Looked;
use super::gc::Pushing;
use super::usage::Change;
use super::{Error, Repository, uncancelled};
use crate::oci::{Algorithm, Digest, Manifest, ManifestType, Reference, Tag};
use crate::storage::{Reading, StorageError, layout};

/// How often a push writes its links again that deletes on other replicas took.
const ATTEMPTS: usize = 10;

/// A manifest as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// The digest that it was asked for by, or that its tag names.
    pub digest: Digest,
    /// Its media type.
    pub media_type: ManifestType,
    /// Its bytes.
    pub content: Bytes,
}

/// What became of a pushed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutManifest {
    /// Its digest, by the algorithm that the client used.
    pub digest: Digest,
    /// The subject that it now is a referrer of.
    pub subject: Option<Digest>,
    /// Tags that it took over, and what they named before.
    pub moved: Vec<(Tag, Digest)>,
}

impl Repository {
    /// A manifest of this repository. Content that does not match its digest
    /// (bit rot) is never handed out: it counts as missing, so that the next
    /// push of it heals it.
    pub async fn manifest(&self, reference: &Reference) -> Result<StoredManifest, Error> {
        let unknown = || Error::ManifestUnknown(reference.clone());
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.tagged(tag).await?.ok_or_else(unknown)?,
        };
        let content = self.manifest_content(&digest).await?.ok_or_else(unknown)?;
        match Manifest::stored_type(&content) {
            Ok(media_type) => Ok(StoredManifest {
                digest,
                media_type,
                content,
            }),
            Err(error) => {
                tracing::error!(repository = %self.name, %digest, %error, "this stored manifest cannot be served");
                Err(unknown())
            }
        }
    }

    /// Stores a manifest, and points `tags` at it, all of them or none of this
    /// call's effects are acknowledged. `reference` is what the client put it
    /// under: a digest must be the content's own, a tag is one more tag.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        tags: Vec<Tag>,
        content_type: Option<&str>,
        content: Bytes,
    ) -> Result<PutManifest, Error> {
        self.check_accepting().await?;
        let bounds = &self.settings().limits.manifest;
        let manifest = Manifest::parse(&content, content_type, bounds)?;
        let canonical = Algorithm::Sha256.digest(&content);
        let (digest, tags) = match reference {
            Reference::Tag(tag) => (canonical.clone(), vec![tag.clone()]),
            Reference::Digest(expected) => {
                let actual = expected.algorithm().digest(&content);
                if actual != *expected {
                    return Err(Error::DigestMismatch {
                        expected: expected.clone(),
                        actual,
                    });
                }
                (actual, tags)
            }
        };
        let mut put = PutManifest {
            digest: digest.clone(),
            subject: manifest.subject.clone(),
            moved: Vec::new(),
        };
        let repository = self.clone();
        put.moved = uncancelled(async move {
            let _shared = repository.locks().share(&repository.name).await;
            repository.check_movable(&tags, &digest).await?;
            let intent = repository.intent(&manifest, &digest, &canonical).await?;
            let pushing = Pushing::begin(&repository.registry, intent).await?;
            let push = Push {
                repository: &repository,
                manifest: &manifest,
                digest: &digest,
                canonical: &canonical,
                tags: &tags,
                pushing: &pushing,
            };
            let pushed = push.run(content).await;
            pushing.end().await;
            pushed
        })
        .await?;
        Ok(put)
    }

    /// What the repository will hold more with this manifest and these tags.
    /// Tags that it takes over come with what they name now.
    async fn would_add(
        &self,
        digest: &Digest,
        tags: &[Tag],
        size: u64,
    ) -> Result<(Change, Vec<(Tag, Digest)>), Error> {
        let (held, tagged) = futures_util::try_join!(
            self.held_manifest(digest),
            try_join_all(tags.iter().map(|tag| self.tagged(tag))),
        )?;
        let new = tagged.iter().filter(|tag| tag.is_none()).count();
        let moved = tags.iter().zip(tagged).filter_map(|(tag, named)| {
            let named = named.filter(|named| named != digest)?;
            Some((tag.clone(), named))
        });
        let moved = moved.collect();
        let tags = i64::try_from(new).unwrap_or_default();
        let change = match held {
            Some(_) => Change::default(),
            None => Change {
                manifests: 1,
                ..Change::unique(size)
            },
        }
        .with_tags(tags);
        Ok((change, moved))
    }

    /// Points tags at a manifest that is in place. The immutable ones come first:
    /// if one is refused, the others stay as they were.
    async fn name_manifest(&self, digest: &Digest, tags: &[Tag]) -> Result<(), Error> {
        self.claim_tags(tags, digest).await?;
        let movable = tags.iter().filter(|tag| self.immutable(tag).is_none());
        try_join_all(movable.map(|tag| self.set_tag(tag, digest))).await?;
        Ok(())
    }

    /// Whether a manifest and its tags are as they were written, or newer.
    async fn stands(&self, digest: &Digest, tags: &[Tag]) -> Result<bool, Error> {
        let (held, tagged) = futures_util::try_join!(
            self.held_manifest(digest),
            try_join_all(tags.iter().map(|tag| self.tagged(tag))),
        )?;
        let mut tagged = tags.iter().zip(tagged);
        Ok(held.is_some()
            && tagged.all(|(tag, named)| {
                // Nothing newer than an immutable one is acknowledged.
                named.is_some_and(|named| named == *digest || self.immutable(tag).is_none())
            }))
    }

    /// Removes a manifest, the tags that name it and its place among its
    /// subject's referrers. Its bytes stay until they are collected.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<(), Error> {
        self.check_deletable()?;
        let repository = self.clone();
        let digest = digest.clone();
        // The long look comes before anybody has to wait.
        let looked = self.check_no_parent(&digest, Looked::default()).await?;
        uncancelled(async move {
            let _alone = repository.locks().alone(&repository.name).await;
            if repository.held_manifest(&digest).await?.is_none() {
                return Err(Error::ManifestUnknown(Reference::Digest(digest)));
            }
            repository
                .announced(async {
                    repository.check_no_parent(&digest, looked).await?;
                    repository.remove_manifest(&digest).await
                })
                .await
        })
        .await
    }

    /// Tags first, so that none names what is gone. A tag that comes after the
    /// look for immutable ones is not acknowledged before this has ended.
    pub(super) async fn remove_manifest(&self, digest: &Digest) -> Result<(), Error> {
        self.check_unpinned(digest).await?;
        self.untag(digest).await?;
        self.unlink_manifest(digest).await
    }

    /// Removes a manifest that no tag names, and its place among its subject's
    /// referrers.
    pub(super) async fn unlink_manifest(&self, digest: &Digest) -> Result<(), Error> {
        let content = self.manifest_content(digest).await?;
        let size = content.as_ref().map_or(0, Bytes::len) as u64;
        let subject = content.and_then(|content| Manifest::stored(&content).ok()?.subject);
        let revision = layout::revision_link(&self.name, digest);
        self.store().delete(&revision).await?;
        self.note_usage(Change {
            manifests: -1,
            ..Change::unlinked(size)
        });
        if let Some(subject) = subject {
            self.forget_referrer(&subject, digest).await?;
        }
        Ok(())
    }

    /// The verified content of a manifest that this repository holds.
    pub(super) async fn manifest_content(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let content = match digest.algorithm() {
            // Its own bytes' place is known: no need to wait for the link.
            Algorithm::Sha256 => {
                let (held, content) = futures_util::try_join!(self.held_manifest(digest), async {
                    Ok(self.registry.content(digest).await?)
                })?;
                held.and(content)
            }
            Algorithm::Sha512 => match self.held_manifest(digest).await? {
                Some(canonical) => self.registry.content(&canonical).await?,
                None => None,
            },
        };
        let Some(content) = content else {
            return Ok(None);
        };
        if digest.algorithm().digest(&content) != *digest {
            self.denounce(digest).await?;
            return Ok(None);
        }
        Ok(Some(content))
    }

    /// Looks at damaged content again, which says so once for each version.
    async fn denounce(&self, digest: &Digest) -> Result<(), Error> {
        if let Some(canonical) = self.held_manifest(digest).await? {
            let opened = self.registry.open_content(&canonical, Reading::Whole);
            if let Some(object) = opened.await? {
                let examined = self.integrity().examine(digest, &object).await;
                examined.map_err(StorageError::Unavailable)?;
            }
        }
        Ok(())
    }

    /// The canonical digest of a manifest that this repository links.
    pub(super) async fn held_manifest(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        self.registry
            .held(&layout::revision_link(&self.name, digest), digest)
            .await
    }

    async fn link_revision(&self, digest: &Digest, canonical: &Digest) -> Result<(), Error> {
        self.registry
            .set_link(&layout::revision_link(&self.name, digest), canonical)
            .await
    }
}

/// The push of one manifest; its steps are those of [`super::gc`].
struct Push<'a> {
    repository: &'a Repository,
    manifest: &'a Manifest,
    digest: &'a Digest,
    canonical: &'a Digest,
    tags: &'a [Tag],
    pushing: &'a Pushing,
}

impl Push<'_> {
    async fn run(&self, content: Bytes) -> Result<Vec<(Tag, Digest)>, Error> {
        let repository = self.repository;
        let size = content.len() as u64;
        // P2: what removes links here is over before anything is looked for.
        repository.deletes_ended().await?;
        // P3
        let ((), (added, moved)) = futures_util::try_join!(
            repository.check_needs(self.manifest, self.pushing),
            repository.would_add(self.digest, self.tags, size),
        )?;
        let charge = repository.charge(added.bytes().unsigned_abs()).await?;
        self.commit(content).await?;
        repository.note_manifest(charge, added, &self.manifest.parts);
        Ok(moved)
    }

    /// Content first, then what makes it a manifest of this repository, then
    /// the names that people pull it by. What counts for nothing while the
    /// repository doesn't hold the manifest, its entry among referrers and the
    /// tags' histories, goes beside the content: were it written after the
    /// link, a power cut could leave a manifest that can be pulled and is
    /// missing among its subject's referrers.
    async fn commit(&self, content: Bytes) -> Result<(), Error> {
        let (repository, digest, tags) = (self.repository, self.digest, self.tags);
        let size = content.len() as u64;
        let mut content = Some(content);
        for _ in 0..ATTEMPTS {
            // P4
            futures_util::try_join!(
                self.put_content(content.take()),
                repository.record_referrer(self.manifest, digest, size),
                try_join_all(tags.iter().map(|tag| repository.record_tag(tag, digest))),
            )?;
            // P5
            repository.link_revision(digest, self.canonical).await?;
            // P7, P6: from here on every collection sees the link.
            self.pushing.stands().await?;
            repository.name_manifest(digest, tags).await?;
            repository.deletes_ended().await?;
            repository
                .check_children_stayed(self.manifest, self.pushing)
                .await?;
            if repository.stands(digest, tags).await? {
                return Ok(());
            }
        }
        Err(Error::DeleteRuns(repository.name.clone()))
    }

    /// Stores the manifest's bytes, unless that was done.
    async fn put_content(&self, content: Option<Bytes>) -> Result<(), Error> {
        let Some(content) = content else {
            return Ok(());
        };
        let registry = &self.repository.registry;
        let place = registry.place(self.canonical, self.pushing.condemned());
        Ok(registry.store().put(&place.await?, content).await?)
    }
}
