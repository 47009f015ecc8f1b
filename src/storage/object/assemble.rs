//! Putting the segments of an upload together as one object.
//!
//! S3 copies them by itself, as parts of a multipart upload, many at once; the
//! object appears when that is completed, whole. Where the client library can't
//! ask for that (Google, Azure), they pass through here.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, MultipartId, ObjectStoreExt as _, PutMode,
    PutMultipartOptions,
};
use serde::{Deserialize, Serialize};

use super::Objects;
use super::fault::failed;
use crate::storage::{Key, Stage, StorageError};

/// Parts that pass through here at once.
const THROUGH_US: usize = 3;

/// A multipart upload that was begun: it costs space, and no listing of objects
/// shows it.
#[derive(Serialize, Deserialize)]
struct Assembly {
    to: String,
    id: String,
}

impl Objects {
    /// Makes `segments`, in their order, the object `key`.
    pub(super) async fn assemble(
        &self,
        stage: &Stage,
        segments: &[Path],
        key: &Key,
    ) -> Result<(), StorageError> {
        let to = self.key_path(key);
        let name = key.as_str();
        let mut attributes = Attributes::new();
        if let Some(class) = &self.client.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let options = PutMultipartOptions::from(attributes);
        let parts = &self.client.parts;
        let id = parts.create_multipart_opts(&to, options).await;
        let id = id.map_err(|error| failed("begin", name, error))?;
        self.note_assembly(stage, &to, &id).await?;
        let assembled = async {
            let ids = self.bring_parts(segments, &to, &id).await?;
            let completed = parts.complete_multipart(&to, &id, ids).await;
            completed
                .map(drop)
                .map_err(|error| failed("complete", name, error))
        };
        let assembled = assembled.await;
        if assembled.is_err() {
            // It costs space only; `remove_session` tries again.
            let _ = parts.abort_multipart(&to, &id).await;
        } else {
            let note = self.key_path(&stage.assembly());
            // Left over, it makes `remove_session` abort what has ended.
            let _ = self.client.store.delete(&note).await;
        }
        assembled
    }

    async fn bring_parts(
        &self,
        segments: &[Path],
        to: &Path,
        id: &MultipartId,
    ) -> Result<Vec<PartId>, StorageError> {
        let at_once = match self.client.part_copy {
            Some(_) => self.copies,
            None => THROUGH_US,
        };
        let segments: Vec<_> = segments.iter().cloned().enumerate().collect();
        stream::iter(segments)
            .map(|(index, segment)| {
                let (objects, to, id) = (self.clone(), to.clone(), id.clone());
                async move { objects.bring_part(&segment, &to, &id, index).await }
            })
            .buffered(at_once)
            .try_collect()
            .await
    }

    async fn bring_part(
        &self,
        segment: &Path,
        to: &Path,
        id: &MultipartId,
        index: usize,
    ) -> Result<PartId, StorageError> {
        if let Some(part_copy) = &self.client.part_copy {
            let copied = part_copy.copy(segment, to, id, index).await;
            return copied.map_err(|error| {
                StorageError::Unavailable(std::io::Error::other(format!(
                    "cannot copy {segment}: {error}"
                )))
            });
        }
        let passed = async {
            let content = self.client.store.get(segment).await?.bytes().await?;
            self.client
                .parts
                .put_part(to, id, index, content.into())
                .await
        };
        passed
            .await
            .map_err(|error| failed("copy", segment.as_ref(), error))
    }

    async fn note_assembly(
        &self,
        stage: &Stage,
        to: &Path,
        id: &MultipartId,
    ) -> Result<(), StorageError> {
        let key = stage.assembly();
        let note = serde_json::to_vec(&Assembly {
            to: to.to_string(),
            id: id.clone(),
        })
        .map_err(|error| StorageError::Unavailable(error.into()))?;
        let put = self.put_object(&key, Bytes::from(note).into(), PutMode::Overwrite);
        match put.await {
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = self.client.parts.abort_multipart(to, id).await;
                Err(failed("write", key.as_str(), error))
            }
        }
    }

    /// Aborts the multipart upload that a session's note names.
    pub(super) async fn abort_assembly(&self, stage: &Stage) -> Result<(), StorageError> {
        let key = stage.assembly();
        let Some(result) = self.get_object(&key, GetOptions::default()).await? else {
            return Ok(());
        };
        let note = result.bytes().await;
        let note = note.map_err(|error| failed("read", key.as_str(), error))?;
        let Ok(assembly) = serde_json::from_slice::<Assembly>(&note) else {
            return Ok(());
        };
        let Ok(to) = Path::parse(&assembly.to) else {
            return Ok(());
        };
        match self.client.parts.abort_multipart(&to, &assembly.id).await {
            // It was completed or aborted before.
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("abort", &assembly.to, error)),
        }
    }
}
