//! Writes an upload's bytes as they come: one batch is written on a worker
//! while the next is being received.

use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use rustix::fs::Advice;
use tokio::task::JoinHandle;

use super::fault::{during, unwritten};
use super::stage::Session;
use super::workers::{Workers, ended};
use crate::storage::{ByteStream, StorageError};

/// Enough for one write, in bytes.
const BATCH: usize = 512 * 1024;

/// The most parts of one write: what the kernel takes at once, and a bound on
/// the memory of many tiny ones.
const PARTS: usize = 1024;

/// The kernel is told to write back after so many bytes, so that the sync at
/// the end of a large upload finds little to do.
const WRITE_BACK: u64 = 8 * 1024 * 1024;

/// Appends `content` to a session of `offset` bytes, and returns its new size.
pub(super) async fn append(
    workers: &Workers,
    session: Session,
    offset: u64,
    mut content: ByteStream,
) -> Result<u64, StorageError> {
    let path = session.data.clone();
    let open = move || session.open_at(offset);
    let file = workers.run_when_free(open).await?;
    let mut writer = Writer {
        workers,
        file: Arc::new(file),
        path,
        offset,
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
    match broken {
        None => Ok(writer.offset),
        Some(cause) => Err(StorageError::Interrupted {
            size: writer.offset,
            cause,
        }),
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
    file: Arc<File>,
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
            write_at(&file, &batch.parts, offset)?;
            start_write_back(&file, offset, offset + batch.size as u64);
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

fn write_at(file: &File, parts: &[Bytes], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match rustix::io::pwritev(file, rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// At every multiple of [`WRITE_BACK`]. Linux starts to write the dirty pages of
/// a range that is said to be needed no more, and keeps them until that is done;
/// so this costs nothing but the order of what would be written anyway.
fn start_write_back(file: &File, from: u64, to: u64) {
    let (before, now) = (from / WRITE_BACK, to / WRITE_BACK);
    if let Some(length) = NonZeroU64::new((now - before) * WRITE_BACK) {
        // Advice: that it fails changes nothing.
        let _ = rustix::fs::fadvise(file, before * WRITE_BACK, Some(length), Advice::DontNeed);
    }
}
