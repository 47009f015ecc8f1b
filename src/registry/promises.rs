//! A client that is told that a blob is there won't push it again, and pushes
//! the manifest a while later. So the answer makes the blob's link young again,
//! which keeps collections away for their grace. Nothing is lost without it: the
//! manifest would be refused, and the client would push once more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::{Error, Repository};
use crate::oci::Digest;
use crate::storage::{Key, layout};

/// Links that are remembered, each in about 300 bytes; of others the next
/// question looks again.
const REMEMBERED: usize = 16 * 1024;

/// The links that are known to be young, and since when. Clones share it.
#[derive(Clone)]
pub(super) struct Promises(Arc<Cache<Key, Instant>>);

impl Default for Promises {
    fn default() -> Self {
        Self(Arc::new(Cache::new(REMEMBERED)))
    }
}

impl Repository {
    /// The size in bytes of a blob of this repository, for a client that may
    /// rely on it for the grace of collections.
    pub async fn promised_size(&self, digest: &Digest) -> Result<u64, Error> {
        let size = self.blob_size(digest).await?;
        let half = self.settings().gc.grace / 2;
        if !half.is_zero() && !self.settings().read_only {
            self.keep_young(digest, half).await?;
        }
        Ok(size)
    }

    /// Writes a blob's link again if it is older than `age`.
    async fn keep_young(&self, digest: &Digest, age: Duration) -> Result<(), Error> {
        let key = layout::layer_link(&self.name, digest);
        let known = &self.registry.inner.promises.0;
        if known.get(&key).is_some_and(|since| since.elapsed() < age) {
            return Ok(());
        }
        let Some(meta) = self.store().head(&key).await? else {
            return Ok(());
        };
        let mut elapsed = meta.modified.elapsed().unwrap_or_default();
        if elapsed >= age
            && let Some(canonical) = self.held_blob(digest).await?
        {
            self.registry.set_link(&key, &canonical).await?;
            elapsed = Duration::ZERO;
        }
        if let Some(since) = Instant::now().checked_sub(elapsed) {
            known.insert(key, since);
        }
        Ok(())
    }
}
