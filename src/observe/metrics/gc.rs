//! What the collections of this process remove, and how the last one went.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// `wharf_gc_runs_total{outcome}`, `wharf_gc_removed_total`,
/// `wharf_gc_freed_bytes_total`, `wharf_gc_last_success_timestamp_seconds`,
/// `wharf_gc_last_duration_seconds`, `wharf_gc_young_bytes`. Cheap to clone.
#[derive(Clone)]
pub struct GcMetrics {
    runs: Family<Labels, Counter>,
    removed: Counter,
    freed: Counter,
    succeeded: Gauge<u64, AtomicU64>,
    duration: Gauge<f64, AtomicU64>,
    young: Gauge<u64, AtomicU64>,
}

/// How a collection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end.
    Completed,
    /// It couldn't: the log says why.
    Failed,
    /// The process ends.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl GcMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            runs: Family::default(),
            removed: Counter::default(),
            freed: Counter::default(),
            succeeded: Gauge::default(),
            duration: Gauge::default(),
            young: Gauge::default(),
        };
        registry.register(
            "wharf_gc_runs",
            "Garbage collections of this process, by how they ended",
            metrics.runs.clone(),
        );
        registry.register(
            "wharf_gc_removed",
            "Blobs and manifests that collections of this process removed",
            metrics.removed.clone(),
        );
        registry.register_with_unit(
            "wharf_gc_freed",
            "What was freed by that",
            Unit::Bytes,
            metrics.freed.clone(),
        );
        registry.register_with_unit(
            "wharf_gc_last_success_timestamp",
            "When a collection last came to its end, of whichever process; 0 if none has",
            Unit::Seconds,
            metrics.succeeded.clone(),
        );
        registry.register_with_unit(
            "wharf_gc_last_duration",
            "How long this process's last collection took that came to its end",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "wharf_gc_young",
            "What nothing needed at this process's last collection, but was too young to be removed",
            Unit::Bytes,
            metrics.young.clone(),
        );
        // From the start, so that an increase is seen.
        for outcome in [Outcome::Completed, Outcome::Failed, Outcome::Stopped] {
            drop(metrics.runs.get_or_create(&outcome.labels()));
        }
        metrics
    }

    /// Something of `bytes` was removed.
    pub fn removed(&self, bytes: u64) {
        self.removed.inc();
        self.freed.inc_by(bytes);
    }

    /// A collection of this process has ended.
    pub fn ended(&self, outcome: Outcome) {
        self.runs.get_or_create(&outcome.labels()).inc();
    }

    /// One came to its end: how long it took, and how many bytes wait.
    pub fn completed(&self, took: Duration, young: u64) {
        self.duration.set(took.as_secs_f64());
        self.young.set(young);
    }

    /// One of any process came to its end, in seconds since 1970.
    pub fn succeeded(&self, time: u64) {
        self.succeeded.set(time);
    }
}

impl Outcome {
    fn labels(self) -> Labels {
        let outcome = match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        };
        Labels { outcome }
    }
}
