//! The debug listener: `/debug/health`, `/livez`, `/readyz` and the metrics. It asks for no login:
//! it belongs on an address that only operators reach.
//!
//! registry:2's `/debug/vars` and `/debug/pprof` are Go's own and have no
//! counterpart here; what `/debug/vars` counts is among the metrics.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::health::Health;
use super::metrics::{self, Metrics};
use super::readiness::{Audience, LIVEZ, READYZ, Readiness, alive};

/// `http.debug` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `addr`: `host:port`
    pub addr: String,
    /// `prometheus.path`, if `prometheus.enabled`.
    pub metrics_path: Option<String>,
}

/// What the listener serves.
pub fn router(
    settings: &Settings,
    health: Health,
    readiness: Readiness,
    metrics: Metrics,
) -> Router {
    let ready = async move || readiness.answer(Audience::Operators).await;
    let router = Router::new()
        .route("/debug/health", get(show_health))
        .route(LIVEZ, get(async || alive()))
        .route(READYZ, get(ready))
        .with_state(health);
    match settings.metrics_path.as_deref() {
        Some(path) if is_free(path) => router.merge(
            Router::new()
                .route(path, get(show_metrics))
                .with_state(metrics),
        ),
        Some(path) => {
            tracing::warn!(
                path,
                "the metrics are not served: http.debug.prometheus.path must begin with a slash, hold no braces and not be /debug/health, /livez or /readyz"
            );
            router
        }
        None => router,
    }
}

/// Whether the router takes a path as it is: it panics on others.
fn is_free(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains(['{', '}', '*', ':'])
        && !["/debug/health", LIVEZ, READYZ].contains(&path)
}

/// `{}`, or 503 and `{check: error}`.
async fn show_health(State(health): State<Health>) -> Response {
    let failing = health.failing();
    let status = if failing.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let checks: BTreeMap<_, _> = failing
        .iter()
        .map(|failure| (&failure.name, &failure.error))
        .collect();
    let body = serde_json::to_string(&checks).unwrap_or_default();
    let headers = [
        (CONTENT_TYPE, "application/json; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (status, headers, body).into_response()
}

async fn show_metrics(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use tower::ServiceExt as _;

    use super::*;
    use crate::observe::fake_store::FakeStore;
    use crate::observe::health;
    use crate::storage::Store;

    fn debug(metrics_path: Option<&str>, health: &Health) -> Router {
        let settings = Settings {
            addr: "127.0.0.1:5001".into(),
            metrics_path: metrics_path.map(str::to_owned),
        };
        let store = Arc::new(FakeStore::default());
        let room = crate::storage::Room::new(store.clone());
        let readiness = Readiness::new(store, room, health.clone(), CancellationToken::new());
        router(&settings, health.clone(), readiness, Metrics::new("1.2.3"))
    }

    async fn ask(router: &Router, path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE).cloned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            content_type.map_or(String::new(), |value| value.to_str().unwrap().to_owned()),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn health_is_empty_or_names_what_fails() {
        let debug_of = |health: &Health| debug(None, health);
        let well = debug_of(&Health::default());
        let (status, content_type, body) = ask(&well, "/debug/health").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "{}"));
        assert_eq!(content_type, "application/json; charset=utf-8");
        let (status, ..) = ask(&well, "/metrics").await;
        assert_eq!(status, StatusCode::NOT_FOUND);

        let fake = FakeStore::default();
        fake.broken.store(true, std::sync::atomic::Ordering::SeqCst);
        let store: Arc<dyn Store> = Arc::new(fake);
        let settings = health::Settings {
            storage: Some(health::Periodic {
                interval: Duration::from_secs(10),
                threshold: 1,
            }),
            ..health::Settings::default()
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let health = Health::start(&settings, &store, "filesystem", &tasks, &stop);
        while !health.is_failing() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (status, _, body) = ask(&debug_of(&health), "/debug/health").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        insta::assert_snapshot!(body, @r#"{"storagedriver_filesystem":"the storage failed: broken for a test"}"#);
    }

    #[tokio::test]
    async fn metrics_are_served_where_the_configuration_says() {
        let router = debug(Some("/prometheus"), &Health::default());
        let (status, content_type, body) = ask(&router, "/prometheus").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(content_type, metrics::CONTENT_TYPE);
        assert!(body.ends_with("# EOF\n"), "{body}");
        let (status, ..) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn an_impossible_path_does_not_stop_the_registry() {
        for path in [
            "metrics",
            "/{a",
            "/debug/health",
            "/readyz",
            "/*",
            "/:a",
            "",
        ] {
            let router = debug(Some(path), &Health::default());
            for path in ["/debug/health", "/livez", "/readyz"] {
                let (status, _, body) = ask(&router, path).await;
                assert_eq!((status, body.as_str()), (StatusCode::OK, "{}"), "{path}");
            }
        }
    }
}
