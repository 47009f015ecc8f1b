//! The bytes: every blob is read and hashed, in the order of digests.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::finding::{Finding, Kind, Place};
use super::run::{Run, Stop};
use super::{Checker, inspect};
use crate::oci::{Algorithm, Digest};
use crate::storage::{Key, Meta, Prefix, Reading, StorageError, layout};

/// Names that one look into a directory fetches.
pub(super) const PAGE: usize = 20_000;

/// What reading a blob told.
pub(super) enum Look {
    /// It has its digest, and so many bytes.
    Good(u64),
    /// It isn't there (any more).
    Absent,
    /// Another run has looked at it.
    Passed,
    /// Something is wrong.
    Bad(Finding),
}

type Digests<'a> = Pin<Box<dyn Stream<Item = Result<Digest, (Prefix, StorageError)>> + Send + 'a>>;

impl Run<'_> {
    /// Reads every blob behind the checkpoint.
    pub(super) async fn blobs(&mut self) -> Result<(), Stop> {
        let checker = self.checker.clone();
        let done = self.reached.blobs_done;
        let passed = self.reached.blob.clone();
        let looks = checker.stored().map(|digest| {
            let (checker, passed) = (checker.clone(), passed.clone());
            async move {
                let digest = digest?;
                if done || passed.is_some_and(|passed| digest <= passed) {
                    return Ok((digest, Look::Passed));
                }
                // A task of its own: hashing keeps a core busy.
                let task = tokio::spawn({
                    let (checker, digest) = (checker, digest.clone());
                    async move { checker.look(&digest).await }
                });
                match AbortOnDropHandle::new(task).await {
                    Ok(look) => Ok((digest, look)),
                    Err(_) => Ok((digest, Look::Absent)),
                }
            }
        });
        let mut looks = Box::pin(looks.buffered(checker.jobs()));
        while let Some(look) = self.unless_stopped(looks.next()).await? {
            let (digest, look) = match look {
                Ok(look) => look,
                Err((prefix, error)) => {
                    self.unlisted(&prefix, &error).await?;
                    continue;
                }
            };
            let size = match look {
                Look::Good(size) => {
                    checker.inner.meter.blob(digest.hex());
                    Some(size)
                }
                Look::Passed => {
                    checker.inner.meter.passed(digest.hex());
                    None
                }
                Look::Absent => continue,
                Look::Bad(finding) => {
                    checker.inner.meter.blob(digest.hex());
                    self.suspect([finding]);
                    None
                }
            };
            if let Ok(mut known) = checker.inner.known.write() {
                known.push(&digest, size);
            }
            self.passed_blob(digest);
            self.settle(false).await?;
        }
        self.settle(true).await?;
        self.pieces().await?;
        self.reached.blobs_done = true;
        checker.inner.meter.blobs_done();
        self.save();
        Ok(())
    }

    /// The blobs that a bucket has in pieces: few, and not for long.
    async fn pieces(&mut self) -> Result<(), Stop> {
        if self.reached.blobs_done {
            return Ok(());
        }
        let checker = self.checker.clone();
        let mut names = checker.names(layout::pieces(), None);
        while let Some(name) = names.next().await {
            let Ok(name) = name else { return Ok(()) };
            let Some(digest) = layout::piece_digest(&name) else {
                continue;
            };
            if let Look::Bad(finding) = self.unless_stopped(checker.look(&digest)).await? {
                self.suspect([finding]);
            }
        }
        self.settle(true).await
    }
}

impl Checker {
    /// The digests of everything in `blobs/`, in order.
    fn stored(&self) -> Digests<'_> {
        let shards = stream::iter(0..=255_u8).flat_map(|shard| {
            let shard = format!("{shard:02x}");
            let prefix = layout::blob_shard(Algorithm::Sha256, &shard);
            self.names(prefix.clone(), None).filter_map(move |name| {
                let found = match name {
                    Ok(name) if name.starts_with(&shard) => {
                        digest_of(Algorithm::Sha256, &name).map(Ok)
                    }
                    Ok(_) => None,
                    Err(error) => Some(Err((prefix.clone(), error))),
                };
                async { found }
            })
        });
        Box::pin(shards)
    }

    /// The names below a prefix, in order, a page at a time.
    pub(super) fn names(
        &self,
        prefix: Prefix,
        after: Option<String>,
    ) -> Pin<Box<dyn Stream<Item = Result<String, StorageError>> + Send + '_>> {
        let pages = stream::try_unfold(Some(after), move |after| {
            let prefix = prefix.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = self.page(&prefix, after.as_deref()).await?;
                let names = page.into_iter().map(|child| child.name);
                let names: Vec<String> = names.collect();
                let next = names.get(PAGE - 1).cloned().map(Some);
                Ok(Some((stream::iter(names.into_iter().map(Ok)), next)))
            }
        });
        Box::pin(pages.try_flatten())
    }

    /// One page of names; a store that fails is asked once more.
    async fn page(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
    ) -> Result<Vec<crate::storage::Child>, StorageError> {
        match self.store().children(prefix, after, PAGE).await {
            Err(_) => {
                tokio::time::sleep(self.options().settle).await;
                self.store().children(prefix, after, PAGE).await
            }
            page => page,
        }
    }

    /// Reads and hashes one blob.
    pub(super) async fn look(&self, digest: &Digest) -> Look {
        let place = Place::Blob(digest.clone());
        let hashed = async {
            let name = self.inner.registry.name_of(digest).await?;
            self.hash(&name, digest.algorithm()).await
        };
        match hashed.await {
            Ok(None) => {
                self.damaged().remove(digest);
                Look::Absent
            }
            Ok(Some((meta, actual))) if actual == *digest => {
                self.damaged().remove(digest);
                self.inner.registry.integrity().passed(digest, meta.version);
                Look::Good(meta.size)
            }
            Ok(Some((meta, actual))) => {
                // Whoever serves beside us hides it from now on.
                self.inner.registry.integrity().failed(digest, meta.version);
                self.damaged().insert(digest.clone(), meta);
                let what = format!("its {} bytes have the digest {actual}", meta.size);
                Look::Bad(Finding::new(Kind::DamagedBlob, &place, what))
            }
            Err(error) => Look::Bad(inspect::unreadable(&place, &error)),
        }
    }

    /// What the content of a key hashes to, and which version that was.
    pub(super) async fn hash(
        &self,
        key: &Key,
        algorithm: Algorithm,
    ) -> Result<Option<(Meta, Digest)>, StorageError> {
        let Some(object) = self.store().open(key, Reading::Whole).await? else {
            return Ok(None);
        };
        let mut digester = algorithm.digester();
        let mut content = object.content.read(0..object.meta.size);
        while let Some(bytes) = content.next().await {
            let bytes = bytes.map_err(StorageError::Unavailable)?;
            digester.update(&bytes);
            self.inner.meter.read(bytes.len());
            self.inner.pace.took(bytes.len()).await;
        }
        Ok(Some((object.meta, digester.finish())))
    }
}

/// The digest that a directory is named after.
pub(super) fn digest_of(algorithm: Algorithm, hex: &str) -> Option<Digest> {
    format!("{algorithm}:{hex}").parse().ok()
}
