//! What a manifest needs before it is accepted (distribution-spec, "Pushing
//! manifests": a registry may refuse a manifest whose parts are missing).

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt};

use super::{Error, IndexChildren, Repository};
use crate::oci::{Digest, Manifest, Part, PartKind};

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
    /// Refuses a manifest whose parts are not in this repository, have another
    /// size than it says, or have a URL that the configuration refuses. What
    /// need not be there (foreign layers, children of sparse indexes) must still
    /// have the size that it says if it is there. Nothing is asked of a subject.
    pub(super) async fn check_parts(&self, manifest: &Manifest) -> Result<(), Error> {
        if self.settings().validation.disabled {
            return Ok(());
        }
        for part in &manifest.parts {
            self.check_urls(part)?;
        }
        let mut results = stream::iter(self.wanted(manifest))
            .map(|wanted| async move {
                let size = self.part_size(&wanted.part).await;
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
            Ok(())
        } else {
            Err(Error::PartsUnknown(missing))
        }
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

    async fn part_size(&self, part: &Part) -> Result<Option<u64>, Error> {
        let meta = match part.kind {
            PartKind::Child(_) => match self.held_manifest(&part.digest).await? {
                Some(canonical) => self.sound_meta(&part.digest, &canonical).await?,
                None => None,
            },
            PartKind::Blob | PartKind::ForeignLayer => self.blob_meta(&part.digest).await?,
        };
        Ok(meta.map(|meta| meta.size))
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
