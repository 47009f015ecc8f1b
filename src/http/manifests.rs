//! `manifests/<reference>` (distribution-spec, "Pulling manifests", "Pushing
//! manifests", "Deleting manifests", "Deleting tags").

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::State;
use super::answer::{OCI_SUBJECT, OCI_TAG, digest_headers, empty, located, value, warn};
use super::audit::Moved;
use super::blobs::{FOREVER, conditional, etag, precondition};
use super::body;
use super::error::Problem;
use crate::access::{Allowed, Delete, Pull, Push};
use crate::oci::{ErrorCode, Reference, Tag};

pub(super) async fn get(
    state: &State,
    allowed: &Allowed<Pull>,
    reference: &Reference,
    head: bool,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let repository = state.registry.repository(allowed.repository());
    let manifest = repository.manifest(reference).await?;
    repository.note_pull(reference, &manifest.digest, head);
    let caching = match reference {
        Reference::Digest(_) => FOREVER,
        Reference::Tag(_) => HeaderValue::from_static("no-cache, no-transform"),
    };
    if let Some(status) = precondition(request, &manifest.digest) {
        return conditional(status, &manifest.digest, caching);
    }
    let size = manifest.content.len();
    let mut response = Response::new(if head {
        Body::empty()
    } else {
        Body::from(manifest.content)
    });
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(manifest.media_type.as_str()),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(ETAG, etag(&manifest.digest)?);
    headers.insert(CACHE_CONTROL, caching);
    digest_headers(headers, &manifest.digest)?;
    Ok(response)
}

pub(super) async fn put(
    state: &State,
    allowed: &Allowed<Push>,
    reference: &Reference,
    tags: Vec<Tag>,
    request: &HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let content_type = match request.get(CONTENT_TYPE).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => {
            return Err(Problem::bad_request(
                ErrorCode::ManifestInvalid,
                "the Content-Type is no media type",
            ));
        }
    };
    let most = state.registry.settings().limits.manifest.size;
    let content = body::whole(request, content, most).await?;
    let name = allowed.repository();
    let accepted = if matches!(reference, Reference::Digest(_)) {
        tags.clone()
    } else {
        Vec::new()
    };
    let repository = state.registry.repository(name);
    let repository = match allowed.moves_tags() {
        true => repository,
        false => repository.creating(),
    };
    let put = repository
        .put_manifest(reference, tags, content_type, content)
        .await?;

    let mut response = located(
        StatusCode::CREATED,
        state.locations().manifest(name, &put.digest)?,
    );
    if !put.moved.is_empty() {
        response.extensions_mut().insert(Moved(put.moved));
    }
    let headers = response.headers_mut();
    digest_headers(headers, &put.digest)?;
    if let Some(subject) = &put.subject {
        headers.insert(OCI_SUBJECT, value(subject)?);
    }
    for tag in &accepted {
        headers.append(OCI_TAG, value(tag)?);
    }
    if is_fallback_tag(reference) {
        warn(
            &mut response,
            "this registry lists referrers by itself: an index under a sha256-… tag is not needed",
        );
    }
    Ok(response)
}

pub(super) async fn delete(
    state: &State,
    allowed: &Allowed<Delete>,
    reference: &Reference,
) -> Result<Response, Problem> {
    let repository = state.registry.repository(allowed.repository());
    match reference {
        Reference::Digest(digest) => repository.delete_manifest(digest).await?,
        Reference::Tag(tag) => repository.delete_tag(tag).await?,
    }
    Ok(empty(StatusCode::ACCEPTED))
}

/// Whether it is the tag of an index of referrers (distribution-spec,
/// "Referrers Tag Schema").
fn is_fallback_tag(reference: &Reference) -> bool {
    let Reference::Tag(tag) = reference else {
        return false;
    };
    ["sha256-", "sha512-"].iter().any(|algorithm| {
        let hex = tag.as_str().strip_prefix(algorithm);
        hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}
