//! Blobs: visible only through a repository that links them.

use std::ops::Range;

use super::{Error, Registry, Repository};
use crate::oci::{Algorithm, Digest, RepositoryName};
pub use crate::storage::Reading;
use crate::storage::{ByteStream, Meta, Object, layout};

/// A blob that a repository holds, opened.
pub struct Blob {
    object: Object,
}

impl Blob {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.object.meta.size
    }

    /// Streams a range of bytes within the size.
    pub fn read(&self, range: Range<u64>) -> ByteStream {
        self.object.content.read(range)
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
        let key = layout::blob_data(&canonical);
        if let Some(address) = self.store().address(&key).await? {
            // The store's own word for a blob that is gone is none that clients know.
            let meta = self.store().head(&key).await?.ok_or_else(unknown)?;
            if meta.assembled {
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
        let data = layout::blob_data(canonical);
        let object = self.store().open(&data, reading).await?;
        match object {
            Some(object) => Ok(Blob { object }),
            None => Err(Error::BlobUnknown(digest.clone())),
        }
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
        self.blob_size(digest).await?;
        Ok(self
            .store()
            .delete(&layout::layer_link(&self.name, digest))
            .await?)
    }

    /// Takes a blob over from another repository, if that holds it
    /// (distribution-spec, "Mounting a blob from another repository").
    pub async fn mount(&self, digest: &Digest, from: &RepositoryName) -> Result<bool, Error> {
        self.check_writable()?;
        let source = self.registry.repository(from);
        let Some(canonical) = source.held_blob(digest).await? else {
            return Ok(false);
        };
        if self
            .store()
            .head(&layout::blob_data(&canonical))
            .await?
            .is_none()
        {
            return Ok(false);
        }
        self.link_blob(digest, &canonical).await?;
        Ok(true)
    }

    /// Takes a blob over from any repository that `may_pull` accepts. Asks a
    /// bounded number of repositories, and only if the bytes are there at all.
    pub async fn mount_from_any(
        &self,
        digest: &Digest,
        may_pull: impl Fn(&RepositoryName) -> bool + Send,
    ) -> Result<bool, Error> {
        self.check_writable()?;
        if self.blob_meta(digest).await?.is_some() {
            return Ok(true);
        }
        let present = match digest.algorithm() {
            Algorithm::Sha256 => self
                .store()
                .head(&layout::blob_data(digest))
                .await?
                .is_some(),
            // Only links know the canonical digest.
            Algorithm::Sha512 => true,
        };
        if !present {
            return Ok(false);
        }
        let most = self.settings().limits.mount_search;
        for name in self.registry.catalog(None, most).await?.items {
            if may_pull(&name) && self.mount(digest, &name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Size and age of a blob of this repository, or `None` if the repository
    /// does not hold it or its bytes are gone.
    pub(super) async fn blob_meta(&self, digest: &Digest) -> Result<Option<Meta>, Error> {
        match self.held_blob(digest).await? {
            Some(canonical) => Ok(self.store().head(&layout::blob_data(&canonical)).await?),
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
    async fn held_blob(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        self.registry
            .link(&layout::layer_link(&self.name, digest))
            .await
    }
}

impl Registry {
    /// Whether the store answers; for health checks.
    pub async fn probe(&self) -> Result<(), Error> {
        Ok(self.store().probe().await?)
    }
}
