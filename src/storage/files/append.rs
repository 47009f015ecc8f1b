//! Writes an upload's bytes as they come: one batch is written on a worker
//! while the next is being received.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

use super::Files;
use super::disk::{Handle, write_all};
use super::durable::Durable;
use super::fault::{during, unwritten};
use super::read::{EAGER, Reader};
use super::stage::{Opened, Session};
use super::workers::{Workers, ended};
use crate::storage::{ByteStream, Content as _, Key, StorageError, Upload};

/// Enough for one write, in bytes.
const BATCH: usize = 512 * 1024;

/// The most parts of one write: what the kernel takes at once, and a bound on
/// the memory of many tiny ones.
const PARTS: usize = 1024;

/// The kernel is told to write back after so many bytes, so that the sync at
/// the end of a large upload finds little to do.
const WRITE_BACK: u64 = 8 * 1024 * 1024;

/// A session that this process writes to: nobody else does until it is dropped.
pub(super) struct FileUpload {
    reader: Reader,
    durable: Arc<Durable>,
    session: Session,
    file: Handle,
    size: u64,
    note: Option<Bytes>,
}

impl FileUpload {
    pub(super) fn new(files: &Files, opened: Opened) -> Self {
        Self {
            reader: files.reader.clone(),
            durable: files.durable.clone(),
            session: opened.session,
            file: opened.file,
            size: opened.size,
            note: opened.note,
        }
    }
}

#[async_trait]
impl Upload for FileUpload {
    fn size(&self) -> u64 {
        self.size
    }

    fn note(&self) -> Option<&Bytes> {
        self.note.as_ref()
    }

    async fn append(&mut self, mut content: ByteStream) -> Result<(), StorageError> {
        let mut writer = Writer {
            workers: &self.reader.workers,
            file: self.file.clone(),
            path: self.session.data.clone(),
            offset: self.size,
            running: None,
        };
        let mut batch = Batch::default();
        let broken = loop {
            match content.next().await {
                Some(Ok(part)) => {
                    batch.push(part);
                    if batch.is_full() {
                        writer.start(std::mem::take(&mut batch)).await?;
                    }
                }
                Some(Err(cause)) => break Some(cause),
                None => break None,
            }
        };
        writer.start(batch).await?;
        writer.finish().await?;
        self.size = writer.offset;
        match broken {
            None => Ok(()),
            Some(cause) => Err(StorageError::Interrupted {
                size: self.size,
                cause,
            }),
        }
    }

    async fn keep(&mut self, note: Bytes) -> Result<(), StorageError> {
        self.note = Some(note.clone());
        let (session, durable) = (self.session.clone(), self.durable.clone());
        let annotate = move || session.annotate(durable.disk(), &note);
        self.reader.workers.run(annotate).await
    }

    async fn reread(&self, from: u64) -> Result<ByteStream, StorageError> {
        let size = match self.reader.open(&self.session.data, EAGER).await? {
            Some(found) if from <= found.meta.size => {
                return Ok(found.content.read(from..found.meta.size));
            }
            Some(found) => found.meta.size,
            None => return Err(StorageError::UnknownStage),
        };
        Err(StorageError::WrongOffset {
            expected: from,
            actual: size,
        })
    }

    async fn publish(self: Box<Self>, key: &Key) -> Result<(), StorageError> {
        let target = self.durable.root().join(key.as_str());
        let Self {
            reader,
            durable,
            session,
            file,
            ..
        } = *self;
        let publish = move || session.publish(&durable, &*file, &target);
        reader.workers.run(publish).await
    }
}

/// Parts that are written together.
#[derive(Default)]
struct Batch {
    parts: Vec<Bytes>,
    size: usize,
}

impl Batch {
    fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.size += part.len();
            self.parts.push(part);
        }
    }

    fn is_full(&self) -> bool {
        self.size >= BATCH || self.parts.len() >= PARTS
    }
}

/// Writes one batch at a time.
struct Writer<'a> {
    workers: &'a Workers,
    /// Locked until it is closed, by the last write if the request is dropped.
    file: Handle,
    path: PathBuf,
    /// Where the next batch goes.
    offset: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl Writer<'_> {
    /// Starts to write a batch as soon as the one before is written.
    async fn start(&mut self, batch: Batch) -> Result<(), StorageError> {
        self.finish().await?;
        if batch.size == 0 {
            return Ok(());
        }
        let (file, offset) = (self.file.clone(), self.offset);
        self.offset += batch.size as u64;
        let write = move || {
            let parts: Vec<&[u8]> = batch.parts.iter().map(|part| &**part).collect();
            write_all(&*file, &parts, offset)?;
            // At every multiple.
            let (before, now) = (
                offset / WRITE_BACK,
                (offset + batch.size as u64) / WRITE_BACK,
            );
            file.start_write_back(before * WRITE_BACK, now * WRITE_BACK);
            Ok(())
        };
        let running = self.workers.start(write).await;
        self.running = Some(running.map_err(StorageError::Unavailable)?);
        Ok(())
    }

    /// Waits for the batch that is being written.
    async fn finish(&mut self) -> Result<(), StorageError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let written = ended(running).await.and_then(|written| written);
        written.map_err(|error| unwritten(during("write", &self.path, &error)))
    }
}
