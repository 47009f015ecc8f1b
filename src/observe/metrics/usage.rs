//! What the registry holds in all, as far as this process knows: absent until
//! that was read from the storage. Nothing for each repository: their number
//! has no bound.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// What is held. Bytes, but for the count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Content that somebody needs.
    pub used: u64,
    /// Content that waits for a collection.
    pub waiting: u64,
    /// Upload sessions that running servers know.
    pub sessions: u64,
    /// What they have received.
    pub session_bytes: u64,
}

/// The collector; clones share what is shown.
#[derive(Clone, Default)]
pub(super) struct UsageMetrics(Arc<Mutex<Option<Held>>>);

impl UsageMetrics {
    pub(super) fn set(&self, held: Held) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

impl fmt::Debug for UsageMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsageMetrics")
    }
}

impl Collector for UsageMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let held = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held else {
            return Ok(());
        };
        let mut write = |name, help, unit: Option<Unit>, value: u64| {
            let gauge = ConstGauge::new(value);
            let encoder =
                encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(encoder)
        };
        write(
            "wharf_storage_used",
            "Content that some repository needs, as of the last collection and what is known since.",
            Some(Unit::Bytes),
            held.used,
        )?;
        write(
            "wharf_storage_waiting",
            "Content that nobody needs and that the next collection removes, as far as it is known.",
            Some(Unit::Bytes),
            held.waiting,
        )?;
        write(
            "wharf_upload_sessions",
            "Upload sessions that running servers know.",
            None,
            held.sessions,
        )?;
        write(
            "wharf_upload_sessions_received",
            "What these sessions have received, or reserved.",
            Some(Unit::Bytes),
            held.session_bytes,
        )
    }
}
