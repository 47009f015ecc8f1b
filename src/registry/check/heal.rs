//! Fetches what is damaged or missing from a second registry, and pushes it as
//! a client would: it is hashed on its way, and a server that runs beside sees
//! nothing unusual.

use std::collections::BTreeSet;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;

use super::Record;
use super::finding::{Kind, Place};
use super::inspect::Link;
use super::run::{Run, Stop};
use crate::oci::{Digest, Manifest, PartKind, Reference, RepositoryName};
use crate::registry::Error;
use crate::storage::{ByteStream, layout};

/// Indexes in indexes that are followed.
const DEPTH: usize = 8;

/// Another registry that has the same content.
#[async_trait]
pub trait Source: Send + Sync {
    /// The bytes of a blob of a repository there, `None` if it hasn't got it.
    async fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ByteStream>, SourceError>;

    /// A manifest of a repository there, `None` if it hasn't got it. At most as
    /// many bytes as a manifest may have.
    async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Bytes>, SourceError>;
}

/// The other registry could not be asked; the text says why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
enum Unhealed {
    #[error("the other registry hasn't got it")]
    NotThere,
    #[error("what the other registry has is damaged too")]
    Damaged,
    #[error("indexes are nested too deeply")]
    TooDeep,
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Here(#[from] Error),
}

/// What is wanted of the other registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    // Blobs first: manifests need them.
    Blob(RepositoryName, Digest),
    Manifest(RepositoryName, Digest),
}

impl Run<'_> {
    /// Fetches everything that was found damaged or missing.
    pub(super) async fn heal(&mut self) -> Result<(), Stop> {
        let Some(source) = self.checker.options().source.clone() else {
            return Ok(());
        };
        let mut wants = BTreeSet::new();
        let records = self.reached.findings.iter().chain(&self.reached.notes);
        for record in records.cloned().collect::<Vec<Record>>() {
            self.wants(&record, &mut wants).await?;
        }
        for want in wants {
            let (name, digest) = match &want {
                Want::Blob(name, digest) | Want::Manifest(name, digest) => (name, digest),
            };
            let healed = match &want {
                Want::Blob(..) => self.fetch_blob(&*source, name, digest).await,
                Want::Manifest(..) => self.fetch_manifest(&*source, name, digest, DEPTH).await,
            };
            match healed {
                Ok(()) => self.did(format!("{name}: {digest} was fetched and put in place")),
                Err(error) => self.did(format!("{name}: {digest} could not be fetched: {error}")),
            }
            if self.checker.options().stop.is_cancelled() {
                return Err(Stop::Asked);
            }
        }
        Ok(())
    }

    async fn wants(&self, record: &Record, wants: &mut BTreeSet<Want>) -> Result<(), Stop> {
        let Some(finding) = record.finding() else {
            return Ok(());
        };
        let checker = self.checker;
        match (finding.place, finding.kind) {
            // Only what a repair has set aside: else nobody has missed it.
            (Place::Layer(name, digest), Kind::LayerWithoutContent) => {
                let aside = layout::quarantined(&digest);
                if checker.store().exists(&aside).await? {
                    wants.insert(Want::Blob(name, digest));
                }
            }
            (Place::Layer(name, digest), Kind::MalformedLink | Kind::WrongLink) => {
                wants.insert(Want::Blob(name, digest));
            }
            (
                Place::Manifest(name, digest),
                Kind::MissingManifest
                | Kind::IncompleteManifest
                | Kind::MalformedLink
                | Kind::WrongLink,
            ) => {
                wants.insert(Want::Manifest(name, digest));
            }
            (Place::Tag(name, tag), Kind::DanglingTag) => {
                if let Link::To(named) = checker.link(&layout::tag_current(&name, &tag)).await? {
                    wants.insert(Want::Manifest(name, named));
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn fetch_blob(
        &self,
        source: &dyn Source,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Unhealed> {
        let repository = self.checker.inner.registry.repository(name);
        let content = source.blob(name, digest).await?.ok_or(Unhealed::NotThere)?;
        match repository.put_blob(digest, content).await {
            Err(Error::DigestMismatch { .. }) => Err(Unhealed::Damaged),
            put => Ok(put?),
        }
    }

    /// Fetches a manifest after what it needs.
    fn fetch_manifest<'a>(
        &'a self,
        source: &'a dyn Source,
        name: &'a RepositoryName,
        digest: &'a Digest,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<(), Unhealed>> + Send + 'a>> {
        Box::pin(async move {
            let depth = depth.checked_sub(1).ok_or(Unhealed::TooDeep)?;
            let repository = self.checker.inner.registry.repository(name);
            // Perhaps only a part of it is missing.
            let content = match repository.manifest_content(digest).await? {
                Some(content) => content,
                None => source
                    .manifest(name, digest)
                    .await?
                    .ok_or(Unhealed::NotThere)?,
            };
            if digest.algorithm().digest(&content) != *digest {
                return Err(Unhealed::Damaged);
            }
            let manifest = Manifest::stored(&content).map_err(Error::from)?;
            let parts = self.checker.held_parts(name, &manifest, None).await;
            for (part, held) in parts.map_err(Error::from)? {
                match part.kind {
                    _ if held.is_ok() => {}
                    PartKind::Child(_) => {
                        self.fetch_manifest(source, name, &part.digest, depth)
                            .await?;
                    }
                    PartKind::Blob | PartKind::ForeignLayer => {
                        self.fetch_blob(source, name, &part.digest).await?;
                    }
                }
            }
            let reference = Reference::Digest(digest.clone());
            let put = repository.put_manifest(&reference, Vec::new(), None, content);
            put.await?;
            Ok(())
        })
    }
}
