//! Requests that the server refuses before their path is looked at: answered
//! here all the same, so that they have the form of every error, the headers
//! that every answer has, and their line in the log.

use axum::response::{IntoResponse, Response};
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};

use super::error::Problem;
use crate::oci::ErrorCode;

/// Why a request is refused: an extension of the request, whose connection is
/// closed afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// Its code.
    pub code: ErrorCode,
    /// What is wrong, and what to do.
    pub message: String,
    /// More about it, for the log.
    pub cause: Option<String>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.status, refusal.code, refusal.message)
            .with(CONNECTION, HeaderValue::from_static("close"));
        match refusal.cause {
            Some(cause) => problem.caused_by(cause),
            None => problem,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
