//! Which store this is: an id that is made once and kept in it, so that
//! replicas that don't share their storage are recognised.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use uuid::Uuid;

use super::{Error, Registry};
use crate::storage::{Created, StorageError, Store, layout};

/// A store's id in short: the first eight digits of the UUID that is kept in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreId(u32);

/// The string is no id of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no store id")]
pub struct InvalidStoreId;

impl From<Uuid> for StoreId {
    fn from(id: Uuid) -> Self {
        Self(id.as_fields().0)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

impl FromStr for StoreId {
    type Err = InvalidStoreId;

    fn from_str(text: &str) -> Result<Self, InvalidStoreId> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 8 || !text.bytes().all(digit) {
            return Err(InvalidStoreId);
        }
        u32::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidStoreId)
    }
}

impl Registry {
    /// The same registry with the id of its store, which is made if it is
    /// missing. Without one, which is only said in the log, nothing is lost but
    /// that a replica with another storage isn't told from one that has
    /// forgotten an upload.
    pub async fn with_store_id(mut self) -> Self {
        let found = find(self.store(), self.settings().read_only).await;
        match found {
            Ok(id) => self.store_id = id,
            Err(error) => {
                tracing::warn!(%error, "the storage has no id: a replica that uses another storage will not be recognised");
            }
        }
        self
    }

    /// Which store this is, if it has an id.
    pub fn store_id(&self) -> Option<StoreId> {
        self.store_id
    }
}

async fn find(store: &dyn Store, read_only: bool) -> Result<Option<StoreId>, Error> {
    let known = read(store).await?;
    if known.is_some() || read_only {
        return Ok(known);
    }
    let key = layout::store_id();
    let new = Uuid::new_v4();
    let record = Bytes::from(format!("{new}\n"));
    match store.create(&key, record.clone()).await {
        Ok(Created::New) => return Ok(Some(new.into())),
        // Deletes make room, and the next start makes an id.
        Err(error @ StorageError::Full(_)) => return Err(error.into()),
        // Another process was faster, or the record is garbled, or this is an
        // object store that can't create: then whoever is last names it.
        Ok(Created::Exists) | Err(_) => {}
    }
    let others = read(store).await?;
    if others.is_some() {
        return Ok(others);
    }
    store.put(&key, record).await?;
    Ok(read(store).await?)
}

/// The id in the record; one that is garbled is as good as none.
async fn read(store: &dyn Store) -> Result<Option<StoreId>, StorageError> {
    let record = store.get(&layout::store_id()).await?;
    Ok(record
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| Uuid::try_parse(text.trim()).ok())
        .map(StoreId::from))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::registry::Settings;
    use crate::storage::faulty::{Fault, Faulty, Verb};
    use crate::storage::files::{self, Files};

    fn store(dir: &tempfile::TempDir) -> Arc<Faulty> {
        let settings = files::Settings {
            root: dir.path().to_owned(),
            max_threads: 25,
            sync: files::SyncMode::Full,
        };
        Faulty::new(Arc::new(Files::open(&settings).unwrap()))
    }

    async fn id(store: &Arc<Faulty>, read_only: bool) -> Option<StoreId> {
        let settings = Settings {
            read_only,
            ..Settings::default()
        };
        let registry = Registry::new(store.clone(), settings);
        registry.with_store_id().await.store_id()
    }

    #[tokio::test]
    async fn an_id_is_made_once_and_never_by_who_only_reads() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        assert_eq!(id(&store, true).await, None);
        let (one, other) = tokio::join!(id(&store, false), id(&store, false));
        assert!(one.is_some());
        assert_eq!(one, other);
        assert_eq!(id(&store, true).await, one);
    }

    #[tokio::test]
    async fn a_store_that_cannot_create_gets_its_id_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        store.on(Verb::Create, "", 1, Fault::Fail(ErrorKind::Unsupported));
        let made = id(&store, false).await;
        assert!(made.is_some());
        assert_eq!(id(&store, false).await, made);
    }

    #[tokio::test]
    async fn who_was_faster_is_believed_even_if_the_answer_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        store.on(Verb::Create, "", 1, Fault::Lose(ErrorKind::TimedOut));
        let made = id(&store, false).await;
        assert!(made.is_some());
        assert_eq!(id(&store, false).await, made);
    }

    #[tokio::test]
    async fn without_an_id_everything_else_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let full = store(&dir);
        full.on(Verb::Create, "", 1, Fault::Fail(ErrorKind::StorageFull));
        assert_eq!(id(&full, false).await, None);
        full.put(&layout::store_id(), Bytes::from_static(b"garbled"))
            .await
            .unwrap();
        assert_eq!(id(&full, true).await, None);
        assert!(id(&full, false).await.is_some(), "written anew");
    }

    proptest! {
        #[test]
        fn every_id_comes_back(number: u32) {
            let id = StoreId(number);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn one_spelling_only() {
        for text in [
            "",
            "0",
            "+0000001",
            "0000000G",
            "0000000A",
            "000000001",
            "-0000001",
        ] {
            assert_eq!(text.parse::<StoreId>(), Err(InvalidStoreId), "{text}");
        }
    }
}
