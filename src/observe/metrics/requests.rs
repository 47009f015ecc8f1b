//! Requests, counted by registry:2's handlers.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// 5 ms to a minute: registry:2's.
const SECONDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
];

/// Every value of the label `handler`; the last is for paths without one.
const HANDLERS: [&str; 9] = [
    "base",
    "manifest",
    "catalog",
    "tags",
    "blob",
    "blob_upload",
    "blob_upload_chunk",
    "referrers",
    "other",
];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The families of metrics.
#[derive(Clone)]
pub(super) struct RequestMetrics {
    requests: Family<Answered, Counter>,
    duration: Histograms<Timed>,
    request_size: Histograms<Handled>,
    response_size: Histograms<Handled>,
    in_flight: Family<Handled, Gauge>,
}

/// A request that is being answered.
pub struct InFlight {
    metrics: RequestMetrics,
    handler: &'static str,
    gauge: Gauge,
}

/// How a request ended.
#[derive(Debug, Clone)]
pub struct Finished<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The answer's status.
    pub status: StatusCode,
    /// From the request's head to the end of the answer's body.
    pub duration: Duration,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    handler: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    handler: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    handler: &'static str,
    code: u16,
    method: &'static str,
}

impl RequestMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let sizes: fn() -> Histogram = || Histogram::new(exponential_buckets(1024.0, 2.0, 22));
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            request_size: Family::new_with_constructor(sizes),
            response_size: Family::new_with_constructor(sizes),
            in_flight: Family::default(),
        };
        // A dashboard shows zero, not a gap, before the first request.
        for handler in HANDLERS {
            drop(metrics.in_flight.get_or_create(&Handled { handler }));
        }
        // `_total` and the units are added by the exposition.
        registry.register(
            "registry_http_requests",
            "Requests answered",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "registry_http_request_duration",
            "Time from a request's head to the end of its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "registry_http_request_size",
            "Size of the requests' bodies",
            Unit::Bytes,
            metrics.request_size.clone(),
        );
        registry.register_with_unit(
            "registry_http_response_size",
            "Size of the answers' bodies",
            Unit::Bytes,
            metrics.response_size.clone(),
        );
        registry.register(
            "registry_http_in_flight_requests",
            "Requests that are being answered",
            metrics.in_flight.clone(),
        );
        metrics
    }

    pub(super) fn begin(&self, path: &str) -> InFlight {
        let handler = handler(path);
        let gauge = self.in_flight.get_or_create_owned(&Handled { handler });
        gauge.inc();
        InFlight {
            metrics: self.clone(),
            handler,
            gauge,
        }
    }
}

impl InFlight {
    /// Counts the request; it stays in flight until the value is dropped.
    pub fn finish(&self, finished: &Finished<'_>) {
        let handler = self.handler;
        let method = method(finished.method);
        let metrics = &self.metrics;
        metrics
            .requests
            .get_or_create(&Answered {
                handler,
                code: finished.status.as_u16(),
                method,
            })
            .inc();
        metrics
            .duration
            .get_or_create(&Timed { handler, method })
            .observe(finished.duration.as_secs_f64());
        metrics
            .request_size
            .get_or_create(&Handled { handler })
            .observe(finished.received as f64);
        metrics
            .response_size
            .get_or_create(&Handled { handler })
            .observe(finished.sent as f64);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Which of registry:2's handlers a path belongs to. It is read from the right,
/// since a repository may be called `manifests`, and only roughly: whether it is
/// a valid request is not asked here.
fn handler(path: &str) -> &'static str {
    let mut segments = path.rsplit('/');
    let last = segments.next().unwrap_or_default();
    let before = segments.next().unwrap_or_default();
    let third = segments.next().unwrap_or_default();
    match (third, before, last) {
        ("blobs", "uploads", "") => "blob_upload",
        ("blobs", "uploads", _) => "blob_upload_chunk",
        (_, "blobs", "uploads") => "blob_upload",
        (_, "blobs", _) => "blob",
        (_, "manifests", _) => "manifest",
        (_, "tags", "list") => "tags",
        (_, "referrers", _) => "referrers",
        (_, "v2", "_catalog") => "catalog",
        (_, "v2", "") | (_, _, "v2") => "base",
        _ if path == "/" => "base",
        _ => "other",
    }
}

/// A method in lower case, as Prometheus's Go library writes it; clients may
/// make up methods, so that only the known ones have a label.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::POST => "post",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_the_handlers() {
        for (path, expected) in [
            ("/", "base"),
            ("/v2/", "base"),
            ("/v2", "base"),
            ("/prefix/v2/", "base"),
            ("/v2/_catalog", "catalog"),
            ("/v2/a/tags/list", "tags"),
            ("/v2/a/b/manifests/latest", "manifest"),
            ("/v2/manifests/blobs/sha256:00", "blob"),
            ("/v2/a/blobs/uploads/", "blob_upload"),
            ("/v2/a/blobs/uploads", "blob_upload"),
            ("/v2/a/blobs/uploads/1-2", "blob_upload_chunk"),
            ("/v2/a/referrers/sha256:00", "referrers"),
            ("/favicon.ico", "other"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(handler(path), expected, "{path}");
            assert!(HANDLERS.contains(&handler(path)));
        }
    }

    #[test]
    fn a_request_is_in_flight_until_it_is_dropped() {
        let metrics = RequestMetrics::register(&mut Registry::default());
        let gauge = |handler| metrics.in_flight.get_or_create(&Handled { handler }).get();
        let one = metrics.begin("/v2/");
        let two = metrics.begin("/v2/");
        assert_eq!(gauge("base"), 2);
        drop(one);
        assert_eq!(gauge("base"), 1);
        drop(two);
        assert_eq!(gauge("base"), 0);
    }
}
