//! One line for each request, at the end of its answer, and its metrics.
//!
//! The line never holds a credential: no header but `User-Agent`, no query.

mod body;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use self::body::{Received, Sent};
use self::record::Record;
use crate::observe::metrics::Metrics;

/// Carries the request's id in every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler knows about its request: an extension of the response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Who asked, once that is proven.
    pub user: Option<String>,
    /// What was asked for; empty if the path names nothing that wharf has.
    pub operation: &'static str,
    /// In which repository.
    pub repository: Option<String>,
    /// The tag, digest or upload session.
    pub reference: Option<String>,
    /// What the audit log is told beside.
    pub audit: super::audit::Gathered,
    /// Why it failed, in words for the log.
    pub error: Option<String>,
    /// Whether it is asked every few seconds, so that a line for each would only
    /// hide the others.
    pub quiet: bool,
}

/// The id of a request: an extension of the request, unique to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What [`log_requests`] needs: cheap to clone.
#[derive(Debug, Clone)]
pub struct Requests {
    metrics: Metrics,
    lines: Arc<AtomicBool>,
}

impl Requests {
    /// Counts requests in `metrics`; a line for each if `lines`
    /// ([`crate::observe::log::Settings::requests`]). Failures of the registry
    /// itself have their line in any case.
    pub fn new(metrics: Metrics, lines: bool) -> Self {
        Self {
            metrics,
            lines: Arc::new(AtomicBool::new(lines)),
        }
    }

    /// Switches the lines on or off, for all clones.
    pub fn set_lines(&self, lines: bool) {
        self.lines.store(lines, Ordering::Relaxed);
    }

    fn lines(&self) -> bool {
        self.lines.load(Ordering::Relaxed)
    }
}

/// The layer, for [`axum::middleware::from_fn_with_state`]: the outermost, so
/// that it sees what the others answer. Bodies pass through untouched.
pub async fn log_requests(
    State(requests): State<Requests>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId(Uuid::new_v4());
    request.extensions_mut().insert(id);
    let mut record = Record::begin(requests, &request, id);
    let received = record.received();
    let request = request.map(|body| axum::body::Body::new(Received::new(body, received)));

    // Dropped here, the record says that the client went away.
    let mut response = next.run(request).await;

    record.answered(&mut response);
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response.map(|body| axum::body::Body::new(Sent::new(body, record)))
}

#[cfg(test)]
mod tests;
