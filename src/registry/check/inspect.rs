//! What must hold for one thing in a repository: for a link, a manifest, a tag,
//! a referrer.
//!
//! Things are looked at against the order in which a push writes them (the tag,
//! then its manifest, then its bytes), so that a push never looks wrong. A
//! delete may, and is found out by the second look.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::StreamExt as _;

use super::Checker;
use super::blobs::{Look, digest_of};
use super::finding::{Finding, Kind, Place};
use crate::oci::{Algorithm, Digest, Manifest, Part, PartKind, RepositoryName, Tag};
use crate::registry::referrers::{descriptor, read_record};
use crate::storage::{Key, StorageError, layout};

/// Digests that a message names.
const NAMED: usize = 5;

/// How long a delete of a manifest may take on another replica.
const DELETE: Duration = Duration::from_secs(10);

/// What was found in order in one repository, so that it isn't asked for again.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) layers: Mutex<HashSet<Digest>>,
    pub(super) referrers: Mutex<HashSet<(Digest, Digest)>>,
}

/// What a link file holds.
pub(super) enum Link {
    Absent,
    To(Digest),
    /// No digest; why not.
    Malformed(String),
}

/// What is known of a blob's bytes.
pub(super) enum Content {
    Good(u64),
    Damaged,
    Absent,
}

/// Why a manifest is not whole.
pub(super) enum Lack {
    /// Its bytes are gone.
    Missing,
    /// Its bytes are wrong.
    Damaged,
    /// They are there, but the repository doesn't hold it.
    Unlinked,
}

type Found = Result<Vec<Finding>, StorageError>;

impl Checker {
    /// Looks at one thing; without `seen` everything is asked for anew.
    pub(super) async fn inspect(&self, place: &Place, seen: Option<&Seen>) -> Vec<Finding> {
        let found = match place {
            Place::Blob(digest) => match self.look(digest).await {
                Look::Bad(finding) => Ok(vec![finding]),
                Look::Good(_) | Look::Absent | Look::Passed => Ok(Vec::new()),
            },
            Place::Layer(name, digest) => self.layer(place, name, digest, seen).await,
            Place::Manifest(name, digest) => self.manifest(place, name, digest, seen).await,
            Place::Tag(name, tag) => self.tag(place, name, tag).await,
            Place::Referrer {
                repository,
                subject,
                digest,
            } => self.referrer(place, repository, subject, digest).await,
            Place::Upload(name, id) => self.upload(place, name, id).await,
            Place::Delete(name, id) => self.announcement(place, name, id).await,
            Place::File(_) => Ok(Vec::new()),
        };
        found.unwrap_or_else(|error| vec![unreadable(place, &error)])
    }

    /// Waits while a manifest of the same repository is being deleted.
    pub(super) async fn no_delete_runs(&self, place: &Place) {
        let Some(name) = place.repository() else {
            return;
        };
        let repository = self.inner.registry.repository(name);
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < DELETE
            && !self.options().stop.is_cancelled()
            && repository.delete_is_announced().await
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn layer(
        &self,
        place: &Place,
        name: &RepositoryName,
        digest: &Digest,
        seen: Option<&Seen>,
    ) -> Found {
        let link = self.link(&layout::layer_link(name, digest)).await?;
        let canonical = match self
            .followed(place, digest, link, Kind::LayerWithoutContent)
            .await?
        {
            Ok(canonical) => canonical,
            Err(findings) => return Ok(findings),
        };
        if canonical.is_some()
            && let Some(Ok(mut layers)) = seen.map(|seen| seen.layers.lock())
        {
            layers.insert(digest.clone());
        }
        Ok(Vec::new())
    }

    async fn manifest(
        &self,
        place: &Place,
        name: &RepositoryName,
        digest: &Digest,
        seen: Option<&Seen>,
    ) -> Found {
        let link = self.link(&layout::revision_link(name, digest)).await?;
        let canonical = match self
            .followed(place, digest, link, Kind::MissingManifest)
            .await?
        {
            Ok(Some(canonical)) => canonical,
            Ok(None) => return Ok(Vec::new()),
            Err(findings) => return Ok(findings),
        };
        let bytes = match self.inner.registry.content(&canonical).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let what = "its bytes are gone";
                return Ok(vec![Finding::new(Kind::MissingManifest, place, what)]);
            }
            Err(error @ StorageError::TooLarge { .. }) => {
                let what = format!("it is no manifest: {error}");
                return Ok(vec![Finding::new(Kind::UnsupportedManifest, place, what)]);
            }
            Err(error) => return Err(error),
        };
        self.inner.pace.took(bytes.len()).await;
        if canonical.algorithm().digest(&bytes) != canonical {
            let what = "its bytes are damaged";
            return Ok(vec![Finding::new(Kind::MissingManifest, place, what)]);
        }
        let manifest = match Manifest::stored(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                let what = format!("it can't be served: {error}");
                return Ok(vec![Finding::new(Kind::UnsupportedManifest, place, what)]);
            }
        };
        let mut findings = self.parts(place, name, &manifest, seen).await?;
        findings.extend(
            self.listed(place, name, digest, &manifest, bytes.len() as u64, seen)
                .await?,
        );
        Ok(findings)
    }

    /// What a link leads to: its canonical digest, nothing if there is no link,
    /// or what is wrong with it. `gone` is what it is when the bytes are gone.
    async fn followed(
        &self,
        place: &Place,
        digest: &Digest,
        link: Link,
        gone: Kind,
    ) -> Result<Result<Option<Digest>, Vec<Finding>>, StorageError> {
        let wrong = |kind, what: String| Ok(Err(vec![Finding::new(kind, place, what)]));
        let canonical = match link {
            Link::Absent => return Ok(Ok(None)),
            Link::Malformed(what) => return wrong(Kind::MalformedLink, what),
            Link::To(canonical) => canonical,
        };
        let must = match digest.algorithm() {
            Algorithm::Sha256 => canonical == *digest,
            Algorithm::Sha512 => canonical.algorithm() == Algorithm::Sha256,
        };
        if !must {
            return wrong(Kind::WrongLink, format!("its link holds {canonical}"));
        }
        match self.content(&canonical).await? {
            Content::Good(_) => {}
            Content::Absent => return wrong(gone, format!("the bytes of {canonical} are gone")),
            // Told as a damaged blob already; but who pulls needs to know the name.
            Content::Damaged if gone == Kind::MissingManifest => {
                return wrong(gone, "its bytes are damaged".to_owned());
            }
            Content::Damaged => return Ok(Err(Vec::new())),
        }
        if digest.algorithm() == Algorithm::Sha512 {
            let name = self.inner.registry.name_of(&canonical).await?;
            let hashed = self.hash(&name, Algorithm::Sha512).await?;
            if let Some((_, actual)) = hashed
                && actual != *digest
            {
                let what = format!("its link leads to {canonical}, whose bytes are {actual}");
                return wrong(Kind::WrongLink, what);
            }
        }
        Ok(Ok(Some(canonical)))
    }

    /// Whether everything that a manifest needs is there.
    async fn parts(
        &self,
        place: &Place,
        name: &RepositoryName,
        manifest: &Manifest,
        seen: Option<&Seen>,
    ) -> Found {
        let mut findings = Vec::new();
        let mut lacking = Vec::new();
        for (part, held) in self.held_parts(name, manifest, seen).await? {
            match held {
                Ok(size) if size == part.size => {}
                Ok(size) => {
                    let digest = &part.digest;
                    let what = format!("{digest} has {size} bytes, but it says {}", part.size);
                    findings.push(Finding::new(Kind::WrongSize, place, what));
                }
                Err(lack) => lacking.push((part.digest, lack)),
            }
        }
        if !lacking.is_empty() {
            let mut words: Vec<String> = lacking
                .iter()
                .take(NAMED)
                .map(|(digest, lack)| {
                    let how = match lack {
                        Lack::Missing => "missing",
                        Lack::Damaged => "damaged",
                        Lack::Unlinked => "not in this repository",
                    };
                    format!("{digest} ({how})")
                })
                .collect();
            if lacking.len() > NAMED {
                words.push(format!("and {} more", lacking.len() - NAMED));
            }
            let what = format!("it needs {}", words.join(", "));
            findings.push(Finding::new(Kind::IncompleteManifest, place, what));
        }
        Ok(findings)
    }

    /// Each part that a manifest needs, with its size or why it isn't there.
    pub(super) async fn held_parts(
        &self,
        name: &RepositoryName,
        manifest: &Manifest,
        seen: Option<&Seen>,
    ) -> Result<Vec<(Part, Result<u64, Lack>)>, StorageError> {
        let repository = self.inner.registry.repository(name);
        if repository.settings().validation.disabled {
            return Ok(Vec::new());
        }
        let mut once = HashSet::new();
        let mut parts = Vec::new();
        for part in &manifest.parts {
            let child = matches!(part.kind, PartKind::Child(_));
            if repository.must_exist(part) && once.insert((&part.digest, part.size, child)) {
                let held = self.held_part(name, &part.digest, child, seen).await?;
                parts.push((part.clone(), held));
            }
        }
        Ok(parts)
    }

    async fn held_part(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        child: bool,
        seen: Option<&Seen>,
    ) -> Result<Result<u64, Lack>, StorageError> {
        let known = !child
            && digest.algorithm() == Algorithm::Sha256
            && seen.is_some_and(|seen| {
                let layers = seen.layers.lock();
                layers.is_ok_and(|layers| layers.contains(digest))
            });
        let canonical = if known {
            Some(digest.clone())
        } else {
            let key = if child {
                layout::revision_link(name, digest)
            } else {
                layout::layer_link(name, digest)
            };
            match self.link(&key).await? {
                // One that leads elsewhere is found by itself.
                Link::To(other) if digest.algorithm() == Algorithm::Sha256 && other != *digest => {
                    None
                }
                Link::To(canonical) => Some(canonical),
                Link::Absent | Link::Malformed(_) => None,
            }
        };
        let held = canonical.is_some();
        let canonical = canonical.unwrap_or_else(|| digest.clone());
        Ok(match self.content(&canonical).await? {
            Content::Good(size) if held => Ok(size),
            Content::Good(_) => Err(Lack::Unlinked),
            Content::Damaged => Err(Lack::Damaged),
            Content::Absent => Err(Lack::Missing),
        })
    }

    /// Whether a manifest is listed among its subject's referrers.
    async fn listed(
        &self,
        place: &Place,
        name: &RepositoryName,
        digest: &Digest,
        manifest: &Manifest,
        size: u64,
        seen: Option<&Seen>,
    ) -> Found {
        let Some(subject) = &manifest.subject else {
            return Ok(Vec::new());
        };
        let expected = descriptor(manifest, digest, size);
        let record = self
            .store()
            .get(&layout::referrer(name, subject, digest))
            .await?;
        let kind = match record {
            Some(record) => match read_record(&record) {
                Some(record) if record == expected => {
                    if let Some(Ok(mut referrers)) = seen.map(|seen| seen.referrers.lock()) {
                        referrers.insert((subject.clone(), digest.clone()));
                    }
                    return Ok(Vec::new());
                }
                _ => Kind::WrongReferrer,
            },
            // registry:2 keeps no such records; clients that push to it list
            // the referrer under a tag of the subject's.
            None => {
                let repository = self.inner.registry.repository(name);
                match repository.fallback_referrers(subject).await {
                    Ok(listed) if listed.contains(digest) => return Ok(Vec::new()),
                    _ => Kind::MissingReferrer,
                }
            }
        };
        let what = match kind {
            Kind::MissingReferrer => format!("it isn't among the referrers of {subject}"),
            _ => format!("its record among the referrers of {subject} is torn or wrong"),
        };
        Ok(vec![Finding::new(kind, place, what)])
    }

    async fn referrer(
        &self,
        place: &Place,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Found {
        let record = self
            .store()
            .get(&layout::referrer(name, subject, digest))
            .await;
        match record {
            Ok(None) => return Ok(Vec::new()),
            Ok(Some(_)) | Err(StorageError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        let held = match self.link(&layout::revision_link(name, digest)).await? {
            Link::To(canonical) => canonical,
            Link::Absent | Link::Malformed(_) => {
                let what = "the repository doesn't have it any more";
                return Ok(vec![Finding::new(Kind::SuperfluousReferrer, place, what)]);
            }
        };
        let Some(bytes) = self.inner.registry.content(&held).await? else {
            return Ok(Vec::new());
        };
        match Manifest::stored(&bytes) {
            Ok(manifest) if manifest.subject.as_ref() != Some(subject) => {
                let what = "its subject is another one";
                Ok(vec![Finding::new(Kind::WrongReferrer, place, what)])
            }
            // That its record is right is looked at with the manifest.
            _ => Ok(Vec::new()),
        }
    }

    async fn tag(&self, place: &Place, name: &RepositoryName, tag: &Tag) -> Found {
        let named = match self.link(&layout::tag_current(name, tag)).await? {
            Link::To(digest) => digest,
            Link::Absent if self.store().exists(&layout::tag(name, tag)).await? => {
                let what =
                    "it names no manifest: a push or delete was cut short, or its link is lost";
                return Ok(vec![Finding::new(Kind::UnfinishedTag, place, what)]);
            }
            Link::Absent => return Ok(Vec::new()),
            Link::Malformed(what) => {
                return Ok(vec![Finding::new(Kind::MalformedLink, place, what)]);
            }
        };
        let mut findings = Vec::new();
        let why = match self.link(&layout::revision_link(name, &named)).await? {
            Link::To(canonical) => match self.content(&canonical).await? {
                Content::Good(_) => None,
                Content::Damaged => Some("whose bytes are damaged"),
                Content::Absent => Some("whose bytes are gone"),
            },
            Link::Malformed(_) => Some("whose link is torn"),
            Link::Absent => Some("which this repository doesn't have"),
        };
        if let Some(why) = why {
            let what = format!("it names {named}, {why}");
            findings.push(Finding::new(Kind::DanglingTag, place, what));
        }
        let torn = self.torn_history(name, tag, &named).await?;
        if !torn.is_empty() {
            let named = torn.iter().take(NAMED).map(ToString::to_string);
            let named: Vec<String> = named.collect();
            let what = format!("its history is torn at {}", named.join(", "));
            findings.push(Finding::new(Kind::BrokenTagHistory, place, what));
        }
        Ok(findings)
    }

    /// The entries of a tag's history that are missing or hold something else.
    pub(super) async fn torn_history(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        named: &Digest,
    ) -> Result<Vec<Digest>, StorageError> {
        let mut torn = Vec::new();
        let mut current = false;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let prefix = layout::tag_history_by(name, tag, algorithm);
            let mut entries = self.names(prefix, None);
            while let Some(entry) = entries.next().await {
                let Some(digest) = digest_of(algorithm, &entry?) else {
                    continue;
                };
                match self.link(&layout::tag_history(name, tag, &digest)).await? {
                    Link::To(held) if held == digest => current |= digest == *named,
                    Link::Absent => {}
                    Link::To(_) | Link::Malformed(_) => torn.push(digest),
                }
            }
        }
        if !current && !torn.contains(named) {
            torn.push(named.clone());
        }
        Ok(torn)
    }

    /// What a link file holds.
    pub(super) async fn link(&self, key: &Key) -> Result<Link, StorageError> {
        let bytes = match self.store().get(key).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Link::Absent),
            Err(StorageError::TooLarge { size, .. }) => {
                return Ok(Link::Malformed(format!("its link has {size} bytes")));
            }
            Err(error) => return Err(error),
        };
        let text = std::str::from_utf8(&bytes).ok();
        Ok(match text.and_then(|text| text.parse().ok()) {
            Some(digest) => Link::To(digest),
            None if bytes.is_empty() => Link::Malformed("its link is empty".to_owned()),
            None => Link::Malformed("its link holds no digest".to_owned()),
        })
    }

    /// What is known of a blob: what this check has seen, unless somebody has
    /// replaced it since.
    pub(super) async fn content(&self, digest: &Digest) -> Result<Content, StorageError> {
        let known = self.inner.known.read().ok();
        if let Some(size) = known.and_then(|known| known.size(digest)) {
            return Ok(Content::Good(size));
        }
        let damaged = self.damaged().get(digest).copied();
        Ok(match self.inner.registry.located(digest).await? {
            None => Content::Absent,
            Some((_, meta)) if damaged == Some(meta) => Content::Damaged,
            Some((_, meta)) => Content::Good(meta.size),
        })
    }
}

pub(super) fn unreadable(place: &Place, error: &StorageError) -> Finding {
    Finding::new(Kind::Unreadable, place, error.to_string())
}
