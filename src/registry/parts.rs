//! What a manifest needs before it is accepted (distribution-spec, "Pushing
//! manifests": a registry may refuse a manifest whose parts are missing).

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt, TryStreamExt as _};

use super::gc::{Intent, Pushing};
use super::{Error, IndexChildren, Repository};
use crate::oci::{Algorithm, Digest, Manifest, Part, PartKind};

/// Look-ups under way at once.
const AT_ONCE: usize = 16;

/// The most missing parts that are named.
const NAMED: usize = 100;

/// A part to look up.
struct Wanted {
    part: Part,
    /// Where the manifest names it.
    place: String,
    /// Whether the manifest is refused without it.
    must: bool,
}

impl Repository {
    /// What a collection must be told of before a manifest is pushed: every cell
    /// that it will need, as far as this repository holds it by now.
    pub(super) async fn intent(
        &self,
        manifest: &Manifest,
        digest: &Digest,
        canonical: &Digest,
    ) -> Result<Intent, Error> {
        let mut intent = Intent {
            repository: self.name.clone(),
            digest: digest.clone(),
            parts: Vec::new(),
            cells: vec![canonical.clone()],
            children: Vec::new(),
        };
        let mut seen = HashSet::new();
        for part in &manifest.parts {
            if !seen.insert((&part.digest, matches!(part.kind, PartKind::Child(_)))) {
                continue;
            }
            intent.parts.push(part.digest.clone());
            let Some(cell) = self.cell(part).await? else {
                continue;
            };
            if matches!(part.kind, PartKind::Child(_)) {
                intent.children.push(cell.clone());
            }
            intent.cells.push(cell);
        }
        Ok(intent)
    }

    /// The canonical digest of a part: only links know it of SHA-512.
    async fn cell(&self, part: &Part) -> Result<Option<Digest>, Error> {
        if part.digest.algorithm() == Algorithm::Sha256 {
            return Ok(Some(part.digest.clone()));
        }
        match part.kind {
            PartKind::Child(_) => self.held_manifest(&part.digest).await,
            PartKind::Blob | PartKind::ForeignLayer => self.held_blob(&part.digest).await,
        }
    }

    /// P3: refuses a manifest whose parts are not in this repository, have another
    /// size than it says, or have a URL that the configuration refuses. What
    /// need not be there (foreign layers, children of sparse indexes) must still
    /// have the size that it says if it is there. Nothing is asked of a subject.
    pub(super) async fn check_needs(
        &self,
        manifest: &Manifest,
        pushing: &Pushing,
    ) -> Result<(), Error> {
        self.check_not_condemned(manifest, pushing).await?;
        if self.settings().validation.disabled {
            return Ok(());
        }
        for part in &manifest.parts {
            self.check_urls(part)?;
        }
        let mut results = stream::iter(self.wanted(manifest))
            .map(|wanted| async move {
                let size = self.part_size(&wanted.part, pushing).await;
                (wanted, size)
            })
            .buffered(AT_ONCE);
        let mut missing: Vec<Digest> = Vec::new();
        while let Some((Wanted { part, place, must }, size)) = results.next().await {
            match size? {
                Some(size) if size == part.size => {}
                Some(size) => {
                    return Err(Error::ManifestRefused(format!(
                        "`{place}.size` is {}, but {} has {size} bytes",
                        part.size, part.digest
                    )));
                }
                None if must => missing.push(part.digest),
                None => {}
            }
            if missing.len() >= NAMED {
                break;
            }
        }
        if missing.is_empty() {
            missing = self.missing_below(manifest, pushing).await?;
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::PartsUnknown(missing))
        }
    }

    /// Refuses a manifest of which something is there that a collection is about
    /// to remove, whether or not it must be there.
    async fn check_not_condemned(
        &self,
        manifest: &Manifest,
        pushing: &Pushing,
    ) -> Result<(), Error> {
        let mut going = Vec::new();
        if pushing.condemned().is_empty() {
            return Ok(());
        }
        for part in &manifest.parts {
            let Some(cell) = self.cell(part).await? else {
                continue;
            };
            let condemned = pushing.condemned();
            let stays = self.registry.located_beside(&cell, condemned).await?;
            if stays.is_none() && self.registry.located(&cell).await?.is_some() {
                going.push(part.digest.clone());
            }
        }
        if going.is_empty() {
            Ok(())
        } else {
            Err(Error::PartsUnknown(going))
        }
    }

    /// What an index's children need and has no bytes: a child that is linked
    /// may be what a push left that was never acknowledged.
    async fn missing_below(
        &self,
        manifest: &Manifest,
        pushing: &Pushing,
    ) -> Result<Vec<Digest>, Error> {
        let mut children: Vec<Part> = self.children_of(manifest).collect();
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        while let Some(child) = children.pop() {
            if !seen.insert(child.digest.clone()) {
                continue;
            }
            let Some(content) = self.manifest_content(&child.digest).await? else {
                continue;
            };
            let Ok(below) = Manifest::stored(&content) else {
                continue;
            };
            children.extend(self.children_of(&below));
            let parts = below.parts.into_iter().filter(|part| self.must_exist(part));
            let looks = stream::iter(parts)
                .map(|part| async move {
                    let Some(cell) = self.cell(&part).await? else {
                        return Ok(Some(part.digest));
                    };
                    let condemned = pushing.condemned();
                    let located = self.registry.located_beside(&cell, condemned).await?;
                    Ok::<_, Error>(located.is_none().then_some(part.digest))
                })
                .buffered(AT_ONCE);
            let looked: Vec<Option<Digest>> = looks.try_collect().await?;
            missing.extend(looked.into_iter().flatten());
            if missing.len() >= NAMED {
                break;
            }
        }
        Ok(missing)
    }

    fn children_of(&self, manifest: &Manifest) -> impl Iterator<Item = Part> + use<> {
        let children = manifest.parts.iter();
        let children = children.filter(|part| matches!(part.kind, PartKind::Child(_)));
        children.cloned().collect::<Vec<_>>().into_iter()
    }

    /// One look-up for each distinct part.
    fn wanted(&self, manifest: &Manifest) -> Vec<Wanted> {
        let parts = manifest
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| Wanted {
                part: part.clone(),
                place: match (manifest.media_type.is_index(), index.checked_sub(1)) {
                    (true, _) => format!("manifests[{index}]"),
                    (false, Some(layer)) => format!("layers[{layer}]"),
                    (false, None) => "config".to_owned(),
                },
                must: self.must_exist(part),
            });
        let mut seen = HashSet::new();
        parts
            .filter(|Wanted { part, must, .. }| {
                let is_child = matches!(part.kind, PartKind::Child(_));
                seen.insert((part.digest.clone(), part.size, is_child, *must))
            })
            .collect()
    }

    /// Whether a manifest is refused without this part.
    pub(super) fn must_exist(&self, part: &Part) -> bool {
        match &part.kind {
            PartKind::Blob => true,
            PartKind::ForeignLayer => part.urls.is_empty(),
            PartKind::Child(platform) => match &self.settings().validation.index_children {
                IndexChildren::All => true,
                IndexChildren::None => false,
                IndexChildren::Platforms(wanted) => platform.as_ref().is_some_and(|platform| {
                    wanted.iter().any(|one| {
                        one.os == platform.os && one.architecture == platform.architecture
                    })
                }),
            },
        }
    }

    /// The size of a part that is there, under a name that stays.
    async fn part_size(&self, part: &Part, pushing: &Pushing) -> Result<Option<u64>, Error> {
        let held = match part.kind {
            PartKind::Child(_) => self.held_manifest(&part.digest).await?,
            PartKind::Blob | PartKind::ForeignLayer => self.held_blob(&part.digest).await?,
        };
        // One that was linked since the intent was posted isn't in it.
        let Some(canonical) =
            held.filter(|canonical| *canonical == part.digest || pushing.protects(canonical))
        else {
            return Ok(None);
        };
        let condemned = pushing.condemned();
        let meta = self.sound_meta_beside(&part.digest, &canonical, condemned);
        Ok(meta.await?.map(|meta| meta.size))
    }

    fn check_urls(&self, part: &Part) -> Result<(), Error> {
        let validation = &self.settings().validation;
        for url in &part.urls {
            let allowed = validation.urls_allow.is_empty()
                || validation
                    .urls_allow
                    .iter()
                    .any(|pattern| pattern.is_match(url));
            let denied = validation
                .urls_deny
                .iter()
                .any(|pattern| pattern.is_match(url));
            if denied || !allowed {
                return Err(Error::ManifestRefused(format!(
                    "the URL `{}` of {} is not allowed here (validation.manifests.urls)",
                    url.chars().take(200).collect::<String>(),
                    part.digest
                )));
            }
        }
        Ok(())
    }
}
