//! `blobs/uploads/` (distribution-spec, "Pushing blobs", "Mounting a blob from
//! another repository").

use axum::body::Body;
use axum::response::Response;
use http::header::{LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::State;
use super::answer::{DOCKER_UPLOAD_UUID, digest_headers, empty, located, value};
use super::error::Problem;
use super::operation::{Session, Start};
use super::{body, ranges};
use crate::access::{Allowed, Push};
use crate::auth::caller::Caller;
use crate::oci::{Digest, RepositoryName, UploadId};
use crate::registry::{Error, Uploader};

pub(super) async fn start(
    state: &State,
    allowed: &Allowed<Push>,
    caller: &Caller,
    uploader: Uploader,
    start: Start,
    headers: &HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let repository = state.registry.repository(name).for_uploader(uploader);
    let repository = repository.announcing(body::length(headers));
    let algorithm = match start {
        Start::Whole(digest) => {
            repository.put_blob(&digest, body::stream(content)).await?;
            return stored(state, name, &digest);
        }
        Start::Mount { digest, from } => {
            if mounted(state, allowed, caller, &digest, from.as_ref()).await? {
                return stored(state, name, &digest);
            }
            // What cannot be mounted is uploaded instead.
            Some(digest.algorithm())
        }
        Start::Session(algorithm) => algorithm,
    };
    let id = repository.start_upload(algorithm).await?;
    progress(state, StatusCode::ACCEPTED, name, &id, 0)
}

pub(super) async fn status(
    state: &State,
    allowed: &Allowed<Push>,
    session: &Session,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let repository = state.registry.repository(name);
    let size = repository.upload_size(&session.id).await;
    let size = size.map_err(|error| refused(state, name, session, error))?;
    progress(state, StatusCode::NO_CONTENT, name, &session.id, size)
}

pub(super) async fn append(
    state: &State,
    allowed: &Allowed<Push>,
    session: &Session,
    headers: &HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let range = ranges::chunk(headers)?;
    let appended = state
        .registry
        .repository(name)
        .announcing(body::length(headers))
        .append(&session.id, range, body::stream(content))
        .await;
    let size = appended.map_err(|error| refused(state, name, session, error))?;
    progress(state, StatusCode::ACCEPTED, name, &session.id, size)
}

pub(super) async fn finish(
    state: &State,
    allowed: &Allowed<Push>,
    session: &Session,
    digest: &Digest,
    headers: &HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let range = ranges::chunk(headers)?;
    let finished = state
        .registry
        .repository(name)
        .announcing(body::length(headers))
        .finish(&session.id, digest, range, body::stream(content))
        .await;
    finished.map_err(|error| refused(state, name, session, error))?;
    stored(state, name, digest)
}

pub(super) async fn cancel(
    state: &State,
    allowed: &Allowed<Push>,
    session: &Session,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let repository = state.registry.repository(name);
    let cancelled = repository.cancel_upload(&session.id).await;
    cancelled.map_err(|error| refused(state, name, session, error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Whether the blob could be taken over from a repository that the caller may
/// pull. Whoever may not pull the source must not learn what is in it.
async fn mounted(
    state: &State,
    allowed: &Allowed<Push>,
    caller: &Caller,
    digest: &Digest,
    from: Option<&RepositoryName>,
) -> Result<bool, Problem> {
    let repository = state.registry.repository(allowed.repository());
    let sources = state.access.pulls(caller);
    Ok(match from {
        Some(from) => sources.sees(from) && repository.mount(digest, from).await?,
        None => repository.mount_from_any(digest, &sources).await?,
    })
}

/// The blob is there: 201 and where it can be pulled.
fn stored(state: &State, name: &RepositoryName, digest: &Digest) -> Result<Response, Problem> {
    let mut response = located(StatusCode::CREATED, state.locations().blob(name, digest)?);
    digest_headers(response.headers_mut(), digest)?;
    Ok(response)
}

/// Where the upload goes on, and how far it is.
fn progress(
    state: &State,
    status: StatusCode,
    name: &RepositoryName,
    id: &UploadId,
    size: u64,
) -> Result<Response, Problem> {
    let mut response = located(status, state.locations().upload(name, id)?);
    let headers = response.headers_mut();
    headers.insert(RANGE, received(size)?);
    headers.insert(DOCKER_UPLOAD_UUID, value(id)?);
    Ok(response)
}

/// `0-<last byte>`; nothing at all is `0-0` to registry:2's clients.
fn received(size: u64) -> Result<HeaderValue, Problem> {
    value(format_args!("0-{}", size.saturating_sub(1)))
}

/// A chunk out of order is told how far the upload is, so that the client can
/// go on from there. An upload that was begun on another store is told as what
/// it is: nobody would guess it from an unknown upload.
fn refused(state: &State, name: &RepositoryName, session: &Session, error: Error) -> Problem {
    let size = match (&error, session.store, state.registry.store_id()) {
        (Error::ChunkOutOfOrder { size, .. }, ..) => *size,
        (Error::UploadUnknown, Some(theirs), Some(ours)) if theirs != ours => {
            return Problem::other_store(theirs, ours);
        }
        _ => return error.into(),
    };
    let problem = Problem::from(error);
    match (state.locations().upload(name, &session.id), received(size)) {
        (Ok(location), Ok(range)) => problem.with(LOCATION, location).with(RANGE, range),
        _ => problem,
    }
}
