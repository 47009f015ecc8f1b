//! Metrics in OpenMetrics text, under registry:2's names where they mean the
//! same. No label comes from a client: their number is bounded by this code.

mod files;
mod gc;
mod process;
mod requests;
mod room;
mod scrub;
mod storage;
mod usage;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use gc::{GcMetrics, Outcome};
pub use requests::{Finished, InFlight};
pub use scrub::ScrubMetrics;
pub(super) use storage::StorageTimes;
pub use usage::Held;

use self::files::{BrokenFiles, WatchedFiles};
use self::process::Process;
use self::requests::RequestMetrics;
use self::room::{RoomMetrics, Watched};
use self::usage::UsageMetrics;
use super::audit::Counters;
use super::broken::Broken;
use crate::storage::Room;

/// The type of what [`Metrics::text`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted: one value, cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: RequestMetrics,
    storage: StorageTimes,
    scrub: ScrubMetrics,
    gc: GcMetrics,
    damaged: Counter,
    room: Watched,
    files: WatchedFiles,
    audit: Counters,
    usage: UsageMetrics,
}

impl Metrics {
    /// Metrics that start at zero, for this version of wharf.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let requests = RequestMetrics::register(&mut registry);
        let storage = StorageTimes::register(&mut registry);
        let scrub = ScrubMetrics::register(&mut registry);
        let gc = GcMetrics::register(&mut registry);
        let damaged = Counter::default();
        registry.register(
            "wharf_damaged_content",
            "Stored content that was found not to match its digest",
            damaged.clone(),
        );
        registry.register(
            "wharf_build",
            "The version of wharf",
            Info::new([("version", version)]),
        );
        registry.register_collector(Box::new(Process));
        let room = Watched::default();
        registry.register_collector(Box::new(RoomMetrics(room.clone())));
        let audit = Counters::default();
        registry.register(
            "wharf_audit_lines",
            "Lines of the audit log that were written",
            audit.written.clone(),
        );
        registry.register(
            "wharf_audit_lost",
            "Lines of the audit log that were lost",
            audit.lost.clone(),
        );
        let files = WatchedFiles::default();
        registry.register_collector(Box::new(BrokenFiles(files.clone())));
        let usage = UsageMetrics::default();
        registry.register_collector(Box::new(usage.clone()));
        Self(Arc::new(Inner {
            registry,
            requests,
            storage,
            scrub,
            gc,
            damaged,
            room,
            files,
            audit,
            usage,
        }))
    }

    /// Stored content was found not to match its digest.
    pub fn count_damaged(&self) {
        self.0.damaged.inc();
    }

    /// A request has arrived for this path (without its query). It is in flight
    /// until the value is dropped.
    pub fn request(&self, path: &str) -> InFlight {
        self.0.requests.begin(path)
    }

    /// What the background scrub counts in.
    pub fn scrub(&self) -> ScrubMetrics {
        self.0.scrub.clone()
    }

    /// What collections of garbage count in.
    pub fn gc(&self) -> GcMetrics {
        self.0.gc.clone()
    }

    /// Shows how much room there is. The first one counts.
    pub fn watch_room(&self, room: Room) {
        // One process has one store.
        let _ = self.0.room.set(room);
    }

    /// What the audit log counts in.
    pub fn audit(&self) -> Counters {
        self.0.audit.clone()
    }

    /// Shows which of the files that are followed are broken. The first one
    /// counts.
    pub fn watch_files(&self, broken: Broken) {
        let _ = self.0.files.set(broken);
    }

    /// Shows what is held.
    pub fn show_usage(&self, held: Held) {
        self.0.usage.set(held);
    }

    /// The exposition, of [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// None in practice: it is written into memory.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    pub(super) fn storage(&self) -> StorageTimes {
        self.0.storage.clone()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};

    use super::*;

    fn push_and_pull(metrics: &Metrics) {
        let pull = metrics.request("/v2/team/app/manifests/v1");
        pull.finish(&Finished {
            method: &Method::GET,
            status: StatusCode::OK,
            duration: Duration::from_millis(30),
            received: 0,
            sent: 2000,
        });
        let odd = metrics.request("/v2/team/app/blobs/uploads/1234");
        odd.finish(&Finished {
            method: &Method::from_bytes(b"BREW").unwrap(),
            status: StatusCode::METHOD_NOT_ALLOWED,
            duration: Duration::from_secs(2),
            received: 5 << 30,
            sent: 0,
        });
    }

    #[test]
    fn the_names_are_those_of_registry_2() {
        let metrics = Metrics::new("1.2.3");
        push_and_pull(&metrics);
        let _running = metrics.request("/v2/");
        metrics
            .storage()
            .observe("filesystem", "get", Duration::from_millis(7));
        let text = metrics.text().unwrap();
        for line in [
            r#"registry_http_requests_total{handler="manifest",code="200",method="get"} 1"#,
            r#"registry_http_requests_total{handler="blob_upload_chunk",code="405",method="unknown"} 1"#,
            r#"registry_http_request_duration_seconds_bucket{le="0.025",handler="manifest",method="get"} 0"#,
            r#"registry_http_request_duration_seconds_bucket{le="0.05",handler="manifest",method="get"} 1"#,
            r#"registry_http_request_duration_seconds_bucket{le="60.0",handler="manifest",method="get"} 1"#,
            r#"registry_http_request_duration_seconds_count{handler="manifest",method="get"} 1"#,
            r#"registry_http_request_size_bytes_sum{handler="blob_upload_chunk"} 5368709120.0"#,
            r#"registry_http_response_size_bytes_sum{handler="manifest"} 2000.0"#,
            r#"registry_http_in_flight_requests{handler="base"} 1"#,
            r#"registry_http_in_flight_requests{handler="manifest"} 0"#,
            r#"registry_storage_action_seconds_bucket{le="0.01",driver="filesystem",action="get"} 1"#,
            r#"registry_storage_action_seconds_count{driver="filesystem",action="get"} 1"#,
            r#"wharf_build_info{version="1.2.3"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        for name in [
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
            "process_start_time_seconds ",
        ] {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            let value: f64 = found.expect(name).parse().unwrap();
            assert!(value >= 0.0, "{name}{value}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn repositories_do_not_add_to_the_exposition() {
        let size = |metrics: &Metrics| metrics.text().unwrap().lines().count();
        let metrics = Metrics::new("1.2.3");
        push_and_pull(&metrics);
        let before = size(&metrics);
        for n in 0..1000 {
            let pull = metrics.request(&format!("/v2/random-{n}/manifests/v{n}"));
            pull.finish(&Finished {
                method: &Method::GET,
                status: StatusCode::OK,
                duration: Duration::ZERO,
                received: 0,
                sent: 0,
            });
        }
        assert_eq!(size(&metrics), before);
    }
}
