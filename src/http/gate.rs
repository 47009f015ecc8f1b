//! The way of every request: a probe? healthy? who? what? may they? Then the
//! handler.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::answer::DOCKER_API_VERSION;
use super::error::Problem;
use super::log::Facts;
use super::operation::{Operation, Resource};
use super::{
    Peer, Refusal, State, answer, blobs, catalog, manifests, referrers, tags, uploads, usage,
};
use crate::auth::{Identity, Unidentified};
use crate::observe::readiness::{self, Audience, LIVEZ, READYZ};
use crate::registry::Uploader;

/// Answers one request, whatever happens.
pub(super) async fn answer(state: Arc<State>, request: Request) -> Response {
    let answered = AssertUnwindSafe(route(&state, request))
        .catch_unwind()
        .await;
    let mut response = match answered {
        Ok(response) => response,
        Err(_) => Problem::internal("a handler panicked").into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in &state.settings.headers {
        headers.insert(name, value.clone());
    }
    response
}

async fn route(state: &State, request: Request) -> Response {
    let mut facts = Facts::default();
    let mut response = match decide(state, request, &mut facts).await {
        Ok(response) => response,
        Err(problem) => {
            facts.error = problem.cause().map(str::to_owned);
            problem.into_response()
        }
    };
    response.extensions_mut().insert(facts);
    response
}

async fn decide(
    state: &State,
    mut request: Request,
    facts: &mut Facts,
) -> Result<Response, Problem> {
    if let Some(refusal) = request.extensions_mut().remove::<Refusal>() {
        return Err(refusal.into());
    }
    let path = request.uri().path();
    // What lies outside the prefix is nothing that Operation::parse knows.
    let inner = path
        .strip_prefix(&state.settings.prefix)
        .unwrap_or_default();
    if let Some(answer) = probed(state, request.method(), path, inner).await {
        facts.quiet = true;
        return Ok(answer);
    }
    if !(state.healthy)() {
        return Err(Problem::unhealthy());
    }
    // Load balancers and charts probe this, whatever the prefix is.
    if path == "/" || inner == "/" {
        return Ok(alive());
    }
    let path = inner.to_owned();
    let identity = identify(state, request.headers()).await.map_err(|why| {
        Problem::unidentified(why, state.authenticator.challenge(), &login_host(&request))
    })?;
    if let Identity::User(user) = &identity {
        facts.user = Some(user.clone());
    }
    let query = request.uri().query().unwrap_or_default();
    let operation = Operation::parse(request.method(), &path, query, &state.settings.limits)?;
    facts.operation = operation.handler();
    facts.repository = operation.repository().map(ToString::to_string);
    facts.reference = operation.reference();
    dispatch(state, &identity, operation, request).await
}

async fn dispatch(
    state: &State,
    identity: &Identity,
    operation: Operation,
    request: Request,
) -> Result<Response, Problem> {
    let head = request.method() == Method::HEAD;
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let access = &state.access;
    let (name, resource) = match operation {
        Operation::Base => return answer::json("application/json", &serde_json::json!({})),
        Operation::Catalog { after, limit } => {
            return catalog::list(state, access.lists(identity)?, after.as_deref(), limit).await;
        }
        Operation::Usage {
            repository: Some(name),
            ..
        } => return usage::one(state, access.lists(identity)?, &name).await,
        Operation::Usage { after, limit, .. } => {
            return usage::list(state, access.lists(identity)?, after.as_deref(), limit).await;
        }
        Operation::In(name, resource) => (name, resource),
    };
    match resource {
        Resource::Tags { after, limit } => {
            tags::list(
                state,
                &access.allows(identity, &name)?,
                after.as_deref(),
                limit,
            )
            .await
        }
        Resource::Referrers {
            subject,
            artifact_type,
            after,
            limit,
        } => {
            let allowed = access.allows(identity, &name)?;
            referrers::list(
                state,
                &allowed,
                &subject,
                artifact_type.as_deref(),
                after.as_ref(),
                limit,
            )
            .await
        }
        Resource::GetManifest(reference) => {
            manifests::get(
                state,
                &access.allows(identity, &name)?,
                &reference,
                head,
                headers,
            )
            .await
        }
        Resource::PutManifest { reference, tags } => {
            manifests::put(
                state,
                &access.allows(identity, &name)?,
                &reference,
                tags,
                headers,
                body,
            )
            .await
        }
        Resource::DeleteManifest(reference) => {
            manifests::delete(state, &access.allows(identity, &name)?, &reference).await
        }
        Resource::GetBlob(digest) => {
            blobs::get(
                state,
                &access.allows(identity, &name)?,
                &digest,
                head,
                headers,
            )
            .await
        }
        Resource::DeleteBlob(digest) => {
            blobs::delete(state, &access.allows(identity, &name)?, &digest).await
        }
        Resource::StartUpload(start) => {
            uploads::start(
                state,
                &access.allows(identity, &name)?,
                identity,
                uploader(identity, parts.extensions.get()),
                start,
                headers,
                body,
            )
            .await
        }
        Resource::UploadStatus(session) => {
            uploads::status(state, &access.allows(identity, &name)?, &session).await
        }
        Resource::Append(session) => {
            let allowed = access.allows(identity, &name)?;
            uploads::append(state, &allowed, &session, headers, body).await
        }
        Resource::Finish(session, digest) => {
            uploads::finish(
                state,
                &access.allows(identity, &name)?,
                &session,
                &digest,
                headers,
                body,
            )
            .await
        }
        Resource::CancelUpload(session) => {
            uploads::cancel(state, &access.allows(identity, &name)?, &session).await
        }
    }
}

/// Whose uploads are counted together: a user's wherever they are, everybody
/// else's by their address.
fn uploader(identity: &Identity, peer: Option<&Peer>) -> Uploader {
    match (identity, peer.and_then(Peer::neighbourhood)) {
        (Identity::User(user), _) => Uploader::User(user.clone()),
        (Identity::Anonymous, Some(address)) => Uploader::Address(address),
        (Identity::Anonymous, None) => Uploader::Unknown,
    }
}

/// Two `Authorization` headers are two answers to one question: neither counts.
async fn identify(state: &State, headers: &HeaderMap) -> Result<Identity, Unidentified> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Unidentified::Wrong);
    }
    state.authenticator.identify(first).await
}

/// The answer to load balancers, who ask with and without the prefix and never
/// log in.
async fn probed(state: &State, method: &Method, path: &str, inner: &str) -> Option<Response> {
    if *method != Method::GET && *method != Method::HEAD {
        return None;
    }
    let is = |name| path == name || inner == name;
    if is(LIVEZ) {
        Some(readiness::alive())
    } else if is(READYZ) {
        Some(state.readiness.answer(Audience::Everybody).await)
    } else {
        None
    }
}

fn alive() -> Response {
    let mut response = answer::empty(StatusCode::OK);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The name by which the client reached us, for a line that can be copied;
/// what is no host name is not repeated.
fn login_host(request: &Request) -> String {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    host.filter(|host| {
        host.len() <= 255
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    })
    .unwrap_or("HOST")
    .to_owned()
}
