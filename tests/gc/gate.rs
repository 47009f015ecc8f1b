//! A store between somebody and the real one: it holds a call back until the
//! test lets it go, hides records from them, or keeps theirs from the others.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use wharf::storage::{
    Aside, Child, Created, Hold, Key, Meta, Object, Prefix, Reading, Space, Stage, StorageError,
    Store, Upload,
};

/// Until somebody comes to a gate.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the records of collections are.
const RECORDS: &str = "/wharf/gc";

/// What is done to whoever passes. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    stops: Vec<Stop>,
    hidden: Option<&'static str>,
}

/// A call that is to be held back once.
struct Stop {
    verb: &'static str,
    part: String,
    reached: mpsc::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// Somebody who is held back, or will be.
pub struct Held {
    what: String,
    reached: mpsc::Receiver<()>,
    /// Dropping it lets them go.
    _go: oneshot::Sender<()>,
}

impl Gate {
    /// Holds back the next call of a verb whose key contains `part`.
    pub fn before(&self, verb: &'static str, part: &str) -> Held {
        let (reached, comes) = mpsc::channel();
        let (go, goes) = oneshot::channel();
        self.inside().stops.push(Stop {
            verb,
            part: part.to_owned(),
            reached,
            go: goes,
        });
        Held {
            what: format!("{verb} {part}"),
            reached: comes,
            _go: go,
        }
    }

    /// From now on listings of this prefix are empty for them.
    pub fn hide(&self, prefix: &'static str) {
        self.inside().hidden = Some(prefix);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hides(&self, prefix: &Prefix) -> bool {
        let hidden = self.inside().hidden;
        hidden.is_some_and(|hidden| prefix.as_str().contains(hidden))
    }

    async fn pass(&self, verb: &'static str, key: &str) {
        let stop = {
            let mut inside = self.inside();
            let wanted = |stop: &Stop| stop.verb == verb && key.contains(&stop.part);
            let place = inside.stops.iter().position(wanted);
            place.map(|place| inside.stops.remove(place))
        };
        if let Some(stop) = stop {
            let _ = stop.reached.send(());
            let _ = stop.go.await;
        }
    }
}

impl Held {
    /// Waits until they are there.
    #[track_caller]
    pub fn reached(self) -> Held {
        self.reached
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("nobody came to `{}`: {error}", self.what));
        self
    }

    /// Lets them go.
    pub fn go(self) {}
}

/// The store as they see it.
pub struct Gated {
    inner: Arc<dyn Store>,
    gate: Gate,
    /// Where their records of collections are, if nobody else may see them.
    records: Option<Arc<dyn Store>>,
}

impl Gated {
    pub fn over(inner: Arc<dyn Store>, gate: &Gate) -> Arc<dyn Store> {
        Arc::new(Self {
            inner,
            gate: gate.clone(),
            records: None,
        })
    }

    /// One that says nothing to others and hears nothing from them: a collector
    /// on it marks and sweeps as if it were alone.
    pub fn deaf(inner: Arc<dyn Store>, records: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self {
            inner,
            gate: Gate::default(),
            records: Some(records),
        })
    }

    fn of(&self, key: &str) -> &dyn Store {
        match &self.records {
            Some(records) if key.contains(RECORDS) => &**records,
            _ => &*self.inner,
        }
    }
}

#[async_trait]
impl Store for Gated {
    async fn head(&self, key: &Key) -> Result<Option<Meta>, StorageError> {
        self.gate.pass("head", key.as_str()).await;
        self.of(key.as_str()).head(key).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        self.gate.pass("get", key.as_str()).await;
        self.of(key.as_str()).get(key).await
    }

    async fn open(&self, key: &Key, reading: Reading) -> Result<Option<Object>, StorageError> {
        self.gate.pass("open", key.as_str()).await;
        self.of(key.as_str()).open(key, reading).await
    }

    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.gate.pass("put", key.as_str()).await;
        self.of(key.as_str()).put(key, content).await
    }

    async fn create(&self, key: &Key, content: Bytes) -> Result<Created, StorageError> {
        self.gate.pass("create", key.as_str()).await;
        self.of(key.as_str()).create(key, content).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StorageError> {
        self.gate.pass("delete", key.as_str()).await;
        self.of(key.as_str()).delete(key).await
    }

    async fn set_aside(&self, key: &Key, to: &Key, version: &Meta) -> Result<Aside, StorageError> {
        self.gate.pass("set aside", key.as_str()).await;
        self.of(key.as_str()).set_aside(key, to, version).await
    }

    async fn post(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.gate.pass("post", key.as_str()).await;
        self.of(key.as_str()).post(key, content).await
    }

    async fn withdraw(&self, key: &Key) -> Result<(), StorageError> {
        self.gate.pass("withdraw", key.as_str()).await;
        self.of(key.as_str()).withdraw(key).await
    }

    async fn settle(&self) -> Result<(), StorageError> {
        self.gate.pass("settle", "").await;
        self.inner.settle().await
    }

    fn era(&self) -> Option<String> {
        self.inner.era()
    }

    async fn hold(&self, key: &Key) -> Result<Hold, StorageError> {
        self.gate.pass("hold", key.as_str()).await;
        self.of(key.as_str()).hold(key).await
    }

    async fn tidy(&self, prefix: &Prefix) -> Result<(), StorageError> {
        self.gate.pass("tidy", prefix.as_str()).await;
        self.of(prefix.as_str()).tidy(prefix).await
    }

    async fn delete_all(&self, prefix: &Prefix) -> Result<(), StorageError> {
        self.gate.pass("delete all", prefix.as_str()).await;
        self.of(prefix.as_str()).delete_all(prefix).await
    }

    async fn children(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        self.gate.pass("children", prefix.as_str()).await;
        if self.gate.hides(prefix) {
            return Ok(Vec::new());
        }
        let store = self.of(prefix.as_str());
        store.children(prefix, after, limit).await
    }

    async fn exists(&self, prefix: &Prefix) -> Result<bool, StorageError> {
        self.gate.pass("exists", prefix.as_str()).await;
        self.of(prefix.as_str()).exists(prefix).await
    }

    async fn begin(&self, stage: &Stage, started_at: &str) -> Result<(), StorageError> {
        self.inner.begin(stage, started_at).await
    }

    async fn staged(&self, stage: &Stage) -> Result<Option<u64>, StorageError> {
        self.inner.staged(stage).await
    }

    async fn resume(&self, stage: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError> {
        self.inner.resume(stage).await
    }

    async fn discard(&self, stage: &Stage) -> Result<(), StorageError> {
        self.inner.discard(stage).await
    }

    async fn address(&self, key: &Key) -> Result<Option<String>, StorageError> {
        self.inner.address(key).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.inner.probe().await
    }

    async fn space(&self) -> Result<Option<Space>, StorageError> {
        self.inner.space().await
    }
}
