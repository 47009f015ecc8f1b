//! Blobs: visible only through a repository that links them.

use std::ops::Range;

use super::gc::Condemned;
use super::integrity::{Integrity, Verdict};
use super::usage::Change;
use super::{Error, Registry, Repository, Sight};
use crate::oci::{Algorithm, Digest, RepositoryName};
pub use crate::storage::Reading;
use crate::storage::{ByteStream, Meta, Object, StorageError, layout};

/// A blob that a repository holds, opened.
pub struct Blob {
    object: Object,
    /// What hashes its bytes while they are read, if nobody did so before.
    unchecked: Option<(Digest, Integrity)>,
}

impl Blob {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.object.meta.size
    }

    /// Streams a range of bytes within the size. All of a damaged blob breaks
    /// off before its last bytes.
    pub fn read(&self, range: Range<u64>) -> ByteStream {
        match &self.unchecked {
            Some((digest, integrity)) if range == (0..self.size()) => {
                integrity.checked(digest, &self.object)
            }
            _ => self.object.content.read(range),
        }
    }
}

/// Where the bytes of a blob come from.
pub enum BlobSource {
    /// From us.
    Here(Blob),
    /// From the store itself.
    Elsewhere {
        /// Grants access for a while: it must not be logged.
        address: String,
        /// Bytes.
        size: u64,
    },
}

impl Repository {
    /// Opens a blob of this repository. `reading` says how much of it will be
    /// read, as far as that is known.
    pub async fn blob(&self, digest: &Digest, reading: Reading) -> Result<Blob, Error> {
        let canonical = self.held_blob(digest).await?;
        let canonical = canonical.ok_or_else(|| Error::BlobUnknown(digest.clone()))?;
        self.open_blob(digest, &canonical, reading).await
    }

    /// Opens a blob of this repository, or says where the store hands it out by
    /// itself.
    pub async fn blob_source(
        &self,
        digest: &Digest,
        reading: Reading,
    ) -> Result<BlobSource, Error> {
        let unknown = || Error::BlobUnknown(digest.clone());
        let canonical = self.held_blob(digest).await?.ok_or_else(unknown)?;
        let data = layout::blob_data(&canonical);
        if self.store().address(&data).await?.is_some() {
            // The store's own word for a blob that is gone is none that clients know.
            let located = self.registry.located(&canonical).await?;
            let (key, meta) = located.ok_or_else(unknown)?;
            if self.integrity().verdict(digest, meta.version) == Verdict::Damaged {
                return Err(unknown());
            }
            let address = self.store().address(&key).await?;
            if let Some(address) = address.filter(|_| meta.assembled) {
                let size = meta.size;
                return Ok(BlobSource::Elsewhere { address, size });
            }
        }
        let blob = self.open_blob(digest, &canonical, reading).await?;
        Ok(BlobSource::Here(blob))
    }

    async fn open_blob(
        &self,
        digest: &Digest,
        canonical: &Digest,
        reading: Reading,
    ) -> Result<Blob, Error> {
        let unknown = || Error::BlobUnknown(digest.clone());
        let object = self.registry.open_content(canonical, reading).await?;
        let object = object.ok_or_else(unknown)?;
        match self.judged(digest, &object).await? {
            Verdict::Damaged => Err(unknown()),
            Verdict::Sound => Ok(Blob {
                object,
                unchecked: None,
            }),
            Verdict::Unknown => Ok(Blob {
                object,
                unchecked: Some((digest.clone(), self.integrity().clone())),
            }),
        }
    }

    /// What is known of opened content; small content is looked at now.
    async fn judged(&self, digest: &Digest, object: &Object) -> Result<Verdict, Error> {
        let verdict = self.integrity().verdict(digest, object.meta.version);
        if verdict == Verdict::Unknown && object.meta.size <= self.settings().examined {
            let examined = self.integrity().examine(digest, object).await;
            return Ok(examined.map_err(StorageError::Unavailable)?);
        }
        Ok(verdict)
    }

    /// Size and age of the bytes behind a digest, unless they are gone or known
    /// not to match it.
    pub(super) async fn sound_meta(
        &self,
        digest: &Digest,
        canonical: &Digest,
    ) -> Result<Option<Meta>, Error> {
        let anywhere = Condemned::default();
        self.sound_meta_beside(digest, canonical, &anywhere).await
    }

    /// The same, of bytes under a name that is not condemned.
    pub(super) async fn sound_meta_beside(
        &self,
        digest: &Digest,
        canonical: &Digest,
        condemned: &Condemned,
    ) -> Result<Option<Meta>, Error> {
        let located = self.registry.located_beside(canonical, condemned).await?;
        let Some((key, meta)) = located else {
            return Ok(None);
        };
        let mut verdict = self.integrity().verdict(digest, meta.version);
        if verdict == Verdict::Unknown && meta.size <= self.settings().examined {
            let Some(object) = self.store().open(&key, Reading::Whole).await? else {
                return Ok(None);
            };
            verdict = self.judged(digest, &object).await?;
        }
        Ok((verdict != Verdict::Damaged).then_some(meta))
    }

    /// Remembers that content was verified while it was received.
    pub(super) async fn trust_new(&self, digest: &Digest, canonical: &Digest) -> Result<(), Error> {
        // Elsewhere the look would cost more than it saves.
        if self.settings().examined > 0
            && let Some((_, meta)) = self.registry.located(canonical).await?
        {
            self.integrity().passed(canonical, meta.version);
            if digest != canonical {
                self.integrity().passed(digest, meta.version);
            }
        }
        Ok(())
    }

    /// The size in bytes of a blob of this repository, which is not opened.
    pub async fn blob_size(&self, digest: &Digest) -> Result<u64, Error> {
        match self.blob_meta(digest).await? {
            Some(meta) => Ok(meta.size),
            None => Err(Error::BlobUnknown(digest.clone())),
        }
    }

    /// Removes a blob from this repository; its bytes stay for others. Only
    /// the digest that is named goes: a blob pushed as SHA-512 stays reachable
    /// by its SHA-256 digest.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), Error> {
        self.check_deletable()?;
        let _alone = self.locks().alone(&self.name).await;
        let size = self.blob_size(digest).await?;
        let link = layout::layer_link(&self.name, digest);
        self.store().delete(&link).await?;
        // By its other digest it is held still.
        if digest.algorithm() == Algorithm::Sha256 {
            self.note_usage(Change::unlinked(size));
        }
        Ok(())
    }

    /// Takes a blob over from another repository, if that holds it
    /// (distribution-spec, "Mounting a blob from another repository").
    pub async fn mount(&self, digest: &Digest, from: &RepositoryName) -> Result<bool, Error> {
        self.check_writable()?;
        let source = self.registry.repository(from);
        let Some(canonical) = source.held_blob(digest).await? else {
            return Ok(false);
        };
        let (meta, held) =
            futures_util::try_join!(self.sound_meta(digest, &canonical), self.blob_meta(digest))?;
        let Some(meta) = meta else {
            return Ok(false);
        };
        let size = if held.is_some() { 0 } else { meta.size };
        let charge = self.charge(size).await?;
        self.link_blob(digest, &canonical).await?;
        self.note_mounted(charge, digest, size);
        Ok(true)
    }

    /// Takes a blob over from any repository that `sources` sees. Asks a bounded
    /// number of repositories, and only if the bytes are there at all.
    pub async fn mount_from_any(
        &self,
        digest: &Digest,
        sources: &dyn Sight,
    ) -> Result<bool, Error> {
        self.check_writable()?;
        if self.blob_meta(digest).await?.is_some() {
            return Ok(true);
        }
        let present = match digest.algorithm() {
            Algorithm::Sha256 => self.registry.located(digest).await?.is_some(),
            // Only links know the canonical digest.
            Algorithm::Sha512 => true,
        };
        if !present {
            return Ok(false);
        }
        let most = self.settings().limits.mount_search;
        for name in self.registry.catalog(None, most, sources).await?.items {
            if self.mount(digest, &name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Size and age of a blob of this repository, or `None` if the repository
    /// does not hold it or its bytes are gone.
    pub(super) async fn blob_meta(&self, digest: &Digest) -> Result<Option<Meta>, Error> {
        match self.held_blob(digest).await? {
            Some(canonical) => self.sound_meta(digest, &canonical).await,
            None => Ok(None),
        }
    }

    /// Says that this repository holds a blob whose bytes are in place; durable
    /// on return.
    pub(super) async fn link_blob(&self, digest: &Digest, canonical: &Digest) -> Result<(), Error> {
        let canonical_key = layout::layer_link(&self.name, canonical);
        if digest == canonical {
            return self.registry.set_link(&canonical_key, canonical).await;
        }
        let named_key = layout::layer_link(&self.name, digest);
        futures_util::try_join!(
            self.registry.set_link(&canonical_key, canonical),
            self.registry.set_link(&named_key, canonical),
        )?;
        Ok(())
    }

    /// The canonical digest of a blob that this repository links.
    pub(super) async fn held_blob(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        self.registry
            .held(&layout::layer_link(&self.name, digest), digest)
            .await
    }
}

impl Registry {
    /// Whether the store answers; for health checks.
    pub async fn probe(&self) -> Result<(), Error> {
        Ok(self.store().probe().await?)
    }
}
