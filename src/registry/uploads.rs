//! Upload sessions (distribution-spec, "Pushing blobs"): content is hashed
//! while it is received, and the closing request only renames.
//!
//! Bytes of an unfinished upload are not durable: after a crash a session may
//! have less than was acknowledged, never other bytes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha512};

use super::hasher::Hasher;
use super::sessions::Claim;
use super::uploaders::Working;
use super::{Error, Repository, uncancelled};
use crate::oci::{Algorithm, Digest, UploadId};
use crate::storage::{self, ByteStream, Stage, StorageError, layout};

/// From this size on SHA-512 is taken while receiving, even if nobody asked:
/// reading this much again at the end takes under ten seconds, and clients
/// wait thirty for the closing answer.
const REREAD_LIMIT: u64 = 4 * 1024 * 1024 * 1024;

/// Uploads that are looked for at once.
const LOOKS: usize = 16;

/// `Content-Range` of a chunk: the first and the last byte, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRange {
    /// The first byte's offset.
    pub start: u64,
    /// How many bytes.
    pub length: u64,
}

impl Repository {
    /// Starts an upload. `algorithm` is the one that the client announces to
    /// close it with.
    pub async fn start_upload(&self, algorithm: Option<Algorithm>) -> Result<UploadId, Error> {
        self.check_accepting().await?;
        self.check_quota().await?;
        self.open_upload(algorithm).await
    }

    async fn open_upload(&self, algorithm: Option<Algorithm>) -> Result<UploadId, Error> {
        let id = UploadId::of(self.uploader.owner());
        let stage = layout::upload(&self.name, &id);
        let most = self.settings().limits.uploads_per_user;
        let open = &self.registry.inner.uploads;
        let counted = open.begin(&stage, &self.uploader, most, Instant::now());
        if let Err(too_many) = counted {
            if self.forget_ended_elsewhere().await? == 0 {
                return Err(too_many);
            }
            open.begin(&stage, &self.uploader, most, Instant::now())?;
        }
        self.registry.usage().session_begun(self, &stage);
        let begun = self.begin(&stage, algorithm).await;
        if begun.is_err() {
            open.end(&stage);
        }
        begun.map(|()| id)
    }

    /// Uploads that were begun here and ended by another replica count no more;
    /// how many there were. Asked only of who has too many, and of no more of
    /// them than they may have.
    async fn forget_ended_elsewhere(&self) -> Result<usize, Error> {
        let open = &self.registry.inner.uploads;
        let idle = open.idle_of(&self.uploader);
        let looks = idle.into_iter().map(|stage| async move {
            let staged = self.store().staged(&stage).await?;
            Ok::<_, Error>(staged.is_none().then_some(stage))
        });
        let looks = stream::iter(looks).buffer_unordered(LOOKS);
        let ended: Vec<Option<Stage>> = looks.try_collect().await?;
        Ok(ended.iter().flatten().map(|stage| open.end(stage)).count())
    }

    async fn begin(&self, stage: &Stage, algorithm: Option<Algorithm>) -> Result<(), Error> {
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        self.store().begin(stage, &now).await?;
        self.registry.inner.sessions.touch(stage);
        if algorithm == Some(Algorithm::Sha512) {
            let hasher = Hasher::taking(Algorithm::Sha512);
            let mut begun = self.resumed(stage).await?;
            begun.keep(hasher.to_note()).await?;
        }
        Ok(())
    }

    /// How many bytes of an upload are there.
    pub async fn upload_size(&self, id: &UploadId) -> Result<u64, Error> {
        let stage = layout::upload(&self.name, id);
        let size = self.store().staged(&stage).await?;
        size.ok_or(Error::UploadUnknown)
    }

    /// Appends a chunk and returns the upload's new size.
    pub async fn append(
        &self,
        id: &UploadId,
        range: Option<ChunkRange>,
        content: ByteStream,
    ) -> Result<u64, Error> {
        self.check_writable()?;
        let mut upload = self.resume(id).await?;
        // A write that the client's hanging up cut short could land after the
        // next request has measured the upload: so it runs to its end.
        uncancelled(async move {
            let received = upload.receive(range, content).await;
            if !matches!(received, Err(Error::Storage(_))) {
                upload.keep().await?;
            }
            received?;
            upload.touch();
            Ok(upload.hasher.size())
        })
        .await
    }

    /// Appends the last chunk, if there is one, and makes the whole a blob of
    /// this repository. If the content does not have the digest, the session
    /// is dropped.
    pub async fn finish(
        &self,
        id: &UploadId,
        digest: &Digest,
        range: Option<ChunkRange>,
        content: ByteStream,
    ) -> Result<(), Error> {
        self.check_writable()?;
        let (mut upload, held) = futures_util::try_join!(self.resume(id), self.blob_meta(digest))?;
        upload.held = held.map(|meta| meta.size);
        if upload.hasher.size() == 0 {
            upload.hasher = Hasher::taking(digest.algorithm());
        }
        let digest = digest.clone();
        uncancelled(async move {
            if let Err(error) = upload.receive(range, content).await {
                // What came is kept, so that the client can go on; but what
                // it is told is why this request failed.
                let _ = upload.keep().await;
                return Err(error);
            }
            upload.commit(&digest).await
        })
        .await
    }

    /// Stores a blob that comes in one request (distribution-spec, "Single
    /// POST"): all of it or nothing.
    pub async fn put_blob(&self, digest: &Digest, content: ByteStream) -> Result<(), Error> {
        let (repository, digest) = (self.clone(), digest.clone());
        uncancelled(async move {
            repository.check_accepting().await?;
            let id = repository.open_upload(Some(digest.algorithm())).await?;
            let result = repository.finish(&id, &digest, None, content).await;
            if result.is_err() {
                // What remains is purged like any abandoned upload.
                let _ = repository.cancel(&id).await;
            }
            result
        })
        .await
    }

    /// Cancels an upload.
    pub async fn cancel_upload(&self, id: &UploadId) -> Result<(), Error> {
        self.check_writable()?;
        self.upload_size(id).await?;
        self.cancel(id).await
    }

    async fn cancel(&self, id: &UploadId) -> Result<(), Error> {
        let stage = layout::upload(&self.name, id);
        let _claim = self.claim(&stage).await?;
        self.registry.inner.sessions.forget(&stage);
        self.store().discard(&stage).await?;
        self.registry.inner.uploads.end(&stage);
        Ok(())
    }

    async fn claim(&self, stage: &Stage) -> Result<Claim, Error> {
        let patience = self.settings().limits.upload_wait;
        self.registry.inner.sessions.claim(stage, patience).await
    }

    async fn resumed(&self, stage: &Stage) -> Result<Box<dyn storage::Upload>, Error> {
        let resumed = self.store().resume(stage).await?;
        if resumed.is_none() {
            // Another replica may have ended it.
            self.registry.inner.uploads.end(stage);
        }
        resumed.ok_or(Error::UploadUnknown)
    }

    /// Claims an upload and brings its hash up to its size.
    async fn resume(&self, id: &UploadId) -> Result<Upload, Error> {
        let stage = layout::upload(&self.name, id);
        let working = self.registry.inner.uploads.work(&stage);
        let claim = self.claim(&stage).await?;
        let staged = self.resumed(&stage).await?;
        let hasher = staged
            .note()
            .and_then(|note| Hasher::from_note(note))
            // After a crash there may be fewer bytes than the note stands for.
            .filter(|hasher| hasher.size() <= staged.size())
            .unwrap_or_default();
        let mut upload = Upload {
            repository: self.clone(),
            stage,
            staged,
            hasher,
            held: None,
            _claim: claim,
            _working: working,
        };
        upload.catch_up().await?;
        Ok(upload)
    }
}

/// An upload that this request writes to.
struct Upload {
    repository: Repository,
    stage: Stage,
    staged: Box<dyn storage::Upload>,
    hasher: Hasher,
    /// The size of the blob that it will be, if the repository holds that
    /// already.
    held: Option<u64>,
    _claim: Claim,
    _working: Working,
}

impl Upload {
    /// Hashes what lies in the store beyond the hash's state.
    async fn catch_up(&mut self) -> Result<(), Error> {
        let mut hasher = std::mem::take(&mut self.hasher);
        if hasher.size() < self.staged.size() {
            let from = hasher.size();
            self.reread(from, |bytes| hasher.update(bytes)).await?;
        }
        self.hasher = hasher;
        Ok(())
    }

    /// Receives a chunk: checks where it begins, and hashes while it is written.
    async fn receive(
        &mut self,
        range: Option<ChunkRange>,
        content: ByteStream,
    ) -> Result<(), Error> {
        let begin = self.hasher.size();
        if let Some(range) = range
            && range.start != begin
        {
            return Err(Error::ChunkOutOfOrder {
                start: range.start,
                size: begin,
            });
        }
        let limit = range.map(|range| begin.saturating_add(range.length));
        let free = self.held.unwrap_or_default();
        let metered = self.repository.metered(&self.stage, begin, free, content);
        let (content, refusal) = metered.await?;
        let tap = Tap::new(content, std::mem::take(&mut self.hasher), limit);
        let mut outcome = Ok(());
        while !tap.ended() {
            tap.pause_before_sha512_is_needed();
            outcome = self.staged.append(Box::pin(tap.clone())).await;
            if outcome.is_err() {
                break;
            }
            if !tap.ended() && self.staged.size() >= REREAD_LIMIT {
                let sha512 = self.reread_sha512().await?;
                tap.also(sha512);
            }
        }
        let exceeded = tap.exceeded();
        self.hasher = tap.into_hasher();
        let size = self.hasher.size();
        self.repository.settle_upload(&self.stage, size);
        if let Some(refused) = refusal.take() {
            return Err(refused);
        }
        match outcome {
            // Unless the client broke off, the store may have taken fewer
            // bytes than were hashed: what it kept before still counts.
            Err(error) if !exceeded || !matches!(error, StorageError::Interrupted { .. }) => {
                return Err(error.into());
            }
            _ => {}
        }
        let received = self.hasher.size() - begin;
        match range {
            Some(range) if exceeded || received != range.length => Err(Error::SizeMismatch {
                expected: range.length,
                actual: received,
            }),
            _ => Ok(()),
        }
    }

    /// Remembers that a client is at it.
    fn touch(&self) {
        self.repository.registry.inner.sessions.touch(&self.stage);
    }

    /// Keeps what was received, and the state of its hash, for the next request.
    async fn keep(&mut self) -> Result<(), Error> {
        Ok(self.staged.keep(self.hasher.to_note()).await?)
    }

    /// Makes the upload a blob: the bytes become visible, then the links to
    /// them, each durable before the next.
    async fn commit(self, digest: &Digest) -> Result<(), Error> {
        let actual = match self.hasher.digest(digest.algorithm()) {
            Some(actual) => actual,
            None => {
                let sha512 = self.reread_sha512().await?;
                Digest::from_hash(Algorithm::Sha512, &sha512.finalize())
            }
        };
        let Self {
            repository,
            stage,
            staged,
            hasher,
            held,
            _claim,
            _working,
        } = self;
        repository.registry.inner.sessions.forget(&stage);
        let open = &repository.registry.inner.uploads;
        if actual != *digest {
            drop(staged);
            repository.store().discard(&stage).await?;
            open.end(&stage);
            return Err(Error::DigestMismatch {
                expected: digest.clone(),
                actual,
            });
        }
        let canonical = hasher.canonical();
        // Replaces what may be there already: these bytes were just verified,
        // those may be torn.
        let place = repository.registry.place_of_upload(&canonical).await?;
        staged.publish(&place).await?;
        repository.trust_new(digest, &canonical).await?;
        repository.link_blob(digest, &canonical).await?;
        let added = if held.is_some() { 0 } else { hasher.size() };
        repository.note_committed(&stage, digest, added);
        repository.store().discard(&stage).await?;
        open.end(&stage);
        Ok(())
    }

    async fn reread_sha512(&self) -> Result<Sha512, Error> {
        let mut sha512 = Sha512::new();
        self.reread(0, |bytes| sha512.update(bytes)).await?;
        Ok(sha512)
    }

    /// Reads the upload back from an offset on.
    async fn reread(&self, from: u64, mut take: impl FnMut(&[u8]) + Send) -> Result<(), Error> {
        let mut content = self.staged.reread(from).await?;
        while let Some(bytes) = content.next().await {
            take(&bytes.map_err(StorageError::Unavailable)?);
        }
        Ok(())
    }
}

/// Content on its way into the store, hashed as it passes. Clones share it, so
/// that what is left after a pause can be appended too.
#[derive(Clone)]
struct Tap(Arc<Mutex<Source>>);

struct Source {
    content: ByteStream,
    hasher: Hasher,
    /// The upload's size at which the client said that the chunk ends.
    limit: Option<u64>,
    /// The upload's size at which to pause.
    pause: Option<u64>,
    ended: bool,
    exceeded: bool,
}

impl Tap {
    fn new(content: ByteStream, hasher: Hasher, limit: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Source {
            content,
            hasher,
            limit,
            pause: None,
            ended: false,
            exceeded: false,
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        self.lock().ended
    }

    fn also(&self, sha512: Sha512) {
        self.lock().hasher.also(sha512);
    }

    fn pause_before_sha512_is_needed(&self) {
        let mut source = self.lock();
        source.pause = (!source.hasher.takes(Algorithm::Sha512)).then_some(REREAD_LIMIT);
    }

    /// Whether more bytes came than the client said.
    fn exceeded(&self) -> bool {
        self.lock().exceeded
    }

    fn into_hasher(self) -> Hasher {
        std::mem::take(&mut self.lock().hasher)
    }
}

impl Stream for Tap {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut source = self.lock();
        let source = &mut *source;
        if source.ended
            || source
                .pause
                .is_some_and(|size| source.hasher.size() >= size)
        {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(source.content.poll_next_unpin(context));
        match &next {
            Some(Ok(bytes)) => {
                let size = source.hasher.size() + bytes.len() as u64;
                if source.limit.is_some_and(|limit| size > limit) {
                    source.ended = true;
                    source.exceeded = true;
                    return Poll::Ready(Some(Err(io::Error::other("more bytes than announced"))));
                }
                source.hasher.update(bytes);
            }
            Some(Err(_)) | None => source.ended = true,
        }
        Poll::Ready(next)
    }
}
