//! Errors on the wire (distribution-spec, "Error Codes"): the one place that
//! turns what went wrong into status, code and words.

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::access::Denied;
use crate::auth::Unidentified;
use crate::oci::ErrorCode;
use crate::registry::{Error, StoreId};
use crate::storage::StorageError;

/// An answer that is an error; boxed, since most answers are none.
#[derive(Debug)]
pub(super) struct Problem(Box<Answer>);

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    /// One entry of the body for each; one with `null` if there are none.
    details: Vec<Value>,
    headers: HeaderMap,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Answer {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    pub(super) fn bad_request(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The path is none of ours.
    pub(super) fn nowhere() -> Self {
        Self::not_found(
            ErrorCode::NameUnknown,
            "there is nothing at this path: the API is under /v2/",
        )
    }

    /// Something that cannot happen did: the log says what.
    pub(super) fn internal(cause: impl ToString) -> Self {
        let message =
            "the registry made a mistake: its log says more under this answer's X-Request-Id";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unknown,
            message,
        )
        .caused_by(cause)
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::Unsupported,
            format!("this method is not allowed here; these are: {allowed}"),
        )
        .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// The answer to `OPTIONS`, which is no error: 204 and `Allow`.
    pub(super) fn options(allowed: &'static str) -> Self {
        Self::new(StatusCode::NO_CONTENT, ErrorCode::Unsupported, "")
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    pub(super) fn too_many_tags(limit: usize) -> Self {
        Self::new(
            StatusCode::URI_TOO_LONG,
            ErrorCode::Unsupported,
            format!("at most {limit} tags can be given in one request"),
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::SizeInvalid,
            format!("the manifest is larger than {limit} bytes: keep large data in blobs"),
        )
    }

    /// The replica that began an upload keeps its content elsewhere than we do.
    /// For the log too, since the administrator has to mend it.
    pub(super) fn other_store(theirs: StoreId, ours: StoreId) -> Self {
        let message = format!(
            "this upload was begun on the store {theirs}, but this replica uses {ours}: all replicas behind one address must share one storage"
        );
        Self::not_found(ErrorCode::BlobUploadUnknown, message.clone()).caused_by(message)
    }

    pub(super) fn unhealthy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "a health check is failing: /debug/health on the debug port says which",
        )
        .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// The caller could not be identified. `host` is how they reached us.
    pub(super) fn unidentified(
        why: Unidentified,
        challenges: Vec<HeaderValue>,
        host: &str,
    ) -> Self {
        let message = match why {
            Unidentified::Missing => {
                format!("authentication required: log in first (docker login {host})")
            }
            Unidentified::Wrong => format!("authentication required: {why} (docker login {host})"),
            Unidentified::Narrow => format!("authentication required: {why}"),
            Unidentified::Busy => {
                return Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::TooManyRequests,
                    "too many logins at once: try again in a moment",
                )
                .with(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Unidentified::Unavailable => {
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ErrorCode::Unavailable,
                    "who this is cannot be looked up: the storage does not answer; try again in a moment",
                )
                .with(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Unidentified::Slowed { seconds } => {
                let message = format!(
                    "too many wrong logins from this address or for this user: try again in {seconds} s"
                );
                return Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::TooManyRequests,
                    message,
                )
                .with(RETRY_AFTER, seconds.into());
            }
        };
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message);
        for challenge in challenges {
            problem.0.headers.append(WWW_AUTHENTICATE, challenge);
        }
        problem
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client reads.
    pub(super) fn message(&self) -> &str {
        &self.0.message
    }

    /// What the log should say and the client should not read.
    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    fn details(mut self, details: impl IntoIterator<Item = Value>) -> Self {
        self.0.details = details.into_iter().collect();
        self
    }

    pub(super) fn caused_by(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let cause = denied.ground.to_string();
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, denied.to_string()).caused_by(cause)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::BlobUnknown(digest) => {
                Self::not_found(ErrorCode::BlobUnknown, message).details([json!(digest.to_string())])
            }
            // Docker prints this message as it is; it has always been these words.
            Error::ManifestUnknown(reference) => {
                Self::not_found(ErrorCode::ManifestUnknown, "manifest unknown")
                    .details([json!(format!("unknown reference {reference}"))])
            }
            Error::NameUnknown(name) => {
                Self::not_found(ErrorCode::NameUnknown, message).details([json!({"name": name.as_str()})])
            }
            Error::UploadUnknown => Self::not_found(ErrorCode::BlobUploadUnknown, message),
            Error::ChunkOutOfOrder { .. } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid, message)
            }
            Error::UploadBusy => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
                    .with(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            Error::TooManyUploads { .. } | Error::LittleRoom => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
                    .with(RETRY_AFTER, HeaderValue::from_static("10"))
            }
            Error::SizeMismatch { .. } => Self::bad_request(ErrorCode::SizeInvalid, message),
            Error::DigestMismatch { .. } => Self::bad_request(ErrorCode::DigestInvalid, message),
            Error::ManifestInvalid(_) | Error::ManifestRefused(_) => {
                Self::bad_request(ErrorCode::ManifestInvalid, message)
            }
            Error::PartsUnknown(digests) => Self::bad_request(ErrorCode::ManifestBlobUnknown, message)
                .details(digests.iter().map(|digest| json!(digest.to_string()))),
            Error::TagImmutable { .. } | Error::ChildOfIndex { .. } => {
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
            }
            Error::DeleteDisabled => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::Unsupported,
                "deleting is switched off: set storage.delete.enabled (REGISTRY_STORAGE_DELETE_ENABLED=true)",
            )
            .with(ALLOW, HeaderValue::from_static("GET, HEAD, PUT")),
            Error::ReadOnly => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::Unsupported,
                "the registry is read-only (storage.maintenance.readonly.enabled)",
            )
            .with(ALLOW, HeaderValue::from_static("GET, HEAD")),
            Error::Interrupted { cause, .. } if timed_out(&cause) => {
                Self::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BlobUploadInvalid, message)
            }
            Error::Interrupted { .. } => Self::bad_request(ErrorCode::BlobUploadInvalid, message),
            Error::Stopped | Error::DeleteRuns(_) | Error::PushTookTooLong => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
                    .with(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            Error::QuotaExceeded { .. } => {
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
            }
            Error::Storage(error) => storage(&error),
        }
    }
}

/// Whether the server gave up waiting for the client's bytes.
pub(super) fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        // An error that only wraps another has that one as its inner error.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// The store's own words name paths, so they go to the log.
fn storage(error: &StorageError) -> Problem {
    match error {
        StorageError::Full(_) => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::Unavailable,
            "the registry's storage is full: ask its administrator to make room",
        ),
        _ => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "the registry's storage does not work at the moment: its log says why",
        )
        .with(RETRY_AFTER, HeaderValue::from_static("5")),
    }
    .caused_by(error)
}

/// The body of every error.
#[derive(Serialize)]
struct Errors<'a> {
    errors: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'static str,
    message: &'a str,
    detail: &'a Value,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Answer {
            status,
            code,
            message,
            details,
            headers,
            cause: _,
        } = *self.0;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if status == StatusCode::NO_CONTENT {
            return response;
        }
        let details = if details.is_empty() {
            vec![Value::Null]
        } else {
            details
        };
        let code = code.as_str();
        let errors: Vec<Entry<'_>> = details
            .iter()
            .map(|detail| Entry {
                code,
                message: &message,
                detail,
            })
            .collect();
        let mut body = serde_json::to_vec(&Errors { errors }).unwrap_or_default();
        body.push(b'\n');
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Body::from(body);
        response
    }
}
