//! Reading objects: whole, in ranges, and ahead of whoever takes the bytes.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};
use tokio::sync::mpsc;

use super::fault::chain;
use crate::storage::{ByteStream, Content, Meta, Reading, Version};

/// Pieces that are read ahead of a client; the library's have some 16 KiB, so
/// this is about a megabyte.
const AHEAD: usize = 64;

/// One version of an object.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    e_tag: Option<String>,
    /// The answer that it was opened with, for the first who reads all.
    opened: Arc<Mutex<Option<BoxStream<'static, object_store::Result<Bytes>>>>>,
}

impl Remote {
    /// The object that answered `result`.
    pub(super) fn new(store: &Arc<dyn ObjectStore>, result: GetResult, reading: Reading) -> Self {
        Self {
            store: store.clone(),
            path: result.meta.location.clone(),
            size: result.meta.size,
            e_tag: result.meta.e_tag.clone(),
            opened: Arc::new(Mutex::new(match reading {
                Reading::Whole => Some(result.into_stream()),
                Reading::Parts => None,
            })),
        }
    }

    async fn ask(
        self,
        range: Range<u64>,
    ) -> object_store::Result<BoxStream<'static, object_store::Result<Bytes>>> {
        let options = GetOptions {
            if_match: self.e_tag,
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let result = self.store.get_opts(&self.path, options).await?;
        Ok(result.into_stream())
    }
}

impl Content for Remote {
    fn read(&self, range: Range<u64>) -> ByteStream {
        if range.is_empty() {
            return Box::pin(stream::empty());
        }
        let length = range.end - range.start;
        let opened = if range == (0..self.size) {
            self.opened
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        } else {
            None
        };
        let remote = self.clone();
        ahead(length, async move {
            match opened {
                Some(stream) => Ok(stream),
                None => remote.ask(range).await,
            }
        })
    }
}

/// Bytes that lie in several objects, one behind the other.
#[derive(Clone)]
pub(super) struct Scattered {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where, and how many bytes.
    pub(super) pieces: Vec<(Path, u64)>,
    /// Where all of them lie once the pieces are gone.
    pub(super) whole: Option<Path>,
}

impl Scattered {
    /// The bytes of a range, in order.
    pub(super) fn stream(
        &self,
        range: Range<u64>,
    ) -> BoxStream<'static, object_store::Result<Bytes>> {
        let mut begin = 0;
        let mut wanted = Vec::new();
        for (path, size) in &self.pieces {
            let end = begin + size;
            let (from, to) = (range.start.max(begin), range.end.min(end));
            if from < to {
                wanted.push((path.clone(), from - begin..to - begin, from..to));
            }
            begin = end;
        }
        let (store, whole) = (self.store.clone(), self.whole.clone());
        stream::iter(wanted)
            .then(move |(path, range, absolute)| {
                let (store, whole) = (store.clone(), whole.clone());
                async move {
                    let part = |range| GetOptions {
                        range: Some(GetRange::Bounded(range)),
                        ..GetOptions::default()
                    };
                    let result = match (store.get_opts(&path, part(range)).await, whole) {
                        (Err(object_store::Error::NotFound { .. }), Some(whole)) => {
                            store.get_opts(&whole, part(absolute)).await?
                        }
                        (result, _) => result?,
                    };
                    Ok::<_, object_store::Error>(result.into_stream())
                }
            })
            .try_flatten()
            .boxed()
    }
}

impl Content for Scattered {
    fn read(&self, range: Range<u64>) -> ByteStream {
        let stream = self.stream(range.clone());
        ahead(range.end.saturating_sub(range.start), async { Ok(stream) })
    }
}

/// Streams what `source` yields, which must be `length` bytes, a little ahead of
/// whoever takes it.
fn ahead(
    length: u64,
    source: impl Future<Output = object_store::Result<BoxStream<'static, object_store::Result<Bytes>>>>
    + Send
    + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut left = length;
        let mut source = match source.await {
            Ok(source) => source,
            Err(error) => {
                // Nobody may be there to hear it any more.
                let _ = sender.send(Err(broken(&error))).await;
                return;
            }
        };
        while let Some(next) = source.next().await {
            let next = next.map_err(|error| broken(&error));
            left = left.saturating_sub(next.as_ref().map_or(0, |bytes| bytes.len() as u64));
            let ended = next.is_err();
            if sender.send(next).await.is_err() || ended {
                return;
            }
        }
        if left > 0 {
            let cut = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the store's answer ended early",
            );
            let _ = sender.send(Err(cut)).await;
        }
    });
    Box::pin(stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|next| (next, receiver))
    }))
}

/// What the store's library said, for a body that breaks off.
pub(super) fn broken(error: &object_store::Error) -> io::Error {
    io::Error::other(chain(error))
}

/// Size and age.
pub(super) fn meta(meta: &ObjectMeta) -> Meta {
    Meta {
        size: meta.size,
        modified: SystemTime::from(meta.last_modified),
        assembled: true,
        version: Version::of((&meta.e_tag, meta.last_modified, meta.size)),
    }
}
