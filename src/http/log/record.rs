//! What is known about one request, and the line that it becomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{Method, StatusCode};
use http_body::Body as _;

use super::{Facts, RequestId, Requests};
use crate::http::{Origin, Peer};
use crate::observe::metrics::{Finished, InFlight};

/// The most characters of one field that a client chooses.
const LONGEST: usize = 256;

/// What registry:2 and nginx log when the client has gone before the answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Becomes exactly one line, when it is dropped.
pub(super) struct Record {
    requests: Requests,
    in_flight: InFlight,
    begun: Instant,
    id: RequestId,
    client: Option<String>,
    /// The trusted proxy that has told us of the client.
    proxy: Option<String>,
    method: Method,
    path: String,
    user_agent: Option<String>,
    received: Arc<AtomicU64>,
    status: Option<StatusCode>,
    facts: Facts,
    /// How many bytes the answer's body has, where that is known beforehand.
    expected: Option<u64>,
    sent: u64,
    ended: bool,
    broken: Option<String>,
}

impl Record {
    /// Begins with the request's head.
    pub(super) fn begin(requests: Requests, request: &Request, id: RequestId) -> Self {
        let path = request.uri().path();
        let peer = request.extensions().get::<Peer>();
        let peer = peer.and_then(|peer| Some(peer.address?.to_string()));
        let origin = request.extensions().get::<Origin>();
        let (client, proxy) = match origin.filter(|origin| origin.forwarded) {
            Some(origin) => (origin.address.map(|client| client.to_string()), peer),
            None => (peer, None),
        };
        let user_agent = request.headers().get(USER_AGENT);
        Self {
            in_flight: requests.metrics.request(path),
            requests,
            begun: Instant::now(),
            id,
            client,
            proxy,
            method: request.method().clone(),
            path: bounded(path),
            user_agent: user_agent.map(|value| bounded(&String::from_utf8_lossy(value.as_bytes()))),
            received: Arc::default(),
            status: None,
            facts: Facts::default(),
            expected: None,
            sent: 0,
            ended: false,
            broken: None,
        }
    }

    /// Where the bytes of the request's body are counted.
    pub(super) fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    /// Takes the answer's head, and what the handler knew.
    pub(super) fn answered(&mut self, response: &mut Response) {
        let status = response.status();
        self.status = Some(status);
        self.facts = response.extensions_mut().remove().unwrap_or_default();
        self.expected = if has_no_body(&self.method, status) {
            Some(0)
        } else {
            let length = response.headers().get(CONTENT_LENGTH);
            length
                .and_then(|length| length.to_str().ok()?.parse().ok())
                .or_else(|| response.body().size_hint().exact())
        };
    }

    /// More of the answer's body was handed over.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// The answer's body is complete.
    pub(super) fn ended(&mut self) {
        self.ended = true;
    }

    /// The answer's body failed.
    pub(super) fn broken(&mut self, error: String) {
        self.broken = Some(error);
    }

    /// Whether the client got less than the answer.
    fn aborted(&self) -> bool {
        let complete = self.ended || self.expected.is_some_and(|bytes| self.sent >= bytes);
        self.status.is_none() || self.broken.is_some() || !complete
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let status = self.status.or_else(closed).unwrap_or_default();
        let duration = self.begun.elapsed();
        let received = self.received.load(Ordering::Relaxed);
        self.in_flight.finish(&Finished {
            method: &self.method,
            status,
            duration,
            received,
            sent: self.sent,
        });

        let failed = status.is_server_error() || self.broken.is_some();
        if self.facts.quiet {
            return;
        }
        if !failed && !self.requests.lines() {
            return;
        }
        let aborted = self.aborted();
        let message = match status {
            _ if aborted => "response aborted",
            status if status.as_u16() >= 400 => "response completed with error",
            _ => "response completed",
        };
        let facts = &self.facts;
        let unknown = facts.operation.is_empty();
        // The level is part of the place in the code, so there are two.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "wharf::access",
                    client = self.client.as_deref().map(tracing::field::display),
                    proxy = self.proxy.as_deref().map(tracing::field::display),
                    user = facts.user.as_deref(),
                    method = bounded(self.method.as_str()),
                    operation = (!unknown).then_some(facts.operation),
                    repository = facts.repository.as_deref(),
                    reference = facts.reference.as_deref(),
                    path = unknown.then_some(self.path.as_str()),
                    status = status.as_u16(),
                    bytes = self.sent,
                    received,
                    ms = duration.as_micros() as f64 / 1000.0,
                    aborted = aborted.then_some(true),
                    error = self.broken.as_deref().or(facts.error.as_deref()),
                    request_id = %self.id,
                    user_agent = self.user_agent.as_deref(),
                    "{message}"
                )
            };
        }
        if failed { line!(error) } else { line!(info) }
    }
}

fn closed() -> Option<StatusCode> {
    StatusCode::from_u16(CLIENT_CLOSED_REQUEST).ok()
}

/// Answers whose body is never sent, whatever the handler made (RFC 9110, 6.4.1).
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// A text of a client's choice, cut to a bounded length.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
