//! A store that notes every call, and delays or fails those it is told to: the
//! test double for everything above the store.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Aside, ByteStream, Child, Created, Hold, Key, Meta, Object, Prefix, Reading, Space, Stage,
    StorageError, Store, Upload,
};

/// Which method was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Head,
    Get,
    Open,
    Put,
    Create,
    Delete,
    SetAside,
    Post,
    Withdraw,
    Settle,
    Hold,
    Tidy,
    DeleteAll,
    Children,
    Exists,
    Begin,
    Staged,
    Resume,
    Append,
    Keep,
    Reread,
    Publish,
    Discard,
    Address,
    Probe,
    Space,
}

impl Verb {
    /// Whether the method changes the store.
    pub(crate) fn writes(self) -> bool {
        use Verb::{
            Append, Begin, Create, Delete, DeleteAll, Discard, Keep, Post, Probe, Publish, Put,
            SetAside, Tidy, Withdraw,
        };
        matches!(
            self,
            Put | Create
                | Delete
                | SetAside
                | Post
                | Withdraw
                | Tidy
                | DeleteAll
                | Begin
                | Append
                | Keep
                | Publish
                | Discard
                | Probe
        )
    }
}

/// A call: the method, and its key, prefix or stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) path: String,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It takes so much longer.
    Delay(Duration),
    /// It fails and changes nothing.
    Fail(io::ErrorKind),
    /// It happens, but the answer is lost.
    Lose(io::ErrorKind),
}

/// A store with faults.
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    script: Arc<Script>,
}

/// What was called, and what happens to the calls to come.
#[derive(Default)]
struct Script {
    calls: Mutex<Vec<Call>>,
    rules: Mutex<Vec<Rule>>,
    dead_after: Mutex<Option<usize>>,
}

struct Rule {
    verb: Verb,
    part: String,
    times: usize,
    fault: Fault,
}

impl Faulty {
    /// Behaves as `inner` until it is told otherwise.
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            script: Arc::default(),
        })
    }

    /// The next `times` calls of `verb` whose path contains `part` meet `fault`.
    pub(crate) fn on(&self, verb: Verb, part: &str, times: usize, fault: Fault) {
        let part = part.to_owned();
        self.script.rules.lock().unwrap().push(Rule {
            verb,
            part,
            times,
            fault,
        });
    }

    /// After `writes` more calls that write, every call fails: the process was
    /// killed. [`Self::revive`] starts it again.
    pub(crate) fn die_after(&self, writes: usize) {
        *self.script.dead_after.lock().unwrap() = Some(writes);
    }

    /// Forgets all faults.
    pub(crate) fn revive(&self) {
        *self.script.dead_after.lock().unwrap() = None;
        self.script.rules.lock().unwrap().clear();
    }

    /// Waits for a call of `verb` whose path contains `part`.
    pub(crate) async fn reached(&self, verb: Verb, part: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let is_it = |call: &Call| call.verb == verb && call.path.contains(part);
        while !self.script.calls.lock().unwrap().iter().any(is_it) {
            assert!(tokio::time::Instant::now() < deadline, "no {verb:?} {part}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The calls since the last time this was asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.script.calls.lock().unwrap())
    }
}

impl Script {
    async fn call<T>(
        &self,
        verb: Verb,
        path: &str,
        act: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        match self.fault(verb, path) {
            None => act.await,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                act.await
            }
            Some(Fault::Fail(kind)) => Err(error(kind)),
            Some(Fault::Lose(kind)) => {
                act.await?;
                Err(error(kind))
            }
        }
    }

    fn fault(&self, verb: Verb, path: &str) -> Option<Fault> {
        let path = path.to_owned();
        self.calls.lock().unwrap().push(Call {
            verb,
            path: path.clone(),
        });
        if let Some(writes) = self.dead_after.lock().unwrap().as_mut() {
            if *writes == 0 {
                return Some(Fault::Fail(io::ErrorKind::BrokenPipe));
            }
            *writes -= usize::from(verb.writes());
        }
        let mut rules = self.rules.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && rule.verb == verb && path.contains(&rule.part))?;
        rule.times -= 1;
        Some(rule.fault)
    }
}

/// As a back end sorts it.
fn error(kind: io::ErrorKind) -> StorageError {
    let error = io::Error::new(kind, "a fault was asked for");
    match kind {
        io::ErrorKind::StorageFull => StorageError::Full(error),
        io::ErrorKind::PermissionDenied => StorageError::Refused(error),
        _ => StorageError::Unavailable(error),
    }
}

#[async_trait]
impl Store for Faulty {
    async fn head(&self, key: &Key) -> Result<Option<Meta>, StorageError> {
        self.script
            .call(Verb::Head, key.as_str(), self.inner.head(key))
            .await
    }
    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        self.script
            .call(Verb::Get, key.as_str(), self.inner.get(key))
            .await
    }
    async fn open(&self, key: &Key, reading: Reading) -> Result<Option<Object>, StorageError> {
        self.script
            .call(Verb::Open, key.as_str(), self.inner.open(key, reading))
            .await
    }
    async fn put(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.script
            .call(Verb::Put, key.as_str(), self.inner.put(key, content))
            .await
    }
    async fn create(&self, key: &Key, content: Bytes) -> Result<Created, StorageError> {
        self.script
            .call(Verb::Create, key.as_str(), self.inner.create(key, content))
            .await
    }
    async fn delete(&self, key: &Key) -> Result<(), StorageError> {
        self.script
            .call(Verb::Delete, key.as_str(), self.inner.delete(key))
            .await
    }
    async fn set_aside(&self, key: &Key, to: &Key, version: &Meta) -> Result<Aside, StorageError> {
        let act = self.inner.set_aside(key, to, version);
        self.script.call(Verb::SetAside, key.as_str(), act).await
    }
    async fn post(&self, key: &Key, content: Bytes) -> Result<(), StorageError> {
        self.script
            .call(Verb::Post, key.as_str(), self.inner.post(key, content))
            .await
    }
    async fn withdraw(&self, key: &Key) -> Result<(), StorageError> {
        self.script
            .call(Verb::Withdraw, key.as_str(), self.inner.withdraw(key))
            .await
    }
    async fn settle(&self) -> Result<(), StorageError> {
        self.script
            .call(Verb::Settle, "", self.inner.settle())
            .await
    }
    async fn hold(&self, key: &Key) -> Result<Hold, StorageError> {
        self.script
            .call(Verb::Hold, key.as_str(), self.inner.hold(key))
            .await
    }
    async fn tidy(&self, prefix: &Prefix) -> Result<(), StorageError> {
        self.script
            .call(Verb::Tidy, prefix.as_str(), self.inner.tidy(prefix))
            .await
    }
    async fn delete_all(&self, prefix: &Prefix) -> Result<(), StorageError> {
        let act = self.inner.delete_all(prefix);
        self.script
            .call(Verb::DeleteAll, prefix.as_str(), act)
            .await
    }
    async fn children(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let act = self.inner.children(prefix, after, limit);
        self.script.call(Verb::Children, prefix.as_str(), act).await
    }
    async fn exists(&self, prefix: &Prefix) -> Result<bool, StorageError> {
        self.script
            .call(Verb::Exists, prefix.as_str(), self.inner.exists(prefix))
            .await
    }
    async fn begin(&self, stage: &Stage, started_at: &str) -> Result<(), StorageError> {
        let act = self.inner.begin(stage, started_at);
        self.script.call(Verb::Begin, stage.as_str(), act).await
    }
    async fn staged(&self, stage: &Stage) -> Result<Option<u64>, StorageError> {
        self.script
            .call(Verb::Staged, stage.as_str(), self.inner.staged(stage))
            .await
    }
    async fn resume(&self, stage: &Stage) -> Result<Option<Box<dyn Upload>>, StorageError> {
        let act = self.inner.resume(stage);
        let resumed = self.script.call(Verb::Resume, stage.as_str(), act).await?;
        Ok(resumed.map(|inner| -> Box<dyn Upload> {
            Box::new(FaultyUpload {
                inner,
                stage: stage.as_str().to_owned(),
                script: self.script.clone(),
            })
        }))
    }
    async fn discard(&self, stage: &Stage) -> Result<(), StorageError> {
        self.script
            .call(Verb::Discard, stage.as_str(), self.inner.discard(stage))
            .await
    }
    async fn address(&self, key: &Key) -> Result<Option<String>, StorageError> {
        self.script
            .call(Verb::Address, key.as_str(), self.inner.address(key))
            .await
    }
    async fn probe(&self) -> Result<(), StorageError> {
        self.script.call(Verb::Probe, "", self.inner.probe()).await
    }
    async fn space(&self) -> Result<Option<Space>, StorageError> {
        self.script.call(Verb::Space, "", self.inner.space()).await
    }
}

/// An upload of a [`Faulty`] store.
struct FaultyUpload {
    inner: Box<dyn Upload>,
    stage: String,
    script: Arc<Script>,
}

#[async_trait]
impl Upload for FaultyUpload {
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn note(&self) -> Option<&Bytes> {
        self.inner.note()
    }
    async fn append(&mut self, content: ByteStream) -> Result<(), StorageError> {
        let act = self.inner.append(content);
        self.script.call(Verb::Append, &self.stage, act).await
    }
    async fn keep(&mut self, note: Bytes) -> Result<(), StorageError> {
        let act = self.inner.keep(note);
        self.script.call(Verb::Keep, &self.stage, act).await
    }
    async fn reread(&self, from: u64) -> Result<ByteStream, StorageError> {
        let act = self.inner.reread(from);
        self.script.call(Verb::Reread, &self.stage, act).await
    }
    async fn publish(self: Box<Self>, key: &Key) -> Result<(), StorageError> {
        // By its key: what is published matters more than from where.
        let act = self.inner.publish(key);
        self.script.call(Verb::Publish, key.as_str(), act).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::contract::{Bench, stamp_contract};
    use crate::storage::files::{Files, Settings, SyncMode};
    use crate::storage::layout;
    use std::time::Instant;

    /// Without faults it keeps every promise of what it wraps.
    async fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().to_owned(),
            max_threads: 8,
            sync: SyncMode::Full,
        };
        let inner: Arc<dyn Store> = Arc::new(Files::open(&settings).unwrap());
        Bench {
            one: Faulty::new(inner.clone()),
            other: Faulty::new(inner),
            _guard: Box::new(dir),
        }
    }
    stamp_contract!(bench);

    #[tokio::test]
    async fn faults_meet_the_calls_they_are_meant_for() {
        let bench = bench().await;
        let store = Faulty::new(bench.one.clone());
        let tag = |name: &str| layout::tag_current(&"a".parse().unwrap(), &name.parse().unwrap());
        let (first, second) = (tag("first"), tag("second"));
        let content = Bytes::from_static(b"x");

        store.on(
            Verb::Put,
            "/first/",
            1,
            Fault::Fail(io::ErrorKind::StorageFull),
        );
        store.on(
            Verb::Put,
            "/second/",
            1,
            Fault::Lose(io::ErrorKind::TimedOut),
        );
        let full = store.put(&first, content.clone()).await;
        assert!(matches!(full, Err(StorageError::Full(_))));
        assert!(store.get(&first).await.unwrap().is_none());
        let lost = store.put(&second, content.clone()).await;
        assert!(matches!(lost, Err(StorageError::Unavailable(_))));
        assert!(store.get(&second).await.unwrap().is_some());
        store.put(&first, content.clone()).await.unwrap();
        let verbs: Vec<_> = store.calls().into_iter().map(|call| call.verb).collect();
        assert_eq!(
            verbs,
            [Verb::Put, Verb::Get, Verb::Put, Verb::Get, Verb::Put]
        );
        assert!(store.calls().is_empty());

        let pause = Duration::from_millis(20);
        store.on(Verb::Head, "", 1, Fault::Delay(pause));
        let start = Instant::now();
        store.head(&first).await.unwrap();
        assert!(start.elapsed() >= pause);

        store.die_after(1);
        store.get(&first).await.unwrap();
        store.delete(&first).await.unwrap();
        store.get(&first).await.unwrap_err();
        store.put(&first, content).await.unwrap_err();
        store.revive();
        assert!(store.get(&first).await.unwrap().is_none());
        assert_eq!(store.calls().last().unwrap().path, first.as_str());
    }
}
