//! What `wharf check` says of itself while it runs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::super::progress::Progress;
use super::report::size;
use crate::registry::check::Meter;

/// How far a check is.
pub(super) struct Reading {
    meter: Arc<Meter>,
    /// Bytes that earlier runs had read.
    before: u64,
}

impl Reading {
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        let before = meter.counts().bytes;
        Self { meter, before }
    }
}

impl Progress for Reading {
    /// Blobs are counted; how many repositories there are, nobody knows.
    fn place(&self) -> Option<f64> {
        Some(self.meter.place()).filter(|place| *place < 1.0)
    }

    /// What was read, how fast, and what was found.
    fn message(&self, elapsed: Duration) -> String {
        let counts = self.meter.counts();
        let mut text = if self.meter.place() >= 1.0 {
            format!(
                "repositories: {}, {} manifests, {} tags",
                counts.repositories, counts.manifests, counts.tags
            )
        } else {
            let seconds = elapsed.as_secs_f64().max(0.001);
            let rate = (counts.bytes.saturating_sub(self.before) as f64 / seconds) as u64;
            format!("{}  {}/s", size(counts.bytes), size(rate))
        };
        match counts.findings {
            0 => {}
            1 => text.push_str("  1 problem"),
            several => {
                // Writing to a String cannot fail.
                let _ = write!(text, "  {several} problems");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_read_yet_is_no_division() {
        let reading = Reading::new(Arc::default());
        assert_eq!(reading.message(Duration::ZERO), "0 bytes  0 bytes/s");
    }
}
