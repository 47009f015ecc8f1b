//! Pushes, mounts, moves and deletes in one repository, and tells the ledger.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;

use super::ledger::{Ledger, Object, OpenUpload};
use super::pool::{CHILD, LOOSE, Pool};
use crate::oci::{Reference, Tag};
use crate::registry::{ChunkRange, Error, Registry, Repository};
use crate::storage::ByteStream;
use crate::storage::files::simulated::Random;

/// How often a push may be refused for parts that were collected.
const TRIES: usize = 5;

/// One client. Every step is told to the ledger, acknowledged or not.
pub(super) struct Client<'a> {
    pub(super) pool: &'a Pool,
    pub(super) ledger: &'a Ledger,
    pub(super) registry: Registry,
    /// The one that it writes to.
    pub(super) repository: usize,
}

impl Client<'_> {
    /// Does something that can be done now.
    pub(super) async fn act(&self, random: &mut Random) -> Result<(), Error> {
        let manifest = usize::try_from(random.below(self.pool.manifests.len() as u64)).unwrap();
        let tag = usize::try_from(random.below(self.pool.tags.len() as u64)).unwrap();
        let loose = *random.pick(&LOOSE);
        let seed = random.next();
        match random.below(12) {
            0..=3 => self.push_image(manifest, &[tag], seed).await,
            4 => self.push_image(manifest, &[], seed).await,
            5 => self.push_image(manifest, &[0, 1], seed).await,
            6 => self.push_blob(loose, seed).await,
            7 => self.mount(loose).await,
            8 => self.delete_tag(tag).await,
            9 => self.delete_manifest(manifest).await,
            10 => self.delete_blob(loose).await,
            _ => self.leave_upload(loose, seed).await,
        }
    }

    /// Leaves something that nothing needs.
    pub(super) async fn leave_garbage(&self, random: &mut Random) -> Result<(), Error> {
        self.push_blob(*random.pick(&LOOSE), random.next()).await?;
        let manifest = random.below(self.pool.manifests.len() as u64);
        self.delete_manifest(usize::try_from(manifest).unwrap())
            .await
    }

    /// Pushes an image, and again if something of it was collected before the
    /// registry knew that it is needed.
    pub(super) async fn push_image(
        &self,
        manifest: usize,
        tags: &[usize],
        seed: u64,
    ) -> Result<(), Error> {
        for tried in 0.. {
            // Whoever was refused pushes everything.
            let seed = if tried == 0 { seed } else { seed - seed % 3 };
            match self.push_once(manifest, tags, seed).await {
                Err(Error::PartsUnknown(_)) if tried < TRIES => {}
                pushed => return pushed,
            }
        }
        Ok(())
    }

    /// Pushes what the image needs, beside each other, and then itself.
    async fn push_once(&self, manifest: usize, tags: &[usize], seed: u64) -> Result<(), Error> {
        let image = &self.pool.manifests[manifest];
        for child in &image.children {
            Box::pin(self.push_image(*child, &[], seed)).await?;
        }
        let missing = image.blobs.iter().filter(|blob| {
            let certain = self.ledger.certain(self.blob(**blob));
            // Some clients ask first, some push whatever is there.
            certain != Some(Some(**blob)) || seed.is_multiple_of(3)
        });
        for pushed in join_all(missing.map(|blob| self.push_blob(*blob, seed))).await {
            pushed?;
        }
        let names: Vec<Tag> = tags
            .iter()
            .map(|tag| self.pool.tags[*tag].clone())
            .collect();
        let reference = match names.as_slice() {
            [one] => Reference::Tag(one.clone()),
            _ => Reference::Digest(image.content.digest.clone()),
        };
        let mut changes = vec![(self.manifest(manifest), Some(manifest))];
        changes.extend(tags.iter().map(|tag| (self.tag(*tag), Some(manifest))));
        let put = async {
            let bytes = image.content.bytes.clone();
            let here = self.here();
            let put = here.put_manifest(&reference, names, None, bytes);
            put.await.map(drop)
        };
        self.ledger.note(&changes, put).await
    }

    /// In one request, in one chunk or in several.
    pub(super) async fn push_blob(&self, blob: usize, seed: u64) -> Result<(), Error> {
        let content = &self.pool.blobs[blob];
        let push = async {
            if seed.is_multiple_of(2) {
                let content = whole(content.bytes.clone());
                return self
                    .here()
                    .put_blob(&self.pool.blobs[blob].digest, content)
                    .await;
            }
            let id = self.here().start_upload(None).await?;
            let (first, last) = content.bytes.split_at(content.bytes.len() / 2);
            self.send(&id, 0, first).await?;
            let middle = last.len() / 2;
            self.send(&id, first.len(), &last[..middle]).await?;
            let rest = whole(content.bytes.slice(first.len() + middle..));
            self.here().finish(&id, &content.digest, None, rest).await
        };
        let change = (self.blob(blob), Some(blob));
        self.ledger.note(&[change], push).await
    }

    /// From the other repository, if that has it.
    pub(super) async fn mount(&self, blob: usize) -> Result<(), Error> {
        let other = 1 - self.repository;
        if self.ledger.certain(Object::Blob(other, blob)) != Some(Some(blob)) {
            return Ok(());
        }
        let from = &self.pool.repositories[other];
        let digest = &self.pool.blobs[blob].digest;
        let mount = async {
            match self.here().mount(digest, from).await {
                Ok(true) => Ok(()),
                // Deleted there meanwhile.
                Ok(false) => Err(None),
                Err(error) => Err(Some(error)),
            }
        };
        let change = (self.blob(blob), Some(blob));
        match self.ledger.note(&[change], mount).await {
            Err(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn delete_tag(&self, tag: usize) -> Result<(), Error> {
        if self.ledger.certain(self.tag(tag)) == Some(None) {
            return Ok(());
        }
        let name = &self.pool.tags[tag];
        let delete = async { self.here().delete_tag(name).await };
        gone(self.ledger.note(&[(self.tag(tag), None)], delete).await)
    }

    pub(super) async fn delete_manifest(&self, manifest: usize) -> Result<(), Error> {
        let there = self.ledger.certain(self.manifest(manifest)) != Some(None);
        if manifest == CHILD || !there {
            return Ok(());
        }
        let mut changes = vec![(self.manifest(manifest), None)];
        for tag in 0..self.pool.tags.len() {
            // Those that name it go with it.
            match self.ledger.possible(self.tag(tag), u64::MAX) {
                possible if !possible.contains(&Some(manifest)) => {}
                possible if possible.iter().all(|value| *value == Some(manifest)) => {
                    changes.push((self.tag(tag), None));
                }
                // It isn't certain what this one names: it goes first.
                _ => self.delete_tag(tag).await?,
            }
        }
        let digest = &self.pool.manifests[manifest].content.digest;
        let delete = async { self.here().delete_manifest(digest).await };
        gone(self.ledger.note(&changes, delete).await)
    }

    pub(super) async fn delete_blob(&self, blob: usize) -> Result<(), Error> {
        if self.ledger.certain(self.blob(blob)) == Some(None) {
            return Ok(());
        }
        let digest = &self.pool.blobs[blob].digest;
        let delete = async { self.here().delete_blob(digest).await };
        gone(self.ledger.note(&[(self.blob(blob), None)], delete).await)
    }

    /// Sends a part of a blob, and comes back later: [`Self::resume`].
    pub(super) async fn leave_upload(&self, blob: usize, seed: u64) -> Result<(), Error> {
        let content = &self.pool.blobs[blob].bytes;
        let id = self.here().start_upload(None).await?;
        let sent = usize::try_from(seed % (content.len() as u64 + 1)).unwrap();
        self.ledger.opened(OpenUpload {
            repository: self.repository,
            id,
            blob,
            sent: sent as u64,
        });
        self.send(&id, 0, &content[..sent]).await
    }

    /// Goes on with an upload after a crash, as far as it is there.
    pub(super) async fn resume(&self, upload: &OpenUpload) -> Result<(), Error> {
        let content = &self.pool.blobs[upload.blob];
        let size = match self.here().upload_size(&upload.id).await {
            Err(Error::UploadUnknown) => {
                self.ledger.closed(&upload.id);
                return Ok(());
            }
            size => size?,
        };
        assert!(size <= upload.sent, "I6: {size} of {} bytes", upload.sent);
        let rest = whole(content.bytes.slice(usize::try_from(size).unwrap()..));
        self.ledger.sent(&upload.id, content.bytes.len() as u64);
        let finish = async {
            let here = self.here();
            match here.finish(&upload.id, &content.digest, None, rest).await {
                // A power cut tore what it had: it is refused, and begun again.
                Err(Error::DigestMismatch { .. } | Error::UploadUnknown) => Err(None),
                finished => finished.map_err(Some),
            }
        };
        let change = (self.blob(upload.blob), Some(upload.blob));
        match self.ledger.note(&[change], finish).await {
            Err(Some(error)) => return Err(error),
            Err(None) => self.push_blob(upload.blob, 0).await?,
            Ok(()) => {}
        }
        self.ledger.closed(&upload.id);
        Ok(())
    }

    async fn send(
        &self,
        id: &crate::oci::UploadId,
        start: usize,
        part: &[u8],
    ) -> Result<(), Error> {
        let range = ChunkRange {
            start: start as u64,
            length: part.len() as u64,
        };
        let content = whole(Bytes::copy_from_slice(part));
        self.here().append(id, Some(range), content).await.map(drop)
    }

    fn here(&self) -> Repository {
        let name = &self.pool.repositories[self.repository];
        self.registry.repository(name)
    }

    fn blob(&self, number: usize) -> Object {
        Object::Blob(self.repository, number)
    }

    fn manifest(&self, number: usize) -> Object {
        Object::Manifest(self.repository, number)
    }

    fn tag(&self, number: usize) -> Object {
        Object::Tag(self.repository, number)
    }
}

/// What is gone already needs no delete. That it isn't there now promises
/// nothing, since it is no answer of a delete that was done.
fn gone(deleted: Result<(), Error>) -> Result<(), Error> {
    match deleted {
        Err(Error::ManifestUnknown(_) | Error::BlobUnknown(_)) => Ok(()),
        deleted => deleted,
    }
}

fn whole(bytes: Bytes) -> ByteStream {
    Box::pin(stream::iter([Ok(bytes)]))
}
