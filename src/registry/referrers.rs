//! Referrers (distribution-spec, "Listing Referrers"): the manifests of a
//! repository whose `subject` is a given digest.
//!
//! Each has a record under its subject, written before its push is
//! acknowledged, whichever of the two came first. A record counts only while
//! the repository still holds the manifest, so that a delete by registry:2 is
//! seen. Merged with them are the indexes that clients keep under a tag where
//! a registry has no referrers ([`super::fallback`]).

use bytes::Bytes;

use super::{Error, Repository};
use crate::oci::{Algorithm, Descriptor, Digest, Manifest};
use crate::storage::layout;

/// The most bytes of JSON in one page: clients refuse manifests over 4 MB.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// The most records that one request reads to fill its page.
const EXAMINED: usize = 10_000;

/// One page of referrers, ordered by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrers {
    /// The descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page begins, if there is one.
    pub next: Option<Digest>,
}

impl Repository {
    /// The referrers of `subject` after `after`, at most `limit` of them, only
    /// those of `artifact_type` if one is given. A subject that does not exist
    /// has none.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: Option<usize>,
    ) -> Result<Referrers, Error> {
        let most = self.settings().limits.referrers;
        let limit = limit.unwrap_or(most).min(most).max(1);
        let (candidates, more) = self.candidates(subject, after).await?;
        let mut descriptors = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        for digest in candidates {
            let descriptor = match self.recorded_referrer(subject, &digest).await? {
                Some(descriptor) => Some(descriptor),
                None => self.described(&digest, subject).await?,
            };
            if let Some(descriptor) = descriptor
                && artifact_type
                    .is_none_or(|wanted| descriptor.artifact_type.as_deref() == Some(wanted))
            {
                bytes += serde_json::to_vec(&descriptor).map_or(0, |json| json.len());
                if descriptors.len() == limit || bytes > PAGE_BYTES && !descriptors.is_empty() {
                    return Ok(Referrers {
                        descriptors,
                        next: last,
                    });
                }
                descriptors.push(descriptor);
            }
            last = Some(digest);
        }
        Ok(Referrers {
            descriptors,
            next: last.filter(|_| more),
        })
    }

    /// Digests after `after` that may be referrers, in order and without
    /// doubles, and whether more follow.
    async fn candidates(
        &self,
        subject: &Digest,
        after: Option<&Digest>,
    ) -> Result<(Vec<Digest>, bool), Error> {
        let mut digests = self.fallback_referrers(subject).await?;
        if let Some(after) = after {
            digests = digests.split_off(after);
            digests.remove(after);
        }
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let begin = match after {
                Some(after) if after.algorithm() > algorithm => continue,
                Some(after) if after.algorithm() == algorithm => Some(after.hex()),
                _ => None,
            };
            let prefix = layout::referrers_by(&self.name, subject, algorithm);
            for child in self.store().children(&prefix, begin, EXAMINED + 1).await? {
                digests.extend(format!("{algorithm}:{}", child.name).parse::<Digest>().ok());
            }
        }
        let more = digests.len() > EXAMINED;
        Ok((digests.into_iter().take(EXAMINED).collect(), more))
    }

    /// The record of a referrer that this repository still holds, if it is whole.
    async fn recorded_referrer(
        &self,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<Descriptor>, Error> {
        let key = layout::referrer(&self.name, subject, digest);
        let (record, held) = futures_util::try_join!(
            async { Ok(self.store().get(&key).await?) },
            self.held_manifest(digest)
        )?;
        let (Some(record), Some(_)) = (record, held) else {
            return Ok(None);
        };
        // Of a damaged record the manifest itself knows.
        Ok(read_record(&record))
    }

    /// Records a manifest under its subject, if it has one; durable on return.
    pub(super) async fn record_referrer(
        &self,
        manifest: &Manifest,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Error> {
        let Some(subject) = &manifest.subject else {
            return Ok(());
        };
        let key = layout::referrer(&self.name, subject, digest);
        let record = write_record(&descriptor(manifest, digest, size))?;
        Ok(self.store().put(&key, record).await?)
    }

    /// Removes a manifest from its subject's referrers; durable on return.
    pub(super) async fn forget_referrer(
        &self,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), Error> {
        Ok(self
            .store()
            .delete(&layout::referrer(&self.name, subject, digest))
            .await?)
    }

    /// The descriptor of a manifest that this repository holds, if its subject
    /// is `subject`.
    pub(super) async fn described(
        &self,
        digest: &Digest,
        subject: &Digest,
    ) -> Result<Option<Descriptor>, Error> {
        let Some(content) = self.manifest_content(digest).await? else {
            return Ok(None);
        };
        let manifest = Manifest::stored(&content).ok();
        Ok(manifest
            .filter(|manifest| manifest.subject.as_ref() == Some(subject))
            .map(|manifest| descriptor(&manifest, digest, content.len() as u64)))
    }
}

/// A record: the descriptor as JSON, and the digest of that in a second line.
fn write_record(descriptor: &Descriptor) -> Result<Bytes, Error> {
    let mut record = serde_json::to_vec(descriptor)
        .map_err(|error| Error::ManifestRefused(error.to_string()))?;
    let sum = Algorithm::Sha256.digest(&record);
    record.extend(format!("\n{sum}").bytes());
    Ok(record.into())
}

/// The descriptor in a record, unless the record is damaged.
pub(super) fn read_record(record: &[u8]) -> Option<Descriptor> {
    let end = record.iter().rposition(|byte| *byte == b'\n')?;
    let (json, sum) = (record.get(..end)?, record.get(end + 1..)?);
    let right = Algorithm::Sha256.digest(json).to_string().as_bytes() == sum;
    right.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// What the referrers API tells of a manifest.
pub(super) fn descriptor(manifest: &Manifest, digest: &Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.as_str().to_owned(),
        digest: digest.clone(),
        size,
        artifact_type: manifest.artifact_type.clone(),
        annotations: manifest.annotations.clone(),
    }
}
