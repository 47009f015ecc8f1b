//! Uploads: bytes go to the store in segments while more are received, and one
//! record says what was kept.
//!
//! A segment is an object of its own that can be read back, so any process can
//! go on, hash again, and have the store put the whole together. What is too
//! little for a part of a large object waits in the record.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::{Error, GetOptions, PutMode, PutPayload, UpdateVersion};
use tokio::task::JoinSet;

use super::buffer::Buffer;
use super::fault::{absent, failed};
use super::read::{Scattered, broken};
use super::settings::Settings;
use super::state::{Segment, State};
use super::{Objects, only_head};
use crate::oci::UploadId;
use crate::storage::{ByteStream, Key, Stage, StorageError, Upload};

/// Segments under way at once: with the one that is being received they bound
/// an upload's memory.
const IN_FLIGHT: usize = 3;

/// After so many segments the next ones are larger by one chunk, so that the
/// 10,000 parts that S3 allows suffice for 50,000 chunks.
const GROW_AFTER: usize = 1000;

/// The most segments.
const MOST: usize = 9_999;

/// A session that this process writes to.
pub(super) struct ObjectUpload {
    objects: Objects,
    stage: Stage,
    /// What is in the store, or on its way.
    segments: Vec<Segment>,
    /// What follows them.
    buffer: Buffer,
    size: u64,
    note: Option<Bytes>,
    /// The version of the record that we go on from.
    record: Option<UpdateVersion>,
    /// Makes the names of our segments ours.
    attempt: UploadId,
}

impl ObjectUpload {
    /// Reads the record of a session.
    pub(super) async fn resume(
        objects: &Objects,
        stage: &Stage,
    ) -> Result<Option<Self>, StorageError> {
        let (state, record) = match read_state(objects, stage).await? {
            Some((state, version)) => (state, Some(version)),
            None if objects.has(&stage.started_at()).await? => (State::default(), None),
            None => return Ok(None),
        };
        let mut buffer = Buffer::default();
        let size = state.size();
        buffer.push(state.tail);
        Ok(Some(Self {
            objects: objects.clone(),
            stage: stage.clone(),
            segments: state.segments,
            buffer,
            size,
            note: state.note,
            record,
            attempt: UploadId::random(),
        }))
    }

    /// Bytes that make the next segment.
    fn enough(&self) -> usize {
        self.objects.chunk_size * (1 + self.segments.len() / GROW_AFTER)
    }

    /// Takes the buffer for a segment: its key, and what goes there.
    fn cut(&mut self) -> Result<(Key, PutPayload), StorageError> {
        if self.segments.len() >= MOST {
            return Err(StorageError::TooLarge {
                key: self.stage.as_str().to_owned(),
                size: self.size,
            });
        }
        let name = format!("{:05}-{}", self.segments.len(), self.attempt);
        let key = self.stage.segment(&name);
        self.segments.push(Segment {
            name,
            size: self.buffer.len() as u64,
        });
        Ok((key, self.buffer.take()))
    }

    async fn send_buffer(&mut self) -> Result<(), StorageError> {
        let (key, payload) = self.cut()?;
        self.objects.write(&key, payload).await
    }

    /// What was sent, in order.
    fn scattered(&self) -> Scattered {
        let segments = self.segments.iter();
        Scattered {
            store: self.objects.client.store.clone(),
            pieces: segments
                .map(|segment| {
                    let key = self.stage.segment(&segment.name);
                    (self.objects.key_path(&key), segment.size)
                })
                .collect(),
            whole: None,
        }
    }

    /// Another writer's record stands where ours should go, or ours did get
    /// there and only the answer was lost.
    async fn conflict(&mut self, ours: &State) -> Result<(), StorageError> {
        match read_state(&self.objects, &self.stage).await? {
            None => Err(StorageError::UnknownStage),
            Some((theirs, version)) if theirs == *ours => {
                self.record = Some(version);
                Ok(())
            }
            Some((theirs, _)) => Err(StorageError::WrongOffset {
                expected: self.size,
                actual: theirs.size(),
            }),
        }
    }
}

#[async_trait]
impl Upload for ObjectUpload {
    fn size(&self) -> u64 {
        self.size
    }

    fn note(&self) -> Option<&Bytes> {
        self.note.as_ref()
    }

    async fn append(&mut self, mut content: ByteStream) -> Result<(), StorageError> {
        let mut sending = JoinSet::new();
        let interrupted = loop {
            match content.next().await {
                Some(Ok(piece)) => {
                    self.size += piece.len() as u64;
                    self.buffer.push(piece);
                }
                Some(Err(cause)) => break Some(cause),
                None => break None,
            }
            if self.buffer.len() >= self.enough() {
                if sending.len() >= IN_FLIGHT {
                    joined(sending.join_next().await)?;
                }
                let (key, payload) = self.cut()?;
                let objects = self.objects.clone();
                sending.spawn(async move { objects.write(&key, payload).await });
            }
        };
        while !sending.is_empty() {
            joined(sending.join_next().await)?;
        }
        match interrupted {
            None => Ok(()),
            Some(cause) => Err(StorageError::Interrupted {
                size: self.size,
                cause,
            }),
        }
    }

    async fn keep(&mut self, note: Bytes) -> Result<(), StorageError> {
        if self.buffer.len() >= Settings::LEAST_CHUNK {
            self.send_buffer().await?;
        }
        self.note = Some(note.clone());
        let state = State {
            segments: self.segments.clone(),
            tail: self.buffer.pieces().concat().into(),
            note: Some(note),
        };
        let record = state
            .encode()
            .map_err(|error| StorageError::Unavailable(error.into()))?;
        let mode = match &self.record {
            _ if !self.objects.creates_conditionally() => PutMode::Overwrite,
            Some(version) => PutMode::Update(version.clone()),
            None => PutMode::Create,
        };
        let key = self.stage.state();
        match self.objects.put_object(&key, record.into(), mode).await {
            Ok(written) => {
                self.record = Some(written.into());
                Ok(())
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                self.conflict(&state).await
            }
            Err(error) => Err(failed("write", key.as_str(), error)),
        }
    }

    async fn reread(&self, from: u64) -> Result<ByteStream, StorageError> {
        if from > self.size {
            return Err(StorageError::WrongOffset {
                expected: from,
                actual: self.size,
            });
        }
        let (segments, tail) = (self.scattered(), self.buffer.pieces().concat());
        let begin = self.size - tail.len() as u64;
        let skip = usize::try_from(from.saturating_sub(begin)).unwrap_or(usize::MAX);
        let tail = Bytes::from(tail).slice(skip..);
        let segments = segments.stream(from..begin);
        let segments = segments.map_err(|error| broken(&error));
        Ok(Box::pin(segments.chain(stream::iter([Ok(tail)]))))
    }

    async fn publish(mut self: Box<Self>, key: &Key) -> Result<(), StorageError> {
        if self.segments.is_empty() {
            let content = self.buffer.take();
            return self.objects.write(key, content).await;
        }
        if !self.buffer.is_empty() {
            self.send_buffer().await?;
        }
        let pieces = self.scattered().pieces;
        self.objects.publish_pieces(&self.stage, pieces, key).await
    }
}

/// How many bytes of a session were kept.
pub(super) async fn kept(objects: &Objects, stage: &Stage) -> Result<Option<u64>, StorageError> {
    match read_state(objects, stage).await? {
        Some((state, _)) => Ok(Some(state.size())),
        None if objects.has(&stage.started_at()).await? => Ok(Some(0)),
        None => Ok(None),
    }
}

async fn read_state(
    objects: &Objects,
    stage: &Stage,
) -> Result<Option<(State, UpdateVersion)>, StorageError> {
    let key = stage.state();
    let result = objects.get_object(&key, GetOptions::default()).await?;
    let Some(result) = result else {
        return Ok(None);
    };
    let version = UpdateVersion {
        e_tag: result.meta.e_tag.clone(),
        version: result.meta.version.clone(),
    };
    let record = result.bytes().await;
    let record = record.map_err(|error| failed("read", key.as_str(), error))?;
    match State::decode(&record) {
        Some(state) => Ok(Some((state, version))),
        None => Err(StorageError::Unavailable(std::io::Error::other(format!(
            "the record {} was written by another version of wharf: cancel the upload",
            key.as_str()
        )))),
    }
}

fn joined(
    ended: Option<Result<Result<(), StorageError>, tokio::task::JoinError>>,
) -> Result<(), StorageError> {
    match ended {
        None => Ok(()),
        Some(Ok(sent)) => sent,
        Some(Err(error)) => Err(StorageError::Unavailable(std::io::Error::other(error))),
    }
}

impl Objects {
    /// Removes what is left of a session, and what was being put together of it.
    pub(super) async fn remove_session(&self, stage: &Stage) -> Result<(), StorageError> {
        let note = self.key_path(&stage.assembly());
        let mut token = None;
        loop {
            let (paths, next) = self.all_below(&stage.all(), token).await?;
            // Before the first segment in every store's order.
            if paths.contains(&note) && !self.end_assembly(stage).await? {
                // The session ends, but its pieces are a blob's.
                let ended = [stage.started_at(), stage.state()];
                return self
                    .remove(ended.iter().map(|key| self.key_path(key)).collect())
                    .await;
            }
            self.remove(paths).await?;
            token = next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn has(&self, key: &Key) -> Result<bool, StorageError> {
        Ok(self.get_object(key, only_head(true)).await?.is_some())
    }

    /// Reads an object, or says that it isn't there.
    pub(super) async fn get_object(
        &self,
        key: &Key,
        options: GetOptions,
    ) -> Result<Option<object_store::GetResult>, StorageError> {
        let path = self.key_path(key);
        let store = Arc::clone(&self.client.store);
        absent("read", key.as_str(), store.get_opts(&path, options).await)
    }
}
