//! The object-store back end: registry:2's tree in a bucket, on S3 and what
//! speaks its protocol, on Google Cloud Storage and on Azure.
//!
//! [`connect`] makes the clients, [`upload`] and [`assemble`] hold the uploads,
//! [`read`] the way out, [`list`] the listings, [`probe`] what a store must be
//! able to do. The store is the only state: any number of processes use it at
//! once.

mod aside;
mod assemble;
mod buffer;
mod connect;
mod fault;
mod list;
mod part_copy;
mod probe;
mod read;
mod remove;
mod report;
mod settings;
mod state;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetResult, PutMode, PutOptions, PutPayload, PutResult,
};

pub use report::{Check, Outcome, Report};
pub use settings::{Azure, AzureCredentials, Engine, Gcs, GcsKey, S3, Secret, Settings};

use self::connect::Client;
use self::fault::{absent, advice, chain, failed};
use self::read::{Remote, Scattered, meta};
use self::upload::ObjectUpload;
use super::{
    Aside, Child, Created, Hold, Key, MAX_RECORD, Meta, Object, Prefix, Reading, Space, Stage,
    StorageError, Store, Upload, layout,
};
use crate::oci::UploadId;

/// How long a client may use an address that it was sent to, as registry:2.
const ADDRESS_LIFE: Duration = Duration::from_secs(20 * 60);

/// Clients wait for about 30 seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Nobody puts a blob together for so long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Keys as objects. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    /// Begins every key; empty, or ends with a slash.
    root: Arc<str>,
    chunk_size: usize,
    copies: usize,
    redirect: bool,
    /// How long a closing request waits until a large blob is put together.
    patience: Duration,
    /// After how long whoever clears up does that instead.
    abandoned: Duration,
    habits: Arc<Habits>,
}

/// What the store was found to do.
struct Habits {
    /// It refuses to create what exists, and to replace what has changed.
    creates_conditionally: AtomicBool,
    /// It goes on listing a directory whose last object was deleted.
    lists_empty_prefixes: AtomicBool,
}

/// Where a key's bytes are.
enum Found {
    Whole(Box<GetResult>),
    Pieces(Scattered, Meta),
}

/// The settings make no client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStore(String);

impl Objects {
    /// A back end that has not asked the store anything yet: see
    /// [`Objects::examine`].
    ///
    /// # Errors
    /// The settings or the credentials are no valid ones; the text says which.
    pub async fn connect(settings: &Settings) -> Result<Self, InvalidStore> {
        let root = settings.root.trim_matches('/');
        Path::parse(root).map_err(|error| InvalidStore(format!("rootdirectory: {error}")))?;
        let client = Client::new(&settings.engine).map_err(|error| InvalidStore(chain(&error)))?;
        Ok(Self {
            client,
            root: match root {
                "" => Arc::from(""),
                root => Arc::from(format!("{root}/")),
            },
            chunk_size: settings.chunk_size.max(Settings::LEAST_CHUNK),
            copies: settings.copies.max(1),
            redirect: settings.redirect,
            patience: PATIENCE,
            abandoned: ABANDONED,
            habits: Arc::new(Habits {
                creates_conditionally: AtomicBool::new(true),
                lists_empty_prefixes: AtomicBool::new(true),
            }),
        })
    }

    /// registry:2's name of the driver: `s3aws`, `gcs` or `azure`.
    pub fn driver(&self) -> &'static str {
        self.client.driver
    }

    /// The bucket and where it is, for people.
    pub fn name(&self) -> &str {
        &self.client.name
    }

    fn path(&self, below: &str) -> Path {
        // Keys and the root are made of components that need no escapes.
        Path::from(format!("{}{below}", self.root))
    }

    fn key_path(&self, key: &Key) -> Path {
        self.path(key.as_str())
    }

    fn creates_conditionally(&self) -> bool {
        self.habits.creates_conditionally.load(Ordering::Relaxed)
    }

    fn lists_empty_prefixes(&self) -> bool {
        self.habits.lists_empty_prefixes.load(Ordering::Relaxed)
    }

    /// What every new object has.
    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(class) = &self.client.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    async fn put_object(
        &self,
        key: &Key,
        content: PutPayload,
        mode: PutMode,
    ) -> Result<PutResult, Error> {
        let options = PutOptions {
            mode,
            attributes: self.attributes(),
            ..PutOptions::default()
        };
        let path = self.key_path(key);
        self.client.store.put_opts(&path, content, options).await
    }

    /// Replaces an object, whoever wrote it.
    async fn write(&self, key: &Key, content: PutPayload) -> Result<(), StorageError> {
        let written = self.put_object(key, content, PutMode::Overwrite).await;
        written
            .map(drop)
            .map_err(|error| failed("write", key.as_str(), error))
    }

    /// Finds a key's bytes, together or in pieces.
    async fn find(&self, key: &Key, options: GetOptions) -> Result<Option<Found>, StorageError> {
        if let Some(result) = self.get_object(key, options.clone()).await? {
            return Ok(Some(Found::Whole(Box::new(result))));
        }
        if !key.is_blob() {
            return Ok(None);
        }
        if let Some((scattered, meta)) = self.pieces_of(key).await? {
            return Ok(Some(Found::Pieces(scattered, meta)));
        }
        // They may have been put together between the two looks.
        let again = self.get_object(key, options).await?;
        Ok(again.map(|result| Found::Whole(Box::new(result))))
    }

    /// Removes objects, many with one request where the store can.
    async fn remove(&self, paths: Vec<Path>) -> Result<(), StorageError> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut removed = self.client.store.delete_stream(paths);
        while let Some(result) = removed.next().await {
            absent("delete", "objects", result)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Objects {
    async fn head(&self, key: &Key) -> Result<Option<Meta>, StorageError> {
        Ok(match self.find(key, only_head(true)).await? {
            Some(Found::Whole(result)) => Some(meta(&result.meta)),
            Some(Found::Pieces(_, meta)) => Some(meta),
            None => None,
        })
    }

    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        let Some(result) = self.get_object(key, GetOptions::default()).await? else {
            return Ok(None);
        };
        if result.meta.size > MAX_RECORD {
            return Err(StorageError::TooLarge {
                key: key.as_str().to_owned(),
                size: result.meta.size,
            });
        }
        let content = result.bytes().await;
        let content = content.map_err(|error| failed("read", key.as_str(), error))?;
        Ok(Some(content))
    }

    async fn open(&self, key: &Key, reading: Reading) -> Result<Option<Object>, StorageError> {
        let options = only_head(reading == Reading::Parts);
        Ok(match self.find(key, options).await? {
            Some(Found::Whole(result)) => Some(Object {
                meta: meta(&result.meta),
                content: Arc::new(Remote::new(&self.client.store, *result, reading)),
            }),
            Some(Found::Pieces(scattered, meta)) => Some(Object {
                meta,
                content: Arc::new(scattered),
            }),
            None => None,
        })
    }

    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.write(key, content.into()).await
    }

    async fn create(&self, key: &Key, content: Bytes) -> Result<Created, StorageError> {
        if !self.creates_conditionally() {
            return Err(StorageError::Refused(std::io::Error::other(
                "the store overwrites what `If-None-Match: *` should protect",
            )));
        }
        let created = self.put_object(key, content.into(), PutMode::Create);
        match created.await {
            Ok(_) => Ok(Created::New),
            Err(Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(error) => Err(failed("create", key.as_str(), error)),
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), StorageError> {
        if key.is_blob() {
            self.remove_blob(key).await
        } else {
            self.remove_object(key).await
        }
    }

    async fn set_aside(&self, key: &Key, to: &Key, version: &Meta) -> Result<Aside, StorageError> {
        self.move_version(key, to, version).await
    }

    async fn post(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.put(key, content).await
    }

    async fn withdraw(&self, key: &Key) -> Result<(), StorageError> {
        self.delete(key).await
    }

    /// What can be seen is durable.
    async fn settle(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Nothing here ends with a process.
    /// For ever, in this bucket.
    fn era(&self) -> Option<String> {
        Some(format!("{} {}", self.client.name, self.root))
    }

    async fn hold(&self, _: &Key) -> Result<Hold, StorageError> {
        Ok(Hold::Unknown)
    }

    /// There are no directories; a store that shows some nevertheless has its
    /// listings corrected.
    async fn tidy(&self, _: &Prefix) -> Result<(), StorageError> {
        Ok(())
    }

    async fn delete_all(&self, prefix: &Prefix) -> Result<(), StorageError> {
        let mut token = None;
        loop {
            let (paths, next) = self.all_below(prefix, token).await?;
            self.remove(paths).await?;
            token = next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn children(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        // These first: what is put together in between is found then.
        let pieces = match layout::pieces_below(prefix) {
            Some(beginning) => self.in_pieces(&beginning, after, limit).await?,
            None => Vec::new(),
        };
        let mut all = self.names_below(prefix, after, limit).await?;
        all.extend(pieces);
        all.sort();
        all.dedup();
        all.truncate(limit);
        Ok(all)
    }

    async fn exists(&self, prefix: &Prefix) -> Result<bool, StorageError> {
        self.any(&format!("{}/", self.path(prefix.as_str()))).await
    }

    async fn begin(&self, stage: &Stage, started_at: &str) -> Result<(), StorageError> {
        let started_at = Bytes::copy_from_slice(started_at.as_bytes());
        self.put(&stage.started_at(), started_at).await
    }

    async fn staged(&self, stage: &Stage) -> Result<Option<u64>, StorageError> {
        upload::kept(self, stage).await
    }

    async fn resume(&self, stage: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError> {
        let upload = ObjectUpload::resume(self, stage).await?;
        Ok(upload.map(|upload| -> Box<dyn Upload> { Box::new(upload) }))
    }

    async fn discard(&self, stage: &Stage) -> Result<(), StorageError> {
        self.remove_session(stage).await
    }

    async fn address(&self, key: &Key) -> Result<Option<String>, StorageError> {
        if !self.redirect {
            return Ok(None);
        }
        let path = self.key_path(key);
        let signed = self
            .client
            .signer
            .signed_url(http::Method::GET, &path, ADDRESS_LIFE);
        match signed.await {
            Ok(url) => Ok(Some(url.to_string())),
            Err(error) => {
                // Some credentials can't sign: then the bytes pass through us.
                tracing::debug!(error = %chain(&error), "no address for a client");
                Ok(None)
            }
        }
    }

    async fn probe(&self) -> Result<(), StorageError> {
        // Not found is an answer.
        let key = Key::probe(&UploadId::random());
        self.head(&key).await.map(drop)
    }

    async fn space(&self) -> Result<Option<Space>, StorageError> {
        Ok(None)
    }
}

/// Asks for an object, or only for what is known of it.
fn only_head(head: bool) -> GetOptions {
    GetOptions {
        head,
        ..GetOptions::default()
    }
}

#[cfg(test)]
mod tests;
