//! The server applies retention by itself (`retention` of the configuration),
//! and writes down when things were pulled.
//!
//! One replica at a time: whoever applies it says so in the store, and the
//! others see that it is alive. Should two do it at once, both find the same
//! and nothing worse happens.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::first_pause;
use crate::http;
use crate::oci::{RepositoryName, UploadId};
use crate::registry::Registry;
use crate::registry::check::seconds;
use crate::registry::retention::{Failure, Observer, Options, Removed, RetentionRecord};
use crate::server::Shutdown;

/// How often it is written what was pulled.
const FLUSHED: Duration = Duration::from_secs(60);

/// How often the holder says that it is alive.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Whoever hasn't said anything for so long has died.
const ALIVE: Duration = Duration::from_secs(600);

/// The longest time until the record and the rules are looked at again.
const LOOK: Duration = Duration::from_secs(60);

/// The shortest.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes down pulls until the server ends, and once more then.
pub(super) fn spawn_pulls(shutdown: &Shutdown, state: Arc<ArcSwap<http::State>>) {
    let end = shutdown.background();
    shutdown.spawn("pull times", async move {
        loop {
            let ends = tokio::select! {
                () = end.cancelled() => true,
                () = tokio::time::sleep(FLUSHED) => false,
            };
            let registry = state.load().registry.clone();
            registry.flush_pulls().await;
            if ends {
                return;
            }
        }
    });
}

/// Applies retention until the server ends. `batch` is how long pushes may be
/// kept waiting.
pub(super) fn spawn(shutdown: &Shutdown, state: Arc<ArcSwap<http::State>>, batch: Duration) {
    let retention = Retention {
        state,
        batch,
        end: shutdown.background(),
        holder: UploadId::random().to_string(),
    };
    shutdown.spawn("retention", async move { retention.run().await });
}

struct Retention {
    state: Arc<ArcSwap<http::State>>,
    batch: Duration,
    end: CancellationToken,
    /// This process.
    holder: String,
}

impl Retention {
    async fn run(self) {
        let interval = self.state.load().registry.settings().retention.interval;
        let mut pause = first_pause(interval);
        loop {
            tokio::select! {
                () = self.end.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let registry = self.state.load().registry.clone();
            let settings = registry.settings();
            if settings.retention.rules.is_empty() || settings.read_only {
                pause = LOOK;
                continue;
            }
            pause = match registry.retention_record().await {
                Ok(record) => match self.until_due(&record, settings.retention.interval) {
                    Some(pause) => pause,
                    None => self.apply(&registry, record).await,
                },
                Err(error) => {
                    tracing::warn!(%error, "retention can't be applied, and is tried again later");
                    LOOK
                }
            }
            .clamp(PAUSE, LOOK);
        }
    }

    /// How long until it should be applied, if not now.
    fn until_due(&self, record: &RetentionRecord, interval: Duration) -> Option<Duration> {
        let now = seconds(SystemTime::now());
        let age = |then: u64| Duration::from_secs(now.saturating_sub(then));
        if !record.holder.is_empty() && record.holder != self.holder {
            // Another replica, or this one before it was started again.
            let silent = age(record.written);
            return (silent < ALIVE).then(|| ALIVE - silent);
        }
        let rest = interval.checked_sub(age(record.completed?))?;
        (!rest.is_zero()).then_some(rest)
    }

    /// Applies it once; returns when to look again.
    async fn apply(&self, registry: &Registry, mut record: RetentionRecord) -> Duration {
        record.holder.clone_from(&self.holder);
        // What this process knows of pulls counts, too.
        registry.flush_pulls().await;
        let options = Options {
            batch: self.batch,
            stop: self.end.clone(),
            ..Options::default()
        };
        remember(registry, &mut record).await;
        let ended = tokio::select! {
            ended = registry.retain(&options, &Told) => ended,
            () = alive(registry, record.clone()) => return LOOK,
        };
        record.holder.clear();
        match ended {
            Ok(report) => {
                if !self.end.is_cancelled() {
                    record.completed = Some(seconds(SystemTime::now()));
                }
                let removed = report.removed;
                tracing::info!(
                    repositories = report.repositories,
                    tags = removed.tags,
                    manifests = removed.manifests,
                    spared = removed.spared,
                    failed = report.failed,
                    "retention was applied"
                );
            }
            Err(error) => tracing::warn!(%error, "retention goes on later"),
        }
        remember(registry, &mut record).await;
        registry.settings().retention.interval
    }
}

/// Says that this process is alive; never ends.
async fn alive(registry: &Registry, mut record: RetentionRecord) {
    loop {
        tokio::time::sleep(REMEMBERED).await;
        remember(registry, &mut record).await;
    }
}

async fn remember(registry: &Registry, record: &mut RetentionRecord) {
    record.written = seconds(SystemTime::now());
    if let Err(error) = registry.set_retention_record(record).await {
        tracing::warn!(%error, "that retention is being applied could not be remembered");
    }
}

/// Tells the log what goes.
struct Told;

impl Observer for Told {
    fn removed(&self, repository: &RepositoryName, removed: &Removed) {
        tracing::info!(
            %repository,
            tags = removed.tags,
            manifests = removed.manifests,
            spared = removed.spared,
            "retention removed tags and manifests; their bytes go with the next collection"
        );
    }

    fn failed(&self, repository: &RepositoryName, why: &Failure) {
        tracing::warn!(%repository, "retention: {why}");
    }
}
