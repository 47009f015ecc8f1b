//! A store that counts how long each verb takes, and how often it fails.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use super::metrics::{Metrics, StorageTimes};
use crate::storage::{
    Aside, ByteStream, Child, Created, Hold, Key, Meta, Object, Prefix, Reading, Space, Stage,
    StorageError, Store, Upload,
};

/// Any store, timed as `registry_storage_action_seconds{driver,action}`; the
/// action is the verb of [`Store`]. What fails is counted beside it, in
/// `wharf_storage_errors_total{driver,action,kind}`.
///
/// `open` and `reread` are timed until the first byte could be read, not while
/// a client takes them; `append` is timed whole, so that it shows how fast
/// clients send rather than how fast the storage is.
pub struct Metered<S: ?Sized> {
    store: Arc<S>,
    clock: Clock,
}

/// Times work as one driver's.
#[derive(Clone)]
struct Clock {
    driver: &'static str,
    times: StorageTimes,
}

impl Clock {
    async fn timed<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let begun = Instant::now();
        let done = work.await;
        self.times.observe(self.driver, action, begun.elapsed());
        done.inspect_err(|error| self.times.failed(self.driver, action, error))
    }
}

impl<S: ?Sized> Metered<S> {
    /// Times what `store` does, under a name of registry:2's: `filesystem`.
    pub fn new(store: Arc<S>, driver: &'static str, metrics: &Metrics) -> Self {
        Self {
            store,
            clock: Clock {
                driver,
                times: metrics.storage(),
            },
        }
    }

    async fn timed<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        self.clock.timed(action, work).await
    }
}

#[async_trait]
impl<S: Store + ?Sized> Store for Metered<S> {
    async fn head(&self, key: &Key) -> Result<Option<Meta>, StorageError> {
        self.timed("head", self.store.head(key)).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        self.timed("get", self.store.get(key)).await
    }

    async fn open(&self, key: &Key, reading: Reading) -> Result<Option<Object>, StorageError> {
        self.timed("open", self.store.open(key, reading)).await
    }

    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.timed("put", self.store.put(key, content)).await
    }

    async fn create(&self, key: &Key, content: Bytes) -> Result<Created, StorageError> {
        self.timed("create", self.store.create(key, content)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StorageError> {
        self.timed("delete", self.store.delete(key)).await
    }

    async fn set_aside(&self, key: &Key, to: &Key, version: &Meta) -> Result<Aside, StorageError> {
        self.timed("set_aside", self.store.set_aside(key, to, version))
            .await
    }

    async fn post(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.timed("post", self.store.post(key, content)).await
    }

    async fn withdraw(&self, key: &Key) -> Result<(), StorageError> {
        self.timed("withdraw", self.store.withdraw(key)).await
    }

    async fn settle(&self) -> Result<(), StorageError> {
        self.timed("settle", self.store.settle()).await
    }

    fn era(&self) -> Option<String> {
        self.store.era()
    }

    async fn hold(&self, key: &Key) -> Result<Hold, StorageError> {
        self.timed("hold", self.store.hold(key)).await
    }

    async fn tidy(&self, prefix: &Prefix) -> Result<(), StorageError> {
        self.timed("tidy", self.store.tidy(prefix)).await
    }

    async fn delete_all(&self, prefix: &Prefix) -> Result<(), StorageError> {
        self.timed("delete_all", self.store.delete_all(prefix))
            .await
    }

    async fn children(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let work = self.store.children(prefix, after, limit);
        self.timed("children", work).await
    }

    async fn exists(&self, prefix: &Prefix) -> Result<bool, StorageError> {
        self.timed("exists", self.store.exists(prefix)).await
    }

    async fn begin(&self, stage: &Stage, started_at: &str) -> Result<(), StorageError> {
        self.timed("begin", self.store.begin(stage, started_at))
            .await
    }

    async fn staged(&self, stage: &Stage) -> Result<Option<u64>, StorageError> {
        self.timed("staged", self.store.staged(stage)).await
    }

    async fn resume(&self, stage: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError> {
        let resumed = self.timed("resume", self.store.resume(stage)).await?;
        Ok(resumed.map(|upload| -> Box<dyn Upload> {
            Box::new(MeteredUpload {
                upload,
                clock: self.clock.clone(),
            })
        }))
    }

    async fn discard(&self, stage: &Stage) -> Result<(), StorageError> {
        self.timed("discard", self.store.discard(stage)).await
    }

    async fn address(&self, key: &Key) -> Result<Option<String>, StorageError> {
        self.timed("address", self.store.address(key)).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.timed("probe", self.store.probe()).await
    }

    async fn space(&self) -> Result<Option<Space>, StorageError> {
        self.timed("space", self.store.space()).await
    }
}

/// An upload of a [`Metered`] store.
struct MeteredUpload {
    upload: Box<dyn Upload>,
    clock: Clock,
}

#[async_trait]
impl Upload for MeteredUpload {
    fn size(&self) -> u64 {
        self.upload.size()
    }

    fn note(&self) -> Option<&Bytes> {
        self.upload.note()
    }

    async fn append(&mut self, content: ByteStream) -> Result<(), StorageError> {
        let work = self.upload.append(content);
        self.clock.timed("append", work).await
    }

    async fn keep(&mut self, note: Bytes) -> Result<(), StorageError> {
        self.clock.timed("keep", self.upload.keep(note)).await
    }

    async fn reread(&self, from: u64) -> Result<ByteStream, StorageError> {
        self.clock.timed("reread", self.upload.reread(from)).await
    }

    async fn publish(self: Box<Self>, key: &Key) -> Result<(), StorageError> {
        let work = self.upload.publish(key);
        self.clock.timed("publish", work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fake_store::FakeStore;
    use crate::storage::{Version, layout};

    #[tokio::test]
    async fn every_verb_is_passed_on_and_timed_under_its_name() {
        let metrics = Metrics::new("1.2.3");
        let fake = FakeStore::default();
        let (probes, broken) = (Arc::clone(&fake.probes), Arc::clone(&fake.broken));
        let inner: Arc<dyn Store> = Arc::new(fake);
        let store = Metered::new(inner, "filesystem", &metrics);
        let name = "team/app".parse().unwrap();
        let key = layout::tag_current(&name, &"v1".parse().unwrap());
        let prefix = layout::tags(&name);
        let id = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        let stage = layout::upload(&name, &id);
        let nothing = || -> ByteStream { Box::pin(futures_util::stream::empty()) };

        assert!(store.head(&key).await.unwrap().is_none());
        assert!(store.get(&key).await.unwrap().is_none());
        assert!(store.open(&key, Reading::Whole).await.unwrap().is_none());
        store.put(&key, Bytes::new()).await.unwrap();
        assert_eq!(
            store.create(&key, Bytes::new()).await.unwrap(),
            Created::New
        );
        store.delete(&key).await.unwrap();
        let meta = Meta {
            size: 1,
            modified: std::time::SystemTime::UNIX_EPOCH,
            assembled: true,
            version: Version::of(0),
        };
        let aside = store.set_aside(&key, &key, &meta).await.unwrap();
        assert_eq!(aside, Aside::Changed);
        store.post(&key, Bytes::new()).await.unwrap();
        store.withdraw(&key).await.unwrap();
        store.settle().await.unwrap();
        assert!(matches!(store.hold(&key).await.unwrap(), Hold::Unknown));
        store.tidy(&prefix).await.unwrap();
        store.delete_all(&prefix).await.unwrap();
        assert!(store.children(&prefix, None, 9).await.unwrap().is_empty());
        assert!(!store.exists(&prefix).await.unwrap());
        store.begin(&stage, "2026-01-01T00:00:00Z").await.unwrap();
        assert!(store.staged(&stage).await.unwrap().is_none());
        let mut upload = store.resume(&stage).await.unwrap().unwrap();
        upload.append(nothing()).await.unwrap();
        upload.keep(Bytes::new()).await.unwrap();
        assert_eq!((upload.size(), upload.note()), (0, None));
        // Failures are timed too, and counted.
        assert!(upload.reread(0).await.is_err());
        assert!(upload.publish(&key).await.is_err());
        store.discard(&stage).await.unwrap();
        assert!(store.address(&key).await.unwrap().is_none());
        store.probe().await.unwrap();
        assert!(store.space().await.unwrap().is_none());
        broken.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(store.probe().await.is_err());
        assert_eq!(probes.load(std::sync::atomic::Ordering::SeqCst), 2);

        let text = metrics.text().unwrap();
        for action in [
            "head",
            "get",
            "open",
            "put",
            "create",
            "delete",
            "set_aside",
            "post",
            "withdraw",
            "settle",
            "hold",
            "tidy",
            "delete_all",
            "children",
            "exists",
            "begin",
            "staged",
            "resume",
            "append",
            "keep",
            "reread",
            "publish",
            "discard",
            "address",
            "space",
        ] {
            let line = format!(
                r#"registry_storage_action_seconds_count{{driver="filesystem",action="{action}"}} 1"#
            );
            assert!(text.contains(&line), "{line}\n{text}");
        }
        let failed = r#"wharf_storage_errors_total{driver="filesystem",action="probe",kind="unavailable"} 1"#;
        assert!(text.lines().any(|line| line == failed), "{text}");
        // What clients do wrong is no failure of the storage's.
        assert_eq!(text.matches("wharf_storage_errors_total").count(), 1);
    }
}
