//! The server collects garbage by itself (`gc` of the configuration); before
//! that it removes manifests without a tag, where `gc.untagged` says so.
//!
//! One replica at a time: whoever collects says so in the store, and when the
//! last collection ended. Should two do it at once, nothing worse happens.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::first_pause;
use crate::http;
use crate::observe::metrics::{GcMetrics, Outcome};
use crate::oci::{Digest, RepositoryName};
use crate::registry::Registry;
use crate::registry::check::seconds;
use crate::registry::gc::{Collector, Failure, Observer, Options, Record, Report};
use crate::registry::retention;
use crate::server::Shutdown;

/// The longest time until the record and the configuration are looked at again.
const LOOK: Duration = Duration::from_secs(60);

/// The shortest.
const PAUSE: Duration = Duration::from_secs(1);

/// Until the configuration is looked at again while it says no.
const OFF: Duration = Duration::from_secs(2);

/// A replica that gave no sign of life for so long collects no more.
const DEAD: Duration = Duration::from_secs(300);

/// Repositories that are read at once in a bucket, whose answers take their time.
const BUCKET_JOBS: usize = 4;

/// Between two checkpoints, from which a collection goes on after a restart.
const CHECKPOINTS: Duration = Duration::from_secs(10);

/// The longest time until what has failed is tried again.
const AGAIN: Duration = Duration::from_secs(3600);

/// Collects until the server ends. `batch` is how long pushes may be kept
/// waiting, `shared` whether other replicas may serve the same store.
pub(super) fn spawn(
    shutdown: &Shutdown,
    state: Arc<ArcSwap<http::State>>,
    metrics: GcMetrics,
    batch: Duration,
    shared: bool,
) {
    let schedule = Schedule {
        state,
        metrics,
        batch,
        shared,
        end: shutdown.background(),
        not_before: None,
        told: false,
        gave_up: false,
    };
    shutdown.spawn("garbage collection", schedule.run());
}

struct Schedule {
    state: Arc<ArcSwap<http::State>>,
    metrics: GcMetrics,
    batch: Duration,
    shared: bool,
    end: CancellationToken,
    /// When this process may collect at the earliest; unknown while it may not.
    not_before: Option<Instant>,
    /// Whether it was told why nothing is collected.
    told: bool,
    /// Whether, while nothing is to be collected, what one that was stopped has
    /// left was taken away.
    gave_up: bool,
}

impl Schedule {
    async fn run(mut self) {
        while !self.end.is_cancelled() {
            let pause = self.look().await;
            tokio::select! {
                () = self.end.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Collects, if it is time; returns when to look again.
    async fn look(&mut self) -> Duration {
        let registry = self.state.load().registry.clone();
        let settings = registry.settings();
        if !settings.gc.enabled || settings.read_only {
            if settings.gc.enabled && !self.told {
                tracing::info!(
                    "the registry is read-only (storage.maintenance.readonly): no garbage is collected"
                );
            }
            self.told = settings.gc.enabled;
            self.not_before = None;
            if !self.gave_up && !settings.read_only {
                self.gave_up = true;
                give_up(&registry).await;
            }
            return OFF;
        }
        (self.told, self.gave_up) = (false, false);
        let interval = settings.gc.interval;
        let not_before = match self.not_before {
            Some(not_before) => not_before,
            None => {
                // One that was stopped shouldn't wait long to go on.
                let waits = registry.has_checkpoint().await.unwrap_or_default();
                let pause = if waits { interval.min(LOOK) } else { interval };
                *self.not_before.insert(Instant::now() + first_pause(pause))
            }
        };
        let wait = match registry.collections().await {
            Ok(record) => self.until_due(&record, interval),
            Err(error) => {
                tracing::warn!(%error, "whether garbage should be collected isn't known, and is looked at again");
                LOOK
            }
        };
        let wait = wait.max(not_before.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            let wait = self.collect(&registry).await;
            self.not_before = Some(Instant::now() + wait);
        }
        wait.clamp(PAUSE, LOOK)
    }

    /// How long until a collection should begin; zero if now.
    fn until_due(&self, record: &Record, interval: Duration) -> Duration {
        let now = seconds(SystemTime::now());
        let age = |then: u64| Duration::from_secs(now.saturating_sub(then));
        self.metrics.succeeded(record.completed.unwrap_or_default());
        // On a volume whoever is dead is known to be.
        if self.shared && record.running && age(record.alive) < DEAD {
            return LOOK;
        }
        let Some(completed) = record.completed else {
            return Duration::ZERO;
        };
        interval.saturating_sub(age(completed))
    }

    /// Collects once; returns how long to wait at least.
    async fn collect(&self, registry: &Registry) -> Duration {
        let settings = registry.settings().gc;
        if let Some(age) = settings.untagged {
            self.remove_untagged(registry, age).await;
        }
        let options = Options {
            grace: settings.grace,
            dead_after: settings.dead_after,
            pace: settings.pace,
            // A volume's readers stand in the way of its writers.
            jobs: if self.shared { BUCKET_JOBS } else { 1 },
            checkpoints: Some(CHECKPOINTS),
            stop: self.end.clone(),
            ..Options::default()
        };
        let told = Arc::new(Told(self.metrics.clone()));
        let begun = Instant::now();
        let ended = Collector::new(registry.clone(), options, told).run().await;
        // So that replicas don't all come back at the same moment.
        let jitter = first_pause(settings.interval / 10);
        match ended {
            Ok(report) => {
                self.metrics.succeeded(seconds(SystemTime::now()));
                self.metrics.completed(begun.elapsed(), report.young_bytes);
                self.metrics.ended(Outcome::Completed);
                summary(&report, begun.elapsed());
                settings.interval + jitter
            }
            Err(Failure::Busy) => settings.interval.min(LOOK) + jitter,
            Err(Failure::Stopped) => {
                self.metrics.ended(Outcome::Stopped);
                tracing::info!(
                    "the collection of garbage was stopped; the next one goes on at its last checkpoint, or begins anew without one"
                );
                jitter
            }
            Err(failure) => {
                self.metrics.ended(Outcome::Failed);
                tracing::error!("garbage collection: {failure}");
                settings.interval.min(AGAIN) + jitter
            }
        }
    }

    async fn remove_untagged(&self, registry: &Registry, age: Duration) {
        // What this process knows of pulls counts, too.
        registry.flush_pulls().await;
        let options = retention::Options {
            batch: self.batch,
            stop: self.end.clone(),
            ..retention::Options::default()
        };
        match registry.remove_untagged(age, &options, &Untagged).await {
            Ok(report) if report.removed.manifests > 0 => tracing::info!(
                manifests = report.removed.manifests,
                spared = report.removed.spared,
                "manifests without a tag were removed"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "manifests without a tag could not be removed; the next collection tries it again");
            }
        }
    }
}

/// Pushes need no longer heed a collection that nobody will go on with.
async fn give_up(registry: &Registry) {
    let collector = Collector::new(registry.clone(), Options::default(), Arc::new(()));
    if let Err(error) = collector.give_up().await {
        tracing::warn!(%error, "what a collection that was stopped has left could not be taken away");
    }
}

/// Counts what goes.
struct Told(GcMetrics);

impl Observer for Told {
    fn removed(&self, digest: &Digest, size: u64) {
        self.0.removed(size);
        tracing::debug!(%digest, size, "garbage collection: removed");
    }
}

/// Tells the log what could not be done.
struct Untagged;

impl retention::Observer for Untagged {
    fn failed(&self, repository: &RepositoryName, why: &retention::Failure) {
        tracing::warn!(%repository, "manifests without a tag: {why}");
    }
}

fn summary(report: &Report, took: Duration) {
    tracing::info!(
        removed = report.removed,
        freed = report.removed_bytes,
        young = report.young,
        young_bytes = report.young_bytes,
        links = report.links,
        needed = report.needed,
        manifests = report.manifests,
        repositories = report.repositories,
        seconds = took.as_secs(),
        "garbage was collected"
    );
    if report.dangling > 0 {
        tracing::warn!(
            manifests = report.dangling,
            "the bytes of manifests are gone: `wharf check` names them"
        );
    }
    if report.unsealed > 0 {
        tracing::warn!(
            removals = report.unsealed,
            "the storage didn't answer removals: until gc.deadafter, what is pushed of them gets another name"
        );
    }
}
