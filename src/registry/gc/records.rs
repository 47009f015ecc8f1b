//! What pushes and collections tell each other, as JSON in the store.

use std::collections::HashSet;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::oci::{Digest, RepositoryName, UploadId};
use crate::registry::{Error, Registry};
use crate::storage::{Child, Key, Pages, Prefix, StorageError, layout};

/// Names that one look fetches: on files each reads the whole directory.
pub(super) const PAGE: usize = 10_000;

/// What a push of a manifest is about to need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Where the manifest is pushed.
    pub repository: RepositoryName,
    /// Its digest, as its link will name it.
    pub digest: Digest,
    /// The blobs and manifests that it names, as it names them.
    pub parts: Vec<Digest>,
    /// The canonical digests of its own bytes and of all of these that are
    /// held: the cells that it needs.
    pub cells: Vec<Digest>,
    /// Those of them that are manifests, with cells of their own.
    pub children: Vec<Digest>,
}

/// What a run will remove; nothing, if a push was faster.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Decision {
    /// Keys of names.
    pub(super) condemned: Vec<String>,
}

/// When collections were, and what came of the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who collects, or did.
    pub holder: String,
    /// When they last gave a sign of life, in seconds since 1970.
    pub alive: u64,
    /// Whether they are at it.
    pub running: bool,
    /// When the last one that came to its end did so, in seconds since 1970.
    pub completed: Option<u64>,
    /// Bytes that it freed.
    pub freed: u64,
    /// Names that it removed.
    pub removed: u64,
    /// Seconds that it took.
    pub seconds: u64,
}

/// Names that runs will remove.
#[derive(Debug, Default)]
pub struct Condemned(HashSet<String>);

impl Condemned {
    /// Whether a run will remove it.
    pub(in crate::registry) fn has(&self, key: &Key) -> bool {
        !self.0.is_empty() && self.0.contains(key.as_str())
    }

    /// Whether none is, as nearly always.
    pub(in crate::registry) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What one more run will remove.
    pub(super) fn add(&mut self, decision: Decision) {
        self.0.extend(decision.condemned);
    }
}

/// What is registered: its name says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Registered {
    /// A collection that reads.
    Mark(String),
    /// One that is about to remove something.
    Run(String),
}

impl Registered {
    /// A name that was never used.
    pub(super) fn new_mark() -> String {
        format!("mark-{}", UploadId::random())
    }

    /// The same for a run.
    pub(super) fn new_run() -> String {
        format!("run-{}", UploadId::random())
    }

    fn parse(child: Child) -> Self {
        if child.name.starts_with("mark-") {
            Self::Mark(child.name)
        } else {
            Self::Run(child.name)
        }
    }
}

impl Registry {
    /// The marks and runs that are registered.
    pub(super) async fn registered(&self) -> Result<Vec<Registered>, Error> {
        let names = self.all_names(&layout::runs()).await?;
        Ok(names.into_iter().map(Registered::parse).collect())
    }

    /// The intents of pushes that are under way, in all repositories.
    ///
    /// # Errors
    /// The store fails, or one can't be read: then nobody knows what it needs.
    pub async fn intents(&self) -> Result<Vec<Intent>, Error> {
        self.intents_below(&layout::intents(), layout::intent).await
    }

    /// What pushes have left beside a mark.
    pub(super) async fn pushed(&self, mark: &str) -> Result<Vec<Intent>, Error> {
        self.intents_below(&layout::pushed(mark), |id| layout::pushed_by(mark, id))
            .await
    }

    async fn intents_below(
        &self,
        prefix: &Prefix,
        key: impl Fn(&UploadId) -> Key,
    ) -> Result<Vec<Intent>, Error> {
        let mut intents = Vec::new();
        for child in self.all_names(prefix).await? {
            let Ok(id) = child.name.parse() else { continue };
            let key = key(&id);
            let Some(content) = self.store().get(&key).await? else {
                continue;
            };
            // A power cut has torn it: whoever posted it is gone too.
            if serde_json::from_slice::<IgnoredAny>(&content).is_err() {
                continue;
            }
            let intent = serde_json::from_slice(&content);
            intents.push(intent.map_err(|error| unreadable(&key, &error))?);
        }
        Ok(intents)
    }

    /// All names below a prefix.
    pub(super) async fn all_names(&self, prefix: &Prefix) -> Result<Vec<Child>, Error> {
        let mut all: Vec<Child> = Vec::new();
        let mut pages = Pages::of(prefix.clone(), PAGE);
        while let Some(page) = pages.next(self.store()).await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// A record of garbage collection; `None` if it is absent.
    pub(super) async fn json<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Error> {
        let Some(content) = self.store().get(key).await? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&content).map_err(|error| unreadable(key, &error))?;
        Ok(Some(record))
    }

    /// When collections were.
    pub async fn collections(&self) -> Result<Record, Error> {
        Ok(self.json(&layout::collections()).await?.unwrap_or_default())
    }

    pub(super) async fn set_collections(&self, record: &Record) -> Result<(), Error> {
        let content = written(record)?;
        Ok(self.store().put(&layout::collections(), content).await?)
    }
}

/// A record's bytes.
pub(super) fn written(record: &impl Serialize) -> Result<Bytes, Error> {
    let content = serde_json::to_vec(record).map_err(std::io::Error::other);
    Ok(content.map_err(StorageError::Unavailable)?.into())
}

fn unreadable(key: &Key, error: &serde_json::Error) -> Error {
    let text = format!("the record {} cannot be read: {error}", key.as_str());
    StorageError::Unavailable(std::io::Error::other(text)).into()
}
