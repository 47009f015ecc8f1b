//! What the background scrub reads and finds.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// `wharf_scrub_findings_total{kind}`, `wharf_scrub_bytes_total`,
/// `wharf_scrub_last_completed_timestamp_seconds`. Cheap to clone.
#[derive(Clone)]
pub struct ScrubMetrics {
    findings: Family<Kind, Counter>,
    bytes: Counter,
    completed: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl ScrubMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            findings: Family::default(),
            bytes: Counter::default(),
            completed: Gauge::default(),
        };
        registry.register(
            "wharf_scrub_findings",
            "What the background scrub found damaged",
            metrics.findings.clone(),
        );
        registry.register_with_unit(
            "wharf_scrub",
            "What the background scrub has read",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register_with_unit(
            "wharf_scrub_last_completed_timestamp",
            "When the background scrub last came to its end; 0 if it never has",
            Unit::Seconds,
            metrics.completed.clone(),
        );
        metrics
    }

    /// Something was found; `kind` is one of a few words of ours.
    pub fn found(&self, kind: &'static str) {
        self.findings.get_or_create(&Kind { kind }).inc();
    }

    /// So many bytes more were read.
    pub fn read(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }

    /// A scrub came to its end, in seconds since 1970.
    pub fn completed(&self, time: u64) {
        self.completed.set(time);
    }
}
