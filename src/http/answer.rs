//! Answers that are no errors: statuses, headers and bodies put together.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::Problem;
use crate::oci::Digest;

/// The digest of the content that an answer is about.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");
/// The id of an upload session (registry:2).
pub(super) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// registry:2 sends it with every answer, and clients look for it.
pub const DOCKER_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// The subject of a pushed manifest.
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that a pushed manifest got.
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The filters that a list of referrers is made with.
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    // 204 and 304 must not have a length, and the others must.
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// An answer without a body that says where something is.
pub(super) fn located(status: StatusCode, location: HeaderValue) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(LOCATION, location);
    response
}

/// An answer with a JSON body.
pub(super) fn json(
    content_type: &'static str,
    value: &impl serde::Serialize,
) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(Problem::internal)?;
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// Says which content an answer is about.
pub(super) fn digest_headers(headers: &mut HeaderMap, digest: &Digest) -> Result<(), Problem> {
    headers.insert(DOCKER_CONTENT_DIGEST, value(digest)?);
    Ok(())
}

/// A header value of something that prints as plain ASCII.
pub(super) fn value(text: impl std::fmt::Display) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text.to_string()).map_err(Problem::internal)
}

/// `Warning: 299 - "…"` (distribution-spec, "Warnings"): a hint for people
/// that clients print.
pub(super) fn warn(response: &mut Response, text: &str) {
    let quoted: String = text
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '"' | '\\'))
        .take(1000)
        .collect();
    if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
        response.headers_mut().append(http::header::WARNING, value);
    }
}

/// Tells a client that asked for more entries than one page holds.
pub(super) fn warn_if_clamped(response: &mut Response, asked: Option<usize>, given: usize) {
    if asked.is_some_and(|asked| asked > given) {
        warn(
            response,
            &format!("one page holds at most {given} entries: follow the Link header for the rest"),
        );
    }
}
