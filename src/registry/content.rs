//! Where the bytes of a digest are: nearly always under `data`, and under
//! another name while a collection that may still be running has condemned that
//! one ([`super::gc`]).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::gc::Condemned;
use super::{Error, Registry};
use crate::oci::{Digest, UploadId};
use crate::storage::{Key, Meta, Object, Reading, StorageError, layout};

/// How long an upload waits for a run: one takes about a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The most names that one digest has: each comes from a collection that died.
const NAMES: usize = 100;

impl Registry {
    /// The name under which the bytes of a canonical digest are, and which
    /// version of them.
    pub(super) async fn located(
        &self,
        canonical: &Digest,
    ) -> Result<Option<(Key, Meta)>, StorageError> {
        self.located_beside(canonical, &Condemned::default()).await
    }

    /// The same, among the names that are not condemned.
    pub(super) async fn located_beside(
        &self,
        canonical: &Digest,
        condemned: &Condemned,
    ) -> Result<Option<(Key, Meta)>, StorageError> {
        let data = layout::blob_data(canonical);
        if !condemned.has(&data)
            && let Some(meta) = self.store().head(&data).await?
        {
            return Ok(Some((data, meta)));
        }
        for key in self.other_names(canonical).await? {
            if !condemned.has(&key)
                && let Some(meta) = self.store().head(&key).await?
            {
                return Ok(Some((key, meta)));
            }
        }
        Ok(None)
    }

    /// The name under which the bytes of a canonical digest are, or would be.
    pub(super) async fn name_of(&self, canonical: &Digest) -> Result<Key, StorageError> {
        let located = self.located(canonical).await?;
        Ok(located.map_or_else(|| layout::blob_data(canonical), |(key, _)| key))
    }

    /// Opens the bytes of a canonical digest.
    pub(super) async fn open_content(
        &self,
        canonical: &Digest,
        reading: Reading,
    ) -> Result<Option<Object>, StorageError> {
        let data = layout::blob_data(canonical);
        if let Some(object) = self.store().open(&data, reading).await? {
            return Ok(Some(object));
        }
        for key in self.other_names(canonical).await? {
            if let Some(object) = self.store().open(&key, reading).await? {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// The bytes of a manifest by its canonical digest.
    pub(super) async fn content(&self, canonical: &Digest) -> Result<Option<Bytes>, StorageError> {
        let data = layout::blob_data(canonical);
        if let Some(content) = self.store().get(&data).await? {
            return Ok(Some(content));
        }
        for key in self.other_names(canonical).await? {
            if let Some(content) = self.store().get(&key).await? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// A name to write the bytes of a canonical digest under: `data`, or if that
    /// is condemned one that was never used before; a collection brings them
    /// back to `data` later.
    pub(super) async fn place(
        &self,
        canonical: &Digest,
        condemned: &Condemned,
    ) -> Result<Key, StorageError> {
        let data = layout::blob_data(canonical);
        if !condemned.has(&data) {
            return Ok(data);
        }
        let note = layout::again(canonical);
        self.store().put(&note, Bytes::new()).await?;
        Ok(layout::blob_again(canonical, &UploadId::random()))
    }

    /// A name to write an upload under: waits a while for a run that condemns
    /// `data` to end.
    pub(super) async fn place_of_upload(&self, canonical: &Digest) -> Result<Key, Error> {
        let data = layout::blob_data(canonical);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let condemned = self.condemned_now().await?;
            if !condemned.has(&data) || Instant::now() >= deadline {
                return Ok(self.place(canonical, &condemned).await?);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The names beside `data`; and that again, since the bytes may have moved
    /// there meanwhile.
    async fn other_names(&self, canonical: &Digest) -> Result<Vec<Key>, StorageError> {
        let names = layout::blob_names(canonical);
        let children = self.store().children(&names, None, NAMES).await?;
        let mut keys: Vec<Key> = children
            .iter()
            .filter(|child| child.name != "data")
            .filter_map(|child| layout::blob_named(canonical, &child.name))
            .collect();
        if !keys.is_empty() {
            keys.push(layout::blob_data(canonical));
        }
        Ok(keys)
    }
}
