//! Putting the segments of an upload together as one object.
//!
//! S3 copies them by itself, as parts of a multipart upload, many at once; the
//! object appears when that is completed, whole. Where the client library can't
//! ask for that (Google, Azure), they pass through here. Either may take longer
//! than a client waits for its answer: then a record says where the bytes lie,
//! every replica reads them there, and they are put together meanwhile.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error, GetOptions, MultipartId, ObjectStoreExt as _, PutMultipartOptions};
use serde::{Deserialize, Serialize};

use super::Objects;
use super::fault::{absent, failed};
use super::read::Scattered;
use crate::storage::{Key, Meta, Stage, StorageError, Store as _, Version};

/// Parts that pass through here at once.
const THROUGH_US: usize = 3;

/// How long the pieces of a blob stay for those who read them already.
const READERS: Duration = Duration::from_secs(60);

/// A multipart upload that was begun: it costs space, and no listing of objects
/// shows it.
#[derive(Serialize, Deserialize)]
struct Assembly {
    to: String,
    id: String,
    /// The client was told that the blob is there: until it is put together,
    /// these are its bytes.
    serves: Option<Pieces>,
    /// The blob was removed since: nobody puts it together any more.
    #[serde(default)]
    withdrawn: bool,
}

/// Where the bytes of a blob lie: paths in the bucket, and their sizes.
pub(super) type Pieces = Vec<(String, u64)>;

impl Objects {
    /// Makes `pieces`, in their order, the object `key`. If that takes longer
    /// than clients wait, a record makes the pieces themselves the key's
    /// content, and the rest happens behind the answer.
    pub(super) async fn publish_pieces(
        &self,
        stage: &Stage,
        pieces: Vec<(Path, u64)>,
        key: &Key,
    ) -> Result<(), StorageError> {
        let id = self.begin_assembly(key).await?;
        let note = Assembly {
            to: self.key_path(key).to_string(),
            id: id.clone(),
            serves: None,
            withdrawn: false,
        };
        self.note_assembly(stage, &note).await?;
        let segments: Vec<Path> = pieces.iter().map(|(path, _)| path.clone()).collect();
        let mut assembling = tokio::spawn({
            let (objects, stage, key, id) = (self.clone(), stage.clone(), key.clone(), id.clone());
            async move { objects.assemble(&stage, segments, &key, &id).await }
        });
        if let Ok(ended) = tokio::time::timeout(self.patience, &mut assembling).await {
            return ended.map_err(|error| StorageError::Unavailable(error.into()))?;
        }
        let pieces: Pieces = pieces
            .into_iter()
            .map(|(path, size)| (path.to_string(), size))
            .collect();
        self.serve_pieces(stage, key, id, pieces).await?;
        let (objects, stage, key) = (self.clone(), stage.clone(), key.clone());
        tokio::spawn(async move {
            let settled = match assembling.await {
                Ok(Ok(())) => objects.settled(&stage, &key).await,
                Ok(Err(error)) => Err(error),
                Err(error) => Err(StorageError::Unavailable(error.into())),
            };
            if let Err(error) = settled
                && !matches!(objects.pieces_of(&key).await, Ok(None))
            {
                tracing::warn!(key = key.as_str(), %error, "a blob stays in pieces until its upload is purged; it can be pulled");
            }
        });
        Ok(())
    }

    pub(super) async fn begin_assembly(&self, key: &Key) -> Result<MultipartId, StorageError> {
        let options = PutMultipartOptions::from(self.attributes());
        let to = self.key_path(key);
        let id = self.client.parts.create_multipart_opts(&to, options).await;
        id.map_err(|error| failed("begin", key.as_str(), error))
    }

    pub(super) async fn assemble(
        &self,
        stage: &Stage,
        segments: Vec<Path>,
        key: &Key,
        id: &MultipartId,
    ) -> Result<(), StorageError> {
        let (to, parts) = (self.key_path(key), &self.client.parts);
        let assembled = async {
            let ids = self.bring_parts(segments, &to, id).await?;
            self.check_wanted(stage).await?;
            let completed = parts.complete_multipart(&to, id, ids).await;
            completed
                .map(drop)
                .map_err(|error| failed("complete", key.as_str(), error))
        };
        let assembled = assembled.await;
        if assembled.is_err() {
            // It costs space only; `end_assembly` tries again.
            let _ = parts.abort_multipart(&to, id).await;
        } else {
            let note = self.key_path(&stage.assembly());
            // Left over, it makes `end_assembly` abort what has ended.
            let _ = self.client.store.delete(&note).await;
        }
        assembled
    }

    /// Where aborting doesn't keep an upload from being completed, this does,
    /// short of one round trip.
    async fn check_wanted(&self, stage: &Stage) -> Result<(), StorageError> {
        if self.client.part_copy.is_some() {
            return Ok(());
        }
        match self.assembly(stage).await? {
            Some((note, _)) if !note.withdrawn => Ok(()),
            _ => Err(gone()),
        }
    }

    /// From here on nobody puts together what a session's note names, and
    /// whoever removes the session forgets it first. False if its pieces are
    /// for another key by now.
    pub(super) async fn withdraw_assembly(
        &self,
        stage: &Stage,
        key: &Key,
    ) -> Result<bool, StorageError> {
        let Some((note, _)) = self.assembly(stage).await? else {
            return Ok(true);
        };
        if self.blob_at(&Path::from(note.to.as_str())).as_ref() != Some(key) {
            return Ok(false);
        }
        let note = Assembly {
            serves: None,
            withdrawn: true,
            ..note
        };
        self.note_assembly(stage, &note).await?;
        self.abort_assembly(&note).await?;
        Ok(true)
    }

    /// A session's note and its age, unless there is none that we understand.
    async fn assembly(&self, stage: &Stage) -> Result<Option<(Assembly, Duration)>, StorageError> {
        let key = stage.assembly();
        let Some(result) = self.get_object(&key, GetOptions::default()).await? else {
            return Ok(None);
        };
        let age = SystemTime::from(result.meta.last_modified).elapsed();
        let text = result.bytes().await;
        let text = text.map_err(|error| failed("read", key.as_str(), error))?;
        let note = serde_json::from_slice(&text).ok();
        Ok(note.map(|note| (note, age.unwrap_or_default())))
    }

    async fn abort_assembly(&self, note: &Assembly) -> Result<(), StorageError> {
        let to = Path::from(note.to.as_str());
        match self.client.parts.abort_multipart(&to, &note.id).await {
            // It was completed or aborted before.
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("abort", &note.to, error)),
        }
    }

    /// The note first: from then on nobody removes the pieces.
    pub(super) async fn serve_pieces(
        &self,
        stage: &Stage,
        key: &Key,
        id: MultipartId,
        pieces: Pieces,
    ) -> Result<(), StorageError> {
        let size: u64 = pieces.iter().map(|(_, size)| size).sum();
        let record = serde_json::to_vec(&pieces);
        let record = record.map_err(|error| StorageError::Unavailable(error.into()))?;
        let note = Assembly {
            to: self.key_path(key).to_string(),
            id,
            serves: Some(pieces),
            withdrawn: false,
        };
        self.note_assembly(stage, &note).await?;
        self.put(&key.pieces(), Bytes::from(record)).await?;
        // What is there already counts before the pieces, unless it is torn.
        let to = self.key_path(key);
        let there = absent("look at", key.as_str(), self.client.store.head(&to).await)?;
        let whole = there.as_ref().map(|there| there.size == size);
        if !self.has_first(note.serves.as_ref()).await? {
            // Another request has ended the session.
            self.forget_pieces(stage, key).await?;
            self.remove_object(&stage.assembly()).await?;
            return if whole == Some(true) {
                Ok(())
            } else {
                Err(gone())
            };
        }
        match whole {
            Some(false) => self.remove_object(key).await,
            _ => Ok(()),
        }
    }

    /// Whether the first of some pieces is there, which is the first to go.
    async fn has_first(&self, pieces: Option<&Pieces>) -> Result<bool, StorageError> {
        let Some((first, _)) = pieces.and_then(|pieces| pieces.first()) else {
            return Ok(false);
        };
        let there = self.client.store.head(&Path::from(first.as_str())).await;
        Ok(absent("look at", first, there)?.is_some())
    }

    /// Forgets the pieces of a blob that is whole now, and, when those who read
    /// them have had some time, removes them.
    async fn settled(&self, stage: &Stage, key: &Key) -> Result<(), StorageError> {
        self.delete(&key.pieces()).await?;
        tokio::time::sleep(READERS).await;
        self.remove_session(stage).await
    }

    /// The pieces of a blob that is not put together yet, and when it was pushed.
    pub(super) async fn pieces_of(
        &self,
        key: &Key,
    ) -> Result<Option<(Scattered, Meta)>, StorageError> {
        let record = key.pieces();
        let Some(result) = self.get_object(&record, GetOptions::default()).await? else {
            return Ok(None);
        };
        let modified = result.meta.last_modified;
        let version = Version::of((&result.meta.e_tag, modified));
        let bytes = result.bytes().await;
        let bytes = bytes.map_err(|error| failed("read", record.as_str(), error))?;
        let pieces: Pieces = serde_json::from_slice(&bytes)
            .map_err(|error| StorageError::Unavailable(error.into()))?;
        let scattered = Scattered {
            store: self.client.store.clone(),
            pieces: parsed(pieces)?,
            whole: Some(self.key_path(key)),
        };
        let size = scattered.pieces.iter().map(|(_, size)| size).sum();
        Ok(Some((
            scattered,
            Meta {
                size,
                modified: SystemTime::from(modified),
                assembled: false,
                version,
            },
        )))
    }

    pub(super) async fn bring_parts(
        &self,
        segments: Vec<Path>,
        to: &Path,
        id: &MultipartId,
    ) -> Result<Vec<PartId>, StorageError> {
        let at_once = match self.client.part_copy {
            Some(_) => self.copies,
            None => THROUGH_US,
        };
        stream::iter(segments.into_iter().enumerate())
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

    async fn note_assembly(&self, stage: &Stage, note: &Assembly) -> Result<(), StorageError> {
        let key = stage.assembly();
        let text = serde_json::to_vec(note);
        let text = text.map_err(|error| StorageError::Unavailable(error.into()))?;
        let put = self.put(&key, Bytes::from(text)).await;
        if put.is_err() && note.serves.is_none() {
            let to = Path::from(note.to.as_str());
            let _ = self.client.parts.abort_multipart(&to, &note.id).await;
        }
        put
    }

    /// Ends what a session's note names: aborts it, or, if a client was told
    /// that the blob is there, puts that together. Whether the session may be
    /// removed now.
    pub(super) async fn end_assembly(&self, stage: &Stage) -> Result<bool, StorageError> {
        let Some((note, age)) = self.assembly(stage).await? else {
            return Ok(true);
        };
        if note.serves.is_some() && age < self.abandoned {
            return Ok(false);
        }
        self.abort_assembly(&note).await?;
        let to = Path::from(note.to.as_str());
        if note.withdrawn
            && let Some(key) = self.blob_at(&to)
        {
            self.forget_pieces(stage, &key).await?;
        }
        if let Some(pieces) = note.serves {
            self.finish_assembly(stage, &to, pieces).await?;
        }
        Ok(true)
    }

    /// Does what a process that died had promised.
    async fn finish_assembly(
        &self,
        stage: &Stage,
        to: &Path,
        pieces: Pieces,
    ) -> Result<(), StorageError> {
        let Some(key) = self.blob_at(to) else {
            return Ok(());
        };
        let whole = absent("look at", key.as_str(), self.client.store.head(to).await)?;
        // Without its pieces it was removed, and told of once more.
        if whole.is_none() && self.has_first(Some(&pieces)).await? {
            let segments = parsed(pieces)?.into_iter().map(|(path, _)| path).collect();
            let id = self.begin_assembly(&key).await?;
            self.assemble(stage, segments, &key, &id).await?;
        }
        self.delete(&key.pieces()).await
    }

    /// The blob's key that a path in the bucket is.
    fn blob_at(&self, path: &Path) -> Option<Key> {
        Key::parse_blob(path.as_ref().strip_prefix(&*self.root)?)
    }
}

/// An upload ended while its bytes were being put together.
fn gone() -> StorageError {
    StorageError::Unavailable(std::io::Error::other(
        "its upload was removed while it was being put together: push it again",
    ))
}

fn parsed(pieces: Pieces) -> Result<Vec<(Path, u64)>, StorageError> {
    let parsed = pieces.into_iter().map(|(path, size)| {
        let path = Path::parse(path).map_err(std::io::Error::other)?;
        Ok((path, size))
    });
    parsed
        .collect::<std::io::Result<_>>()
        .map_err(StorageError::Unavailable)
}
