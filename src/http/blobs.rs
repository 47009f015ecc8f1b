//! `blobs/<digest>` (distribution-spec, "Pulling blobs", "Deleting Blobs").

use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::State;
use super::answer::{digest_headers, empty, located, value};
use super::error::Problem;
use super::ranges::{Selection, select};
use crate::access::{Allowed, Delete, Pull};
use crate::oci::{Digest, ErrorCode};
use crate::registry::{Blob, BlobSource, Reading};

const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Content under its digest never changes, and a proxy that recodes it breaks it.
pub(super) const FOREVER: HeaderValue =
    HeaderValue::from_static("max-age=31536000, immutable, no-transform");

pub(super) async fn get(
    state: &State,
    allowed: &Allowed<Pull>,
    digest: &Digest,
    head: bool,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let repository = state.registry.repository(allowed.repository());
    if head {
        let size = repository.promised_size(digest).await?;
        let mut response = whole(digest, size, Body::empty())?;
        if let Some(status) = precondition(request, digest) {
            response = conditional(status, digest, FOREVER)?;
        }
        return Ok(response);
    }
    if let Some(status) = precondition(request, digest) {
        repository.blob_size(digest).await?;
        return conditional(status, digest, FOREVER);
    }
    let range = request
        .get(RANGE)
        .filter(|_| if_range_holds(request, digest))
        .and_then(|range| range.to_str().ok());
    let most = state.settings.limits.ranges;
    let selected = |size| range.map_or(Selection::Whole, |text| select(text, size, most));
    let reading = match range {
        None => Reading::Whole,
        Some(_) => Reading::Parts,
    };
    let blob = match repository.blob_source(digest, reading).await? {
        BlobSource::Here(blob) => blob,
        BlobSource::Elsewhere { address, size } => match selected(size) {
            Selection::Unsatisfiable => return unsatisfiable(size),
            // Object stores send one range at most.
            Selection::Parts(_) if range.is_some_and(|text| text.contains(',')) => {
                repository.blob(digest, reading).await?
            }
            Selection::Whole | Selection::Parts(_) => return elsewhere(digest, &address),
        },
    };
    match selected(blob.size()) {
        Selection::Whole => whole(
            digest,
            blob.size(),
            Body::from_stream(blob.read(0..blob.size())),
        ),
        Selection::Unsatisfiable => unsatisfiable(blob.size()),
        Selection::Parts(parts) => match <[Range<u64>; 1]>::try_from(parts) {
            Ok([part]) => single(digest, &blob, part),
            Err(parts) => multipart(digest, &blob, &parts),
        },
    }
}

/// Sends the client to the store. The address grants access, so that nobody may
/// keep it.
fn elsewhere(digest: &Digest, address: &str) -> Result<Response, Problem> {
    let mut response = located(StatusCode::TEMPORARY_REDIRECT, value(address)?);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    digest_headers(headers, digest)?;
    Ok(response)
}

pub(super) async fn delete(
    state: &State,
    allowed: &Allowed<Delete>,
    digest: &Digest,
) -> Result<Response, Problem> {
    state
        .registry
        .repository(allowed.repository())
        .delete_blob(digest)
        .await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// The status that `If-Match` or `If-None-Match` demands (RFC 9110, 13.2.2).
pub(super) fn precondition(request: &HeaderMap, digest: &Digest) -> Option<StatusCode> {
    if request.contains_key(IF_MATCH) && !names(request, &IF_MATCH, digest) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    names(request, &IF_NONE_MATCH, digest).then_some(StatusCode::NOT_MODIFIED)
}

/// An answer to a request whose condition decides. A 304 has to say what the
/// 200 would have said of caching (RFC 9110, 15.4.5).
pub(super) fn conditional(
    status: StatusCode,
    digest: &Digest,
    caching: HeaderValue,
) -> Result<Response, Problem> {
    let mut response = match status {
        StatusCode::PRECONDITION_FAILED => {
            let message = format!("the content is {digest}, which is not what If-Match asks for");
            Problem::new(status, ErrorCode::Unsupported, message).into_response()
        }
        _ => empty(status),
    };
    response.headers_mut().insert(ETAG, etag(digest)?);
    response.headers_mut().insert(CACHE_CONTROL, caching);
    digest_headers(response.headers_mut(), digest)?;
    Ok(response)
}

/// The entity tag of content: its digest.
pub(super) fn etag(digest: &Digest) -> Result<HeaderValue, Problem> {
    value(format_args!("\"{digest}\""))
}

/// Whether a header of entity tags names `digest`; registry:2 takes it without
/// quotes too.
fn names(request: &HeaderMap, header: &HeaderName, digest: &Digest) -> bool {
    let digest = digest.to_string();
    request
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|tag| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag.trim_matches('"') == digest
        })
}

/// `If-Range` takes a strong entity tag; a date never matches, since blobs have none.
fn if_range_holds(request: &HeaderMap, digest: &Digest) -> bool {
    match request.get(IF_RANGE) {
        None => true,
        Some(tag) => tag
            .to_str()
            .is_ok_and(|tag| tag.trim_matches('"') == digest.to_string()),
    }
}

fn whole(digest: &Digest, size: u64, body: Body) -> Result<Response, Problem> {
    let mut response = content(digest, size, body)?;
    response.headers_mut().insert(CONTENT_TYPE, OCTET_STREAM);
    Ok(response)
}

fn single(digest: &Digest, blob: &Blob, part: Range<u64>) -> Result<Response, Problem> {
    let range = content_range(&part, blob.size());
    let mut response = whole(
        digest,
        part.end - part.start,
        Body::from_stream(blob.read(part)),
    )?;
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response.headers_mut().insert(CONTENT_RANGE, value(range)?);
    Ok(response)
}

/// `multipart/byteranges` (RFC 9110, section 14.6), its length known in advance.
fn multipart(digest: &Digest, blob: &Blob, parts: &[Range<u64>]) -> Result<Response, Problem> {
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let head = |part: &Range<u64>| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n\r\n",
            content_range(part, blob.size())
        )
    };
    let tail = format!("\r\n--{boundary}--\r\n");
    let length: u64 = parts
        .iter()
        .map(|part| head(part).len() as u64 + (part.end - part.start))
        .sum::<u64>()
        + tail.len() as u64;
    let pieces: Vec<_> = parts
        .iter()
        .map(|part| {
            let head = stream::iter([Ok(Bytes::from(head(part)))]);
            head.chain(blob.read(part.clone())).boxed()
        })
        .collect();
    let body = stream::iter(pieces)
        .flatten()
        .chain(stream::iter([Ok(Bytes::from(tail))]));
    let mut response = content(digest, length, Body::from_stream(body))?;
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response.headers_mut().insert(
        CONTENT_TYPE,
        value(format_args!("multipart/byteranges; boundary={boundary}"))?,
    );
    Ok(response)
}

fn unsatisfiable(size: u64) -> Result<Response, Problem> {
    let message = format!("the blob has {size} bytes, and none of them is in the range");
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let size = value(format_args!("bytes */{size}"))?;
    Err(Problem::new(status, ErrorCode::SizeInvalid, message).with(CONTENT_RANGE, size))
}

fn content(digest: &Digest, length: u64, body: Body) -> Result<Response, Problem> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, FOREVER);
    headers.insert(ETAG, etag(digest)?);
    digest_headers(headers, digest)?;
    Ok(response)
}

fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1))
}
