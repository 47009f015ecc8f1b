//! The server checks its storage by itself, slowly: `scrub` of the
//! configuration. What it finds is a line in the log and a metric each.
//!
//! One replica at a time: whoever scrubs writes into the store how far it is,
//! and the others see that it is alive. Should two begin at once, both read
//! everything and nothing worse happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::first_pause;
use crate::http;
use crate::observe::metrics::ScrubMetrics;
use crate::oci::UploadId;
use crate::registry::Registry;
use crate::registry::check::{
    Checker, Checkpoint, Finding, Meter, Observer, Options, Report, ScrubRecord, Scrubbing, seconds,
};
use crate::server::Shutdown;

/// How often it is remembered how far the scrub is.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Whoever hasn't remembered anything for so long has died.
const ALIVE: Duration = Duration::from_secs(600);

/// How often the metrics follow.
const COUNTED: Duration = Duration::from_secs(1);

/// The longest time until the record is looked at again.
const LOOK: Duration = Duration::from_secs(3600);

/// Scrubs until the server ends.
pub(super) fn spawn(
    shutdown: &Shutdown,
    settings: Scrubbing,
    state: Arc<ArcSwap<http::State>>,
    metrics: ScrubMetrics,
) {
    if !settings.enabled {
        return;
    }
    let scrub = Scrub {
        settings,
        state,
        metrics,
        end: shutdown.background(),
        holder: UploadId::random().to_string(),
    };
    shutdown.spawn("scrub", async move { scrub.run().await });
}

struct Scrub {
    settings: Scrubbing,
    state: Arc<ArcSwap<http::State>>,
    metrics: ScrubMetrics,
    end: CancellationToken,
    /// This process.
    holder: String,
}

impl Scrub {
    async fn run(self) {
        let mut pause = first_pause(self.settings.interval);
        loop {
            tokio::select! {
                () = self.end.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let registry = self.state.load().registry.clone();
            pause = match registry.scrub_record().await {
                Ok(record) => match self.until_due(&record) {
                    Some(pause) => pause,
                    None => self.scrub(&registry, record).await,
                },
                Err(error) => {
                    tracing::warn!(%error, "the scrub can't be begun, and is tried again later");
                    ALIVE
                }
            }
            .clamp(COUNTED, LOOK);
        }
    }

    /// How long until a scrub should begin, if not now.
    fn until_due(&self, record: &ScrubRecord) -> Option<Duration> {
        let now = seconds(SystemTime::now());
        self.metrics.completed(record.completed.unwrap_or_default());
        let age = |then: u64| Duration::from_secs(now.saturating_sub(then));
        if record.reached.is_some() && record.holder != self.holder {
            // Another replica, or this one before it was started again.
            let silent = age(record.written);
            return (silent < ALIVE && !record.holder.is_empty()).then(|| ALIVE - silent);
        }
        let rest = self.settings.interval.checked_sub(age(record.completed?))?;
        (!rest.is_zero()).then_some(rest)
    }

    /// One scrub, or what was left of one; returns when to look again.
    async fn scrub(&self, registry: &Registry, mut record: ScrubRecord) -> Duration {
        let from = record.reached.take().unwrap_or_default();
        let (reached, remembered) = watch::channel(from.clone());
        let observer = Arc::new(Told {
            metrics: self.metrics.clone(),
            reached,
        });
        let options = Options {
            rate: Some(self.settings.rate),
            repair: self.settings.repair && !registry.settings().read_only,
            stop: self.end.clone(),
            ..Options::default()
        };
        let checker = Checker::new(registry.clone(), options, observer);
        let begun = std::time::Instant::now();
        let count = Count {
            meter: checker.meter(),
            counted: AtomicU64::new(from.counts.bytes),
            metrics: &self.metrics,
        };
        record.holder.clone_from(&self.holder);
        self.remember(registry, &mut record, Some(from.clone()))
            .await;
        let ended = tokio::select! {
            ended = checker.run(from) => ended,
            () = self.follow(registry, record.clone(), &count, remembered) => return LOOK,
        };
        count.take();
        match ended {
            Ok(report) if report.complete => {
                // Whoever sees that it is complete finds its line.
                summary(&report, begun.elapsed());
                let now = seconds(SystemTime::now());
                record.completed = Some(now);
                self.remember(registry, &mut record, None).await;
                self.metrics.completed(now);
                self.settings.interval
            }
            Ok(report) => {
                // Nobody is behind it any more: whoever comes next may go on at once.
                record.holder.clear();
                self.remember(registry, &mut record, Some(report.reached))
                    .await;
                LOOK
            }
            Err(failure) => {
                tracing::warn!("the scrub goes on later: {failure}");
                self.remember(registry, &mut record, Some(*failure.reached))
                    .await;
                ALIVE
            }
        }
    }

    /// Counts and remembers while a check runs; never ends.
    async fn follow(
        &self,
        registry: &Registry,
        mut record: ScrubRecord,
        count: &Count<'_>,
        reached: watch::Receiver<Checkpoint>,
    ) {
        let mut remembered = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(COUNTED).await;
            count.take();
            if remembered.elapsed() >= REMEMBERED {
                remembered = tokio::time::Instant::now();
                let checkpoint = reached.borrow().clone();
                self.remember(registry, &mut record, Some(checkpoint)).await;
            }
        }
    }

    async fn remember(
        &self,
        registry: &Registry,
        record: &mut ScrubRecord,
        reached: Option<Checkpoint>,
    ) {
        record.written = seconds(SystemTime::now());
        record.reached = reached;
        if let Err(error) = registry.set_scrub_record(record).await {
            tracing::warn!(%error, "how far the scrub is could not be remembered");
        }
    }
}

/// Brings the metrics up to what a check has read.
struct Count<'a> {
    meter: Arc<Meter>,
    counted: AtomicU64,
    metrics: &'a ScrubMetrics,
}

impl Count<'_> {
    fn take(&self) {
        let read = self.meter.counts().bytes;
        let before = self.counted.swap(read, Ordering::Relaxed);
        self.metrics.read(read.saturating_sub(before));
    }
}

/// Tells the log and the metrics what is found.
struct Told {
    metrics: ScrubMetrics,
    reached: watch::Sender<Checkpoint>,
}

impl Observer for Told {
    fn found(&self, finding: &Finding) {
        if !finding.kind.is_damage() {
            return;
        }
        self.metrics.found(finding.kind.as_str());
        tracing::error!(
            kind = finding.kind.as_str(),
            place = %finding.place,
            "scrub: {}; {}",
            finding.what,
            finding.kind.advice()
        );
    }

    fn mended(&self, deed: &str) {
        tracing::warn!("scrub: {deed}");
    }

    fn reached(&self, checkpoint: &Checkpoint) {
        // What was found is in the log, and may be much.
        self.reached.send_replace(Checkpoint {
            findings: Vec::new(),
            notes: Vec::new(),
            mended: Vec::new(),
            ..checkpoint.clone()
        });
    }
}

fn summary(report: &Report, took: Duration) {
    let counts = &report.reached.counts;
    tracing::info!(
        findings = counts.findings,
        notes = counts.notes,
        blobs = counts.blobs,
        bytes = counts.bytes,
        manifests = counts.manifests,
        seconds = took.as_secs(),
        "scrub: everything was checked"
    );
}
