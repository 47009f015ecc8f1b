//! Mends what can be mended without asking anybody: damaged bytes are set
//! aside, so that the registry doesn't have them and the next push brings good
//! ones; what follows from something else is written again. No bytes are
//! removed, and nothing that was deleted comes back: each thing is looked at
//! again right before it is changed.

use futures_util::stream::StreamExt as _;

use super::blobs::digest_of;
use super::finding::{Finding, Kind, Place};
use super::inspect::{Content, Link};
use super::run::{Run, Stop};
use crate::oci::{Algorithm, Digest, Manifest, RepositoryName, Tag};
use crate::registry::Error;
use crate::storage::{Aside, layout};

impl Run<'_> {
    /// Mends one thing. What can't be mended is said and stays a finding.
    pub(super) async fn mend(&mut self, finding: &Finding) -> Result<(), Stop> {
        match self.mended(finding).await {
            Ok(Some(deed)) => self.did(deed),
            Ok(None) => {}
            Err(error) => self.did(format!("could not mend {}: {error}", finding.place)),
        }
        Ok(())
    }

    /// What was done, in words.
    async fn mended(&self, finding: &Finding) -> Result<Option<String>, Error> {
        match (&finding.place, finding.kind) {
            (Place::Blob(digest), Kind::DamagedBlob) => self.quarantine(digest).await,
            (Place::Layer(name, digest), Kind::MalformedLink | Kind::WrongLink) => {
                self.relink(&layout::layer_link(name, digest), name, digest)
                    .await
            }
            (Place::Manifest(name, digest), Kind::MalformedLink | Kind::WrongLink) => {
                let key = layout::revision_link(name, digest);
                self.relink(&key, name, digest).await
            }
            (Place::Manifest(name, digest), Kind::MissingReferrer | Kind::WrongReferrer) => {
                self.list_referrer(name, digest).await
            }
            (
                Place::Referrer {
                    repository,
                    subject,
                    digest,
                },
                Kind::SuperfluousReferrer | Kind::WrongReferrer,
            ) => self.unlist_referrer(repository, subject, digest).await,
            (Place::Tag(name, tag), Kind::BrokenTagHistory) => {
                self.rewrite_history(name, tag).await
            }
            (Place::File(path), Kind::TemporaryFile) => self.remove_temporary(path).await,
            _ => Ok(None),
        }
    }

    /// Moves the bytes that were found to be wrong, and no others.
    async fn quarantine(&self, digest: &Digest) -> Result<Option<String>, Error> {
        let checker = self.checker;
        let Some(version) = checker.damaged().get(digest).copied() else {
            return Ok(None);
        };
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%6fZ");
        let to = layout::quarantined_at(digest, &time.to_string());
        let from = checker.inner.registry.name_of(digest).await?;
        let moved = checker.store().set_aside(&from, &to, &version).await?;
        checker.damaged().remove(digest);
        Ok(match moved {
            Aside::Moved => Some(format!(
                "blob {digest}: its damaged bytes were moved to {}",
                to.as_str()
            )),
            Aside::Changed => Some(format!(
                "blob {digest}: it was pushed again meanwhile, and stays"
            )),
        })
    }

    /// Puts good bytes back that an earlier repair has moved and that nobody has
    /// pushed since: a push may have replaced bad ones while they were moved,
    /// right before that repair was ended.
    pub(super) async fn put_back(&mut self) -> Result<(), Stop> {
        let checker = self.checker.clone();
        let mut names = checker.names(layout::quarantine(Algorithm::Sha256), None);
        while let Some(name) = names.next().await {
            let Some(digest) = digest_of(Algorithm::Sha256, &name?) else {
                continue;
            };
            let place = checker.inner.registry.name_of(&digest).await?;
            let mut times = checker.names(layout::quarantined(&digest), None);
            while let Some(time) = times.next().await {
                if checker.store().head(&place).await?.is_some() {
                    break;
                }
                let from = layout::quarantined_at(&digest, &time?);
                let hashed = checker.hash(&from, Algorithm::Sha256);
                let hashed = self.unless_stopped(hashed).await??;
                if let Some((version, actual)) = hashed
                    && actual == digest
                    && checker.store().set_aside(&from, &place, &version).await? == Aside::Moved
                {
                    self.did(format!("blob {digest}: good bytes were put back"));
                }
            }
        }
        Ok(())
    }

    /// Writes a link again whose content follows from its name, or from the
    /// repository's other links.
    async fn relink(
        &self,
        key: &crate::storage::Key,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<String>, Error> {
        let checker = self.checker;
        let canonical = match digest.algorithm() {
            Algorithm::Sha256 => Some(digest.clone()),
            Algorithm::Sha512 => self.canonical_of(name, digest).await?,
        };
        let Some(canonical) = canonical else {
            return Ok(None);
        };
        if !matches!(checker.content(&canonical).await?, Content::Good(_)) {
            return Ok(None);
        }
        match checker.link(key).await? {
            // Deleted meanwhile, or pushed again.
            Link::Absent => return Ok(None),
            Link::To(held) if held == canonical => return Ok(None),
            Link::To(_) | Link::Malformed(_) => {}
        }
        checker.inner.registry.set_link(key, &canonical).await?;
        Ok(Some(format!(
            "{name}: the link of {digest} was written again"
        )))
    }

    /// Which of a repository's blobs has this SHA-512 digest: a push of it has
    /// linked the canonical one too.
    async fn canonical_of(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Digest>, Error> {
        let checker = self.checker;
        let mut candidates = Vec::new();
        for prefix in [
            layout::layers_by(name, Algorithm::Sha256),
            layout::revisions_by(name, Algorithm::Sha256),
        ] {
            let mut names = checker.names(prefix, None);
            while let Some(hex) = names.next().await {
                candidates.extend(digest_of(Algorithm::Sha256, &hex?));
            }
        }
        for candidate in candidates {
            let key = checker.inner.registry.name_of(&candidate).await?;
            let hashed = checker.hash(&key, Algorithm::Sha512).await?;
            if hashed.is_some_and(|(_, actual)| actual == *digest) {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    async fn list_referrer(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<String>, Error> {
        let repository = self.checker.inner.registry.repository(name);
        let Some(content) = repository.manifest_content(digest).await? else {
            return Ok(None);
        };
        let manifest = Manifest::stored(&content)?;
        let Some(subject) = manifest.subject.clone() else {
            return Ok(None);
        };
        let size = content.len() as u64;
        repository.record_referrer(&manifest, digest, size).await?;
        if repository.held_manifest(digest).await?.is_none() {
            // Deleted meanwhile: nobody lists it, and nobody should find it.
            repository.forget_referrer(&subject, digest).await?;
            return Ok(None);
        }
        Ok(Some(format!(
            "{name}: {digest} is listed among the referrers of {subject} again"
        )))
    }

    async fn unlist_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<String>, Error> {
        let repository = self.checker.inner.registry.repository(name);
        if repository.described(digest, subject).await?.is_some() {
            return Ok(None);
        }
        repository.forget_referrer(subject, digest).await?;
        // It may have been pushed in between.
        if repository.described(digest, subject).await?.is_some() {
            return self.list_referrer(name, digest).await;
        }
        Ok(Some(format!(
            "{name}: the record of {digest} among the referrers of {subject} was removed"
        )))
    }

    async fn rewrite_history(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<String>, Error> {
        let checker = self.checker;
        let current = layout::tag_current(name, tag);
        let Link::To(named) = checker.link(&current).await? else {
            return Ok(None);
        };
        for digest in checker.torn_history(name, tag, &named).await? {
            let key = layout::tag_history(name, tag, &digest);
            checker.inner.registry.set_link(&key, &digest).await?;
        }
        if matches!(checker.link(&current).await?, Link::Absent) {
            // Deleted meanwhile: what was just written must not keep it listed.
            checker.store().delete_all(&layout::tag(name, tag)).await?;
            return Ok(None);
        }
        Ok(Some(format!(
            "{name}: the history of tag {tag} was written again"
        )))
    }

    async fn remove_temporary(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(survey) = self.checker.options().survey.clone() else {
            return Ok(None);
        };
        let name = path.to_owned();
        let removed = tokio::task::spawn_blocking(move || survey.remove_abandoned(&name)).await;
        match removed {
            Ok(Ok(true)) => Ok(Some(format!("{path} was removed"))),
            Ok(Ok(false)) | Err(_) => Ok(None),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}
