//! What the links of a repository lead to, and what a push under way needs.

use std::collections::HashSet;

use super::collection::Failure;
use super::mark::DEPTH;
use super::records::Intent;
use crate::oci::{Algorithm, Digest, Manifest, PartKind, RepositoryName};
use crate::registry::Registry;
use crate::storage::layout;

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
