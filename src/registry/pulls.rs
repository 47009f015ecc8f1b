//! When tags and manifests were last pulled, for retention.
//!
//! A pull is noted in memory, and at most once an hour for the same tag or
//! digest. What was noted is written in batches ([`Registry::flush_pulls`]),
//! each process into a record of its own below the repository, so that no two
//! ever write the same one; who reads takes the latest time of all records. A
//! process takes a new record every few hours, and then puts the old ones of
//! everybody together.
//!
//! What counts: a GET of a manifest by tag, for the tag and for its digest; one
//! by digest, for the digest; and a HEAD of a tag, for the tag, since that is
//! all that a node asks which has the image already (goharbor/harbor#22020:
//! images in use were removed).

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::check::seconds;
use super::{Error, Registry, Repository};
use crate::oci::{Digest, Reference, RepositoryName, Tag, UploadId};
use crate::storage::{Key, StorageError, layout};

/// How exact the times are: a pull is noted again after this.
pub(super) const GRANULARITY: Duration = Duration::from_secs(3600);

/// Tags and digests of which it is remembered that they were noted a while ago,
/// 50 bytes each; of others a pull is noted again.
const REMEMBERED: usize = 64 * 1024;

/// Tags and digests that wait to be written, at most 500 bytes each. A pull
/// beyond that isn't noted; the next one of the same is.
const WAITING: usize = 32 * 1024;

/// The most times in one record, so that it stays below 8 MiB; the oldest are
/// forgotten.
const RECORDED: usize = 50_000;

/// How long a process goes on with its record.
const RENEWED: Duration = Duration::from_secs(6 * 3600);

/// A record that nobody has written for so long belongs to nobody.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// So many records of a repository are left as they are.
const FEW: usize = 4;

/// Records that are read or written at once.
const AT_ONCE: usize = 16;

/// Records that one look lists.
const LISTED: usize = 1000;

/// The pulls that this process has seen. Clones share them.
#[derive(Clone)]
pub(super) struct Pulls(Arc<Seen>);

struct Seen {
    noted: Cache<u64, u64>,
    hasher: RandomState,
    waiting: Mutex<Waiting>,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Waiting {
    count: usize,
    repositories: HashMap<RepositoryName, PullTimes>,
}

/// The name of this process's records, and since when it is that.
struct Writer {
    id: UploadId,
    since: Instant,
}

/// When something of one repository was last pulled, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullTimes {
    tags: HashMap<Tag, u64>,
    manifests: HashMap<Digest, u64>,
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    tags: BTreeMap<String, u64>,
    #[serde(default)]
    manifests: BTreeMap<String, u64>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self(Arc::new(Seen {
            noted: Cache::new(REMEMBERED),
            hasher: RandomState::new(),
            waiting: Mutex::default(),
            writer: Mutex::new(Writer {
                id: UploadId::random(),
                since: Instant::now(),
            }),
        }))
    }
}

impl Pulls {
    fn note(&self, name: &RepositoryName, tag: Option<&Tag>, digest: Option<&Digest>, now: u64) {
        let tag = tag.filter(|tag| self.is_news(&(name, tag), now));
        let digest = digest.filter(|digest| self.is_news(&(name, digest), now));
        if tag.is_none() && digest.is_none() {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.count >= WAITING {
            return;
        }
        waiting.count += usize::from(tag.is_some()) + usize::from(digest.is_some());
        let times = waiting.repositories.entry(name.clone()).or_default();
        if let Some(tag) = tag {
            later(&mut times.tags, tag.clone(), now);
            self.remember(&(name, tag), now);
        }
        if let Some(digest) = digest {
            later(&mut times.manifests, digest.clone(), now);
            self.remember(&(name, digest), now);
        }
    }

    fn is_news(&self, what: &impl std::hash::Hash, now: u64) -> bool {
        let noted = self.0.noted.get(&self.0.hasher.hash_one(what));
        // A clock that was set back makes it news, too.
        noted.is_none_or(|noted| now.abs_diff(noted) >= GRANULARITY.as_secs())
    }

    fn remember(&self, what: &impl std::hash::Hash, now: u64) {
        self.0.noted.insert(self.0.hasher.hash_one(what), now);
    }

    fn take(&self) -> HashMap<RepositoryName, PullTimes> {
        std::mem::take(&mut *self.waiting()).repositories
    }

    /// What could not be written waits again.
    fn put_back(&self, name: RepositoryName, times: PullTimes) {
        let mut waiting = self.waiting();
        waiting.count += times.len();
        waiting.repositories.entry(name).or_default().merge(times);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process's records are called now.
    fn id(&self) -> String {
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.since.elapsed() >= RENEWED {
            *writer = Writer {
                id: UploadId::random(),
                since: Instant::now(),
            };
        }
        writer.id.to_string()
    }
}

impl PullTimes {
    /// When the tag was last pulled, as exactly as it was noted; `None` if it
    /// never was.
    pub fn tag(&self, tag: &Tag) -> Option<SystemTime> {
        self.tags.get(tag).map(|seconds| time(*seconds))
    }

    /// The same of a manifest.
    pub fn manifest(&self, digest: &Digest) -> Option<SystemTime> {
        self.manifests.get(digest).map(|seconds| time(*seconds))
    }

    fn len(&self) -> usize {
        self.tags.len() + self.manifests.len()
    }

    /// The later time of everything.
    fn merge(&mut self, other: Self) {
        for (tag, seconds) in other.tags {
            later(&mut self.tags, tag, seconds);
        }
        for (digest, seconds) in other.manifests {
            later(&mut self.manifests, digest, seconds);
        }
    }

    /// The times in a record; none if it is torn.
    pub(super) fn read(record: &[u8]) -> Self {
        let Ok(record) = serde_json::from_slice::<Record>(record) else {
            return Self::default();
        };
        Self {
            tags: parsed(record.tags),
            manifests: parsed(record.manifests),
        }
    }

    fn write(&self) -> Result<Bytes, Error> {
        let since = self.oldest_recorded();
        let record = Record {
            tags: printed(&self.tags, since),
            manifests: printed(&self.manifests, since),
        };
        let text = serde_json::to_vec(&record)
            .map_err(|error| Error::Storage(StorageError::Unavailable(error.into())))?;
        Ok(text.into())
    }

    /// Earlier times find no room in a record.
    fn oldest_recorded(&self) -> u64 {
        if self.len() <= RECORDED {
            return 0;
        }
        let mut times: Vec<u64> = self
            .tags
            .values()
            .chain(self.manifests.values())
            .copied()
            .collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        times.get(RECORDED).map_or(0, |first| first + 1)
    }
}

fn later<K: Eq + std::hash::Hash>(times: &mut HashMap<K, u64>, key: K, seconds: u64) {
    let known = times.entry(key).or_default();
    *known = seconds.max(*known);
}

fn parsed<K: std::str::FromStr + Eq + std::hash::Hash>(
    record: BTreeMap<String, u64>,
) -> HashMap<K, u64> {
    let times = record.into_iter();
    times
        .filter_map(|(key, seconds)| Some((key.parse().ok()?, seconds)))
        .collect()
}

fn printed<K: ToString>(times: &HashMap<K, u64>, since: u64) -> BTreeMap<String, u64> {
    let recorded = times.iter().filter(|(_, seconds)| **seconds >= since);
    recorded
        .map(|(key, seconds)| (key.to_string(), *seconds))
        .collect()
}

fn time(seconds: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Registry {
    /// Writes what was pulled since the last call. What can't be written is
    /// tried again by the next one; a registry that is read-only forgets it.
    pub async fn flush_pulls(&self) {
        let pulls = &self.inner.pulls;
        let due = pulls.take();
        if self.settings().read_only {
            return;
        }
        let id = pulls.id();
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |(name, times)| {
                let (repository, id) = (self.repository(&name), &id);
                async move {
                    if let Err(error) = repository.write_pulls(id, &times).await {
                        tracing::warn!(repository = %name, %error, "when it was pulled could not be written, and is tried again");
                        pulls.put_back(name, times);
                    }
                }
            })
            .await;
    }
}

impl Repository {
    /// Notes that a client got a manifest, or with `head` asked whether it is
    /// the one that it has.
    pub fn note_pull(&self, reference: &Reference, digest: &Digest, head: bool) {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        let digest = (!head).then_some(digest);
        let now = seconds(SystemTime::now());
        self.registry.inner.pulls.note(&self.name, tag, digest, now);
    }

    /// When tags and manifests of this repository were last pulled, as far as
    /// that was written.
    pub async fn pull_times(&self) -> Result<PullTimes, Error> {
        let mut times = PullTimes::default();
        let mut after = None;
        loop {
            let ids = self.pull_records(after.as_deref()).await?;
            times.merge(self.read_pulls(&ids).await?);
            match ids.into_iter().nth(LISTED - 1) {
                Some(last) => after = Some(last),
                None => return Ok(times),
            }
        }
    }

    async fn pull_records(&self, after: Option<&str>) -> Result<Vec<String>, Error> {
        let prefix = layout::pulls(&self.name);
        let children = self.store().children(&prefix, after, LISTED).await?;
        Ok(children.into_iter().map(|child| child.name).collect())
    }

    async fn read_pulls(&self, ids: &[String]) -> Result<PullTimes, Error> {
        let keys: Vec<Key> = ids
            .iter()
            .map(|id| layout::pulled(&self.name, id))
            .collect();
        let records = stream::iter(keys)
            .map(|key| async move { self.store().get(&key).await })
            .buffer_unordered(AT_ONCE);
        let times = records.try_fold(PullTimes::default(), |mut times, record| async move {
            times.merge(PullTimes::read(&record.unwrap_or_default()));
            Ok(times)
        });
        Ok(times.await?)
    }

    /// Adds to the record of that name, which only this process writes.
    async fn write_pulls(&self, id: &str, times: &PullTimes) -> Result<(), Error> {
        if !self.store().exists(&layout::manifests(&self.name)).await? {
            // It was removed, and nothing of it shall come back.
            return Ok(());
        }
        let key = layout::pulled(&self.name, id);
        let record = self.store().get(&key).await?;
        let is_first = record.is_none();
        let mut all = PullTimes::read(&record.unwrap_or_default());
        all.merge(times.clone());
        self.store().put(&key, all.write()?).await?;
        if is_first {
            self.join_pulls(id).await?;
        }
        Ok(())
    }

    async fn pulls_written(&self, id: &str) -> Result<Option<SystemTime>, Error> {
        let meta = self.store().head(&layout::pulled(&self.name, id)).await?;
        Ok(meta.map(|meta| meta.modified))
    }

    /// Puts the records together that nobody writes any more. Two processes may
    /// do that at once: both write everything before they remove anything.
    async fn join_pulls(&self, own: &str) -> Result<(), Error> {
        let ids = self.pull_records(None).await?;
        if ids.len() <= FEW {
            return Ok(());
        }
        // The store's clock, by what was written a moment ago.
        let Some(now) = self.pulls_written(own).await? else {
            return Ok(());
        };
        let mut left = Vec::new();
        for id in ids {
            let written = self.pulls_written(&id).await?;
            let age = written.and_then(|then| now.duration_since(then).ok());
            if age.is_some_and(|age| age >= LEFT) {
                left.push(id);
            }
        }
        if left.len() < 2 {
            return Ok(());
        }
        let joined = self.read_pulls(&left).await?.write()?;
        let key = layout::pulled(&self.name, &UploadId::random().to_string());
        self.store().put(&key, joined).await?;
        for id in left {
            self.store()
                .delete(&layout::pulled(&self.name, &id))
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;
    use crate::storage::Store as _;
    use crate::storage::faulty::{Fault, Faulty, Verb};
    use crate::storage::files::{self, Files};

    /// A registry on files that has the repository.
    async fn registry(dir: &std::path::Path) -> (Registry, Arc<Faulty>) {
        let settings = files::Settings {
            root: dir.to_owned(),
            max_threads: 4,
            sync: files::SyncMode::None,
        };
        let store = Faulty::new(Arc::new(Files::open(&settings).unwrap()));
        let registry = Registry::new(store.clone(), crate::registry::Settings::default());
        let link = layout::tag_current(&name(), &"v1".parse().unwrap());
        store.put(&link, Bytes::new()).await.unwrap();
        (registry, store)
    }

    fn tagged(n: usize) -> (Reference, Tag) {
        let tag: Tag = format!("t{n}").parse().unwrap();
        (Reference::Tag(tag.clone()), tag)
    }

    #[tokio::test]
    async fn old_records_are_put_together_and_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Algorithm::Sha256.digest(b"x");
        let records = dir
            .path()
            .join(format!("docker/registry/v2/repositories/{}/_pulls", name()));
        for n in 0..10 {
            // Another process each time.
            let (registry, _) = registry(dir.path()).await;
            let (reference, _) = tagged(n);
            let repository = registry.repository(&name());
            repository.note_pull(&reference, &digest, false);
            registry.flush_pulls().await;
            // All but the last three have been silent for long.
            for record in std::fs::read_dir(&records).unwrap() {
                let file = std::fs::File::open(record.unwrap().path()).unwrap();
                if n == 6 {
                    file.set_modified(SystemTime::now() - LEFT * 2).unwrap();
                }
            }
        }
        let left = std::fs::read_dir(&records).unwrap().count();
        assert_eq!(left, 4, "three that are new, and the others as one");
        let (registry, _) = registry(dir.path()).await;
        let times = registry.repository(&name()).pull_times().await.unwrap();
        for n in 0..10 {
            assert!(times.tag(&tagged(n).1).is_some(), "{n}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, store) = registry(dir.path()).await;
        let (repository, digest) = (registry.repository(&name()), Algorithm::Sha256.digest(b"x"));
        let (reference, tag) = tagged(1);
        repository.note_pull(&reference, &digest, false);
        let broken = Fault::Fail(std::io::ErrorKind::BrokenPipe);
        store.on(Verb::Put, "_pulls", 1, broken);
        registry.flush_pulls().await;
        let known = repository.pull_times().await.unwrap();
        assert_eq!(known.tag(&tag), None);
        registry.flush_pulls().await;
        let known = repository.pull_times().await.unwrap();
        assert!(known.tag(&tag).is_some());
        store.calls();
        registry.flush_pulls().await;
        assert_eq!(store.calls(), [], "nothing is left to write");
        // A repository that was removed doesn't come back.
        let gone = layout::below(&name());
        store.delete_all(&gone).await.unwrap();
        let (reference, _) = tagged(2);
        repository.note_pull(&reference, &digest, false);
        registry.flush_pulls().await;
        assert!(!store.exists(&gone).await.unwrap());
    }

    fn name() -> RepositoryName {
        "app".parse().unwrap()
    }

    fn waiting(pulls: &Pulls) -> PullTimes {
        pulls.take().remove(&name()).unwrap_or_default()
    }

    #[test]
    fn a_pull_is_noted_once_an_hour() {
        let (pulls, tag) = (Pulls::default(), "v1".parse::<Tag>().unwrap());
        let digest = Algorithm::Sha256.digest(b"x");
        pulls.note(&name(), Some(&tag), Some(&digest), 10_000);
        let times = waiting(&pulls);
        assert_eq!(times.tag(&tag), Some(time(10_000)));
        assert_eq!(times.manifest(&digest), Some(time(10_000)));
        pulls.note(&name(), Some(&tag), Some(&digest), 13_599);
        assert_eq!(waiting(&pulls).len(), 0);
        pulls.note(&name(), Some(&tag), None, 13_600);
        let times = waiting(&pulls);
        assert_eq!((times.len(), times.tag(&tag)), (1, Some(time(13_600))));
    }

    #[test]
    fn what_waits_is_bounded_and_noted_later() {
        let pulls = Pulls::default();
        let tag = |n: usize| format!("t{n}").parse::<Tag>().unwrap();
        for n in 0..=WAITING {
            pulls.note(&name(), Some(&tag(n)), None, 10_000);
        }
        assert_eq!(waiting(&pulls).len(), WAITING);
        pulls.note(&name(), Some(&tag(WAITING)), None, 10_001);
        assert_eq!(waiting(&pulls).len(), 1);
    }

    #[test]
    fn a_record_stays_small_and_keeps_the_newest() {
        let mut times = PullTimes::default();
        for n in 0..RECORDED as u64 + 100 {
            let digest = Algorithm::Sha512.digest(&n.to_be_bytes());
            times.manifests.insert(digest, 10_000_000_000 + n);
        }
        let record = times.write().unwrap();
        assert!((record.len() as u64) < crate::storage::MAX_RECORD);
        let read = PullTimes::read(&record);
        assert_eq!(read.len(), RECORDED);
        assert_eq!(read.manifests.values().min(), Some(&10_000_000_100));
        assert_eq!(PullTimes::read(b"{torn"), PullTimes::default());
    }
}
