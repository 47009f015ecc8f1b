//! A collection from its beginning to its end: who collects, C1 to C7, what is
//! tidied afterwards, what is told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use super::meter::Meter;
use super::pace::Pace;
use super::reached;
use super::records::Record;
use super::seal::Alone;
use crate::oci::{Digest, RepositoryName, UploadId};
use crate::registry::check::seconds;
use crate::registry::{Error, Registry};
use crate::storage::{Hold, StorageError, layout};

/// How often a collection gives a sign of life.
const ALIVE: Duration = Duration::from_secs(30);

/// Whoever gives none for so long has died.
const DEAD: Duration = Duration::from_secs(300);

/// How a collection is made.
#[derive(Clone)]
pub struct Options {
    /// How old content must be before it is removed.
    pub grace: Duration,
    /// After which time a run of a process that seems dead counts no more.
    pub dead_after: Option<Duration>,
    /// Only tell what would be removed.
    pub dry_run: bool,
    /// How much of the time it may work, in percent.
    pub pace: u8,
    /// Repositories that are read at once; at least one.
    pub jobs: usize,
    /// The most cells of one pass.
    pub most_cells: usize,
    /// What a dry run takes for removed already, by repository.
    pub without: Arc<HashMap<RepositoryName, HashSet<Digest>>>,
    /// How often a checkpoint is saved, from which a later collection goes on;
    /// without one none is saved, and one that is there counts no more.
    pub checkpoints: Option<Duration>,
    /// Ends the collection early when it is cancelled.
    pub stop: CancellationToken,
}

impl Default for Options {
    fn default() -> Self {
        let settings = super::Settings::default();
        Self {
            grace: settings.grace,
            dead_after: settings.dead_after,
            dry_run: false,
            pace: 100,
            jobs: 4,
            most_cells: reached::MOST,
            without: Arc::default(),
            checkpoints: None,
            stop: CancellationToken::new(),
        }
    }
}

/// Who is told what happens, while it happens.
pub trait Observer: Send + Sync {
    /// A repository is being read.
    fn repository(&self, _name: &RepositoryName) {}

    /// A repository holds a manifest.
    fn manifest(&self, _repository: &RepositoryName, _digest: &Digest) {}

    /// The manifest that was told of last names a blob, or a child.
    fn blob(&self, _repository: &RepositoryName, _digest: &Digest) {}

    /// A repository links a manifest whose bytes are gone.
    fn dangling(&self, _repository: &RepositoryName, _digest: &Digest) {}

    /// Nothing needs this content of `size` bytes, and it is old enough.
    fn eligible(&self, _digest: &Digest, _size: u64) {}

    /// It was removed.
    fn removed(&self, _digest: &Digest, _size: u64) {}
}

/// Nobody is told.
impl Observer for () {}

/// What came of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Repositories that hold manifests or layers.
    pub repositories: u64,
    /// Manifests that repositories hold.
    pub manifests: u64,
    /// Distinct content that is needed: blobs and manifests.
    pub needed: u64,
    /// Content that nothing needs and that is old enough.
    pub eligible: u64,
    /// Its bytes.
    pub eligible_bytes: u64,
    /// What of it was removed.
    pub removed: u64,
    /// Its bytes.
    pub removed_bytes: u64,
    /// Content that nothing needs and that is younger than the grace.
    pub young: u64,
    /// Its bytes.
    pub young_bytes: u64,
    /// Layer links that were removed.
    pub links: u64,
    /// Manifests whose bytes are gone.
    pub dangling: u64,
    /// Runs that stay registered, since a removal was not answered.
    pub unsealed: u64,
    /// How often all links were read: more than once with very much content.
    pub passes: u64,
    /// How often it went on where another process had stopped.
    pub resumed: u64,
}

/// Why a collection ended early. What it had removed is removed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another process is at it.
    #[error("another collection is running on this storage: wait for its end")]
    Busy,
    /// The store refuses what is needed.
    #[error("the registry is read-only (storage.maintenance.readonly), so nothing is collected")]
    ReadOnly,
    /// A manifest can't be read, and so nobody knows what it needs.
    #[error(
        "the manifest {digest} in {repository} cannot be read ({why}), so nothing was removed: push it again or delete it, `wharf check` says more"
    )]
    Unreadable {
        /// Where it is.
        repository: RepositoryName,
        /// Which it is.
        digest: Digest,
        /// What is wrong with it.
        why: String,
    },
    /// There is more content than was counted.
    #[error("there is far more content than a count of some of it said: begin again")]
    TooMany,
    /// Others took it for dead, since it took so long.
    #[error("this collection slept so long that another took it for dead: it begins again later")]
    TakenForDead,
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Store(error.into())
    }
}

/// Collects the garbage of one store. Cheap to clone.
#[derive(Clone)]
pub struct Collector {
    registry: Registry,
    options: Options,
    observer: Arc<dyn Observer>,
    meter: Arc<Meter>,
    id: String,
}

impl Collector {
    /// A collector over the registry's store.
    pub fn new(registry: Registry, options: Options, observer: Arc<dyn Observer>) -> Self {
        Self {
            registry,
            options,
            observer,
            meter: Arc::default(),
            id: UploadId::random().to_string(),
        }
    }

    /// How far it is, for whoever shows progress.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Collects once.
    ///
    /// # Errors
    /// Why it ended early; the next one begins anew, or at the last checkpoint.
    pub async fn run(&self) -> Result<Report, Failure> {
        if self.options.dry_run {
            return self.passes(None).await;
        }
        if self.registry.settings().read_only {
            return Err(Failure::ReadOnly);
        }
        let hold = self.registry.store().hold(&layout::collector()).await?;
        let alone = match &hold {
            Hold::Taken => return Err(Failure::Busy),
            Hold::Held(_) => Alone::Proven,
            Hold::Unknown => Alone::Unknown,
        };
        let mut record = self.enter(alone).await?;
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = self.collect(alone) => ended,
            never = self.stay_alive(record.clone()) => never,
        };
        record.running = false;
        record.alive = seconds(SystemTime::now());
        if let Ok(report) = &ended {
            record.completed = Some(record.alive);
            record.freed = report.removed_bytes;
            record.removed = report.removed;
            record.seconds = begun.elapsed().as_secs();
        }
        let left = self.registry.set_collections(&record).await;
        drop(hold);
        let report = ended?;
        left?;
        Ok(report)
    }

    /// Says that it begins, unless another process seems to be at it.
    async fn enter(&self, alone: Alone) -> Result<Record, Failure> {
        let mut record = self.registry.collections().await?;
        if alone == Alone::Unknown && self.is_another_at_it(&record) {
            return Err(Failure::Busy);
        }
        let now = seconds(SystemTime::now());
        record.holder.clone_from(&self.id);
        record.running = true;
        record.alive = now;
        self.registry.set_collections(&record).await?;
        Ok(record)
    }

    /// Whether another process says that it collects, and seems to live.
    pub(super) fn is_another_at_it(&self, record: &Record) -> bool {
        let now = seconds(SystemTime::now());
        let alive = now.abs_diff(record.alive) < DEAD.as_secs();
        record.running && alive && record.holder != self.id
    }

    /// Gives signs of life; never ends.
    async fn stay_alive<T>(&self, mut record: Record) -> T {
        loop {
            tokio::time::sleep(ALIVE).await;
            record.alive = seconds(SystemTime::now());
            if let Err(error) = self.registry.set_collections(&record).await {
                tracing::warn!(%error, "others may take this collection for dead");
            }
        }
    }

    async fn collect(&self, alone: Alone) -> Result<Report, Failure> {
        let written = self.registry.store().head(&layout::collections()).await?;
        let now = written.map_or_else(SystemTime::now, |meta| meta.modified);
        let checkpoint = self.checkpoint(now).await?;
        let mark = checkpoint.as_ref().map(|checkpoint| &*checkpoint.mark);
        self.seal(alone, now, mark).await?;
        for child in self.registry.all_names(&layout::written_again()).await? {
            let Ok(digest) = format!("sha256:{}", child.name).parse::<Digest>() else {
                continue;
            };
            if self.bring_back(&digest).await? {
                let record = layout::again(&digest);
                self.registry.store().withdraw(&record).await?;
            }
        }
        let resumed = match checkpoint {
            Some(checkpoint) => self.resumed(checkpoint).await?,
            None => None,
        };
        self.passes(resumed).await
    }

    /// C7. What stays registered costs pushes a record each, and is taken for
    /// dead later.
    pub(super) async fn unmark(&self, name: &str) {
        if self.options.dry_run {
            return;
        }
        let store = self.registry.store();
        let withdrawn = store.withdraw(&layout::run(name)).await;
        let cleared = store.delete_all(&layout::pushed(name)).await;
        if let Err(error) = withdrawn.and(cleared) {
            tracing::warn!(%error, "the mark of a collection stays registered for a while");
        }
    }

    /// Under which name it holds the store.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    pub(super) fn counts(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn jobs(&self) -> usize {
        self.options.jobs.max(1)
    }

    /// Whether a dry run takes a manifest for removed.
    pub(super) fn is_without(&self, repository: &RepositoryName, digest: &Digest) -> bool {
        let gone = self.options.without.get(repository);
        self.options.dry_run && gone.is_some_and(|gone| gone.contains(digest))
    }

    pub(super) async fn paced<T>(&self, work: impl Future<Output = T>) -> T {
        Pace::new(self.options.pace).work(work).await
    }

    pub(super) fn check_stopped(&self) -> Result<(), Failure> {
        if self.options.stop.is_cancelled() {
            Err(Failure::Stopped)
        } else {
            Ok(())
        }
    }
}
