//! Incoming bodies: as a stream into the store, or whole within a bound.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::error::{Problem, timed_out};
use crate::oci::ErrorCode;
use crate::storage::ByteStream;

/// A body as the store takes it: never whole in memory.
pub(super) fn stream(body: Body) -> ByteStream {
    Box::pin(
        body.into_data_stream()
            .map(|chunk| chunk.map_err(io::Error::other)),
    )
}

/// The whole body, of at most `limit` bytes. A body that is announced as
/// larger is refused before any of it is read.
pub(super) async fn whole(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    if length(headers).is_some_and(|length| length > limit as u64) {
        return Err(Problem::too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
        Err(error) if timed_out(&*error) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::SizeInvalid,
            "the content stopped coming",
        )),
        Err(error) => Err(Problem::bad_request(
            ErrorCode::SizeInvalid,
            format!("the content broke off: {error}"),
        )),
    }
}

/// `Content-Length`, if there is one.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
