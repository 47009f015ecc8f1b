//! Reads files: from the page cache without leaving the thread, else in large
//! blocks on a worker that reads one block ahead.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tokio::task::JoinHandle;

use super::blocks::{BLOCK, Block, Blocks, SMALL};
use super::cached::{Cached, read_whole};
use super::disk::{Disk, Handle, OpenFile, Status, ended_early, read_exact};
use super::fault::{is_absent, unread};
use super::workers::{Workers, ended};
use crate::storage::{ByteStream, Content, Meta, StorageError, Version};

/// The largest content that is read when it is opened, in bytes.
pub(super) const EAGER: u64 = SMALL as u64;

/// What every reader needs; clones share it.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) workers: Workers,
    pub(super) blocks: Blocks,
}

/// A regular file that was found.
pub(super) struct Found {
    pub(super) meta: Meta,
    pub(super) content: Source,
}

/// Where its bytes come from.
#[derive(Clone)]
pub(super) enum Source {
    /// All of them were read already.
    Whole(Bytes),
    /// They are read as they are wanted.
    File(Handle, Reader),
}

impl Reader {
    /// Size and age of a regular file.
    pub(super) async fn head(&self, path: &Path) -> Result<Option<Meta>, StorageError> {
        match self.disk.stat_cached(path) {
            Cached::Hit(status) => Ok(regular(&status)),
            Cached::Absent => Ok(None),
            Cached::Unknown => {
                let (disk, path) = (self.disk.clone(), path.to_owned());
                self.workers.run(move || head_now(&*disk, &path)).await
            }
        }
    }

    /// Whether a directory is there.
    pub(super) async fn is_dir(&self, path: &Path) -> Result<bool, StorageError> {
        match self.disk.stat_cached(path) {
            Cached::Hit(status) if status.is_dir => return Ok(true),
            // This look doesn't follow a link, which may lead to a directory.
            Cached::Hit(_) | Cached::Unknown => {}
            Cached::Absent => return Ok(false),
        }
        let (disk, path) = (self.disk.clone(), path.to_owned());
        let look = move || match disk.is_dir(&path) {
            Err(error) if is_absent(&error) => Ok(false),
            found => found.map_err(|error| unread(&path, &error)),
        };
        self.workers.run(look).await
    }

    /// Opens a regular file, and reads it at once if it has at most `eager` bytes.
    pub(super) async fn open(
        &self,
        path: &Path,
        eager: u64,
    ) -> Result<Option<Found>, StorageError> {
        let opened = match self.disk.open_cached(path) {
            Cached::Absent => return Ok(None),
            Cached::Unknown => None,
            Cached::Hit(file) => {
                let status = file.status().map_err(|error| unread(path, &error))?;
                let Some(meta) = regular(&status) else {
                    return Ok(None);
                };
                if meta.size > eager {
                    return Ok(Some(self.found(file, meta)));
                }
                if let Some(whole) = read_whole(&*file, meta.size) {
                    let content = Source::Whole(whole);
                    return Ok(Some(Found { meta, content }));
                }
                Some((file, meta))
            }
        };
        let (reader, path) = (self.clone(), path.to_owned());
        let open = move || {
            let opened = match opened {
                Some(opened) => Some(opened),
                None => open_now(&*reader.disk, &path).map_err(|error| unread(&path, &error))?,
            };
            let Some((file, meta)) = opened else {
                return Ok(None);
            };
            if meta.size > eager {
                return Ok(Some(reader.found(file, meta)));
            }
            let whole = read_now(&*file, meta.size).map_err(|error| unread(&path, &error))?;
            let content = Source::Whole(whole);
            Ok(Some(Found { meta, content }))
        };
        self.workers.run(open).await
    }

    /// Streams a range of an open file.
    pub(super) fn stream(&self, file: Handle, range: Range<u64>) -> ByteStream {
        let reading = Reading {
            reader: self.clone(),
            file,
            offset: range.start,
            end: range.end,
            ahead: None,
        };
        Box::pin(stream::try_unfold(reading, async |mut reading| {
            let block = reading.next().await?;
            Ok(block.map(|block| (block, reading)))
        }))
    }

    fn found(&self, file: Handle, meta: Meta) -> Found {
        let content = Source::File(file, self.clone());
        Found { meta, content }
    }
}

impl Content for Source {
    fn read(&self, range: Range<u64>) -> ByteStream {
        match self {
            Self::File(file, reader) => reader.stream(file.clone(), range),
            Self::Whole(whole) => {
                let start = usize::try_from(range.start).ok();
                let end = usize::try_from(range.end).ok();
                let part = start
                    .zip(end)
                    .filter(|(start, end)| start <= end && *end <= whole.len())
                    .map(|(start, end)| whole.slice(start..end))
                    .ok_or_else(ended_early);
                Box::pin(stream::iter([part]))
            }
        }
    }
}

/// One stream's place in its file. It holds at most two blocks: the one that
/// was handed out last, and one ahead of it.
struct Reading {
    reader: Reader,
    file: Handle,
    /// The first byte that no block was asked for.
    offset: u64,
    end: u64,
    ahead: Option<Ahead>,
}

/// The block after the one that is being sent.
enum Ahead {
    Here(Bytes),
    Coming(JoinHandle<io::Result<Bytes>>),
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let block = match self.ahead.take() {
            Some(Ahead::Here(block)) => return Ok(Some(block)),
            Some(Ahead::Coming(reading)) => ended(reading).await??,
            None if self.offset >= self.end => return Ok(None),
            None => {
                if let Some(block) = self.cached()? {
                    return Ok(Some(block));
                }
                let workers = self.reader.workers.clone();
                ended(workers.start(self.read()).await?).await??
            }
        };
        // The cache is cold here: have the next block fetched meanwhile.
        if self.offset < self.end {
            self.ahead = match self.cached()? {
                Some(block) => Some(Ahead::Here(block)),
                None => {
                    let before = self.offset;
                    let workers = self.reader.workers.clone();
                    let reading = workers.try_start(self.read());
                    if reading.is_none() {
                        self.offset = before;
                    }
                    reading.map(Ahead::Coming)
                }
            };
        }
        Ok(Some(block))
    }

    fn wanted(&self) -> usize {
        let rest = self.end.saturating_sub(self.offset);
        usize::try_from(rest).unwrap_or(BLOCK).min(BLOCK)
    }

    /// The next bytes if they are in the page cache.
    fn cached(&mut self) -> io::Result<Option<Bytes>> {
        let wanted = self.wanted();
        let mut block = self.reader.blocks.take(wanted);
        match self.file.read_cached(block.room(wanted), self.offset) {
            None => Ok(None),
            Some(0) => Err(ended_early()),
            Some(count) => {
                self.offset += count as u64;
                block.fill(count);
                Ok(Some(block.freeze()))
            }
        }
    }

    /// A job that reads the next block, which counts as asked for.
    fn read(&mut self) -> impl FnOnce() -> io::Result<Bytes> + Send + 'static {
        let (wanted, offset) = (self.wanted(), self.offset);
        let (file, blocks) = (self.file.clone(), self.reader.blocks.clone());
        self.offset += wanted as u64;
        move || read_block(&*file, offset, wanted, blocks.take(wanted))
    }
}

/// Opens a regular file for reading.
pub(super) fn open_now(disk: &dyn Disk, path: &Path) -> io::Result<Option<(Handle, Meta)>> {
    match disk.open(path) {
        Ok(file) => {
            let meta = regular(&file.status()?);
            Ok(meta.map(|meta| (file, meta)))
        }
        Err(error) if is_absent(&error) || error.raw_os_error() == Some(LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The whole content of a file of `size` bytes.
pub(super) fn read_now(file: &dyn OpenFile, size: u64) -> io::Result<Bytes> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut content = vec![0; size];
    read_exact(file, &mut content, 0)?;
    Ok(content.into())
}

/// The final component is a symlink, which no key of ours is.
const LOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();

fn head_now(disk: &dyn Disk, path: &Path) -> Result<Option<Meta>, StorageError> {
    match disk.stat(path) {
        Ok(status) => Ok(regular(&status)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(unread(path, &error)),
    }
}

/// What a store tells about a regular file; nothing about anything else.
fn regular(status: &Status) -> Option<Meta> {
    status.is_file.then_some(Meta {
        size: status.size,
        modified: status.modified,
        assembled: true,
        // A write in place leaves the identity, and may put the time back.
        version: Version::of((status.identity, status.size, status.changed)),
    })
}

fn read_block(
    file: &dyn OpenFile,
    mut offset: u64,
    wanted: usize,
    mut block: Block,
) -> io::Result<Bytes> {
    while block.filled() < wanted {
        match file.read_at(block.room(wanted), offset) {
            Ok(0) => return Err(ended_early()),
            Ok(count) => {
                offset += count as u64;
                block.fill(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(block.freeze())
}
