//! Which of the files that are followed are broken.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::observe::broken::{Broken, FILES};

/// The files, once somebody follows them.
pub(super) type WatchedFiles = Arc<OnceLock<Broken>>;

/// The collector.
pub(super) struct BrokenFiles(pub(super) WatchedFiles);

impl fmt::Debug for BrokenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokenFiles")
    }
}

impl Collector for BrokenFiles {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(broken) = self.0.get() else {
            return Ok(());
        };
        let mut family = encoder.encode_descriptor(
            "wharf_file_broken",
            "1 while a file cannot be used and its last good version stays in force",
            None,
            MetricType::Gauge,
        )?;
        for file in FILES {
            let value = u64::from(broken.why(file).is_some());
            let labels = [("file", file)];
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
