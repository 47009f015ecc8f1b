//! The way of every request: a probe? healthy? who? what? may they? Then the
//! handler.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::answer::DOCKER_API_VERSION;
use super::error::Problem;
use super::log::Facts;
use super::operation::{Operation, Resource, Session};
use super::standing::{Over, Standing};
use super::{
    Origin, Refusal, State, answer, audit, blobs, catalog, manifests, referrers, tags, token,
    uploads, usage,
};
use crate::access::{Allowed, Denied, Push, Right, Visible};
use crate::auth::caller::{Caller, Identity, Needed};
use crate::auth::{Asked, Shown, Unidentified};
use crate::observe::readiness::{self, Audience, LIVEZ, READYZ};
use crate::oci::RepositoryName;
use crate::registry::Uploader;

/// Answers one request, whatever happens.
pub(super) async fn answer(live: Arc<ArcSwap<State>>, request: Request) -> Response {
    let state = live.load_full();
    let answered = AssertUnwindSafe(route(&live, &state, request))
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

async fn route(live: &Arc<ArcSwap<State>>, state: &State, request: Request) -> Response {
    let mut facts = Facts::default();
    let telling = state.auditing.begin(&request);
    let outcome = decide(live, state, request, &mut facts).await;
    if let Some(telling) = telling {
        for entry in telling.entries(state, &facts, &outcome) {
            state.auditing.log().write(&entry).await;
        }
    }
    let mut response = match outcome {
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
    live: &Arc<ArcSwap<State>>,
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
    let query = request.uri().query().unwrap_or_default();
    let operation = Operation::parse(request.method(), &path, query, &state.settings.limits);
    let gives_tokens = state.authenticator.gives_tokens();
    let operation = match operation {
        Ok(Operation::Token) if gives_tokens => {
            facts.operation = Operation::Token.handler();
            let origin = Origin::told(&request);
            return token::give(state, &origin, request, facts).await;
        }
        Ok(Operation::Token) => Err(Problem::nowhere()),
        other => other,
    };
    let needed = operation
        .as_ref()
        .map_or_else(|_| Vec::new(), Operation::needs);
    let origin = Origin::told(&request);
    let login = Login {
        state,
        needed,
        origin: &origin,
        token: shows_token(request.headers()),
    };
    let caller = match identify(state, request.headers(), &origin).await {
        // A token that was given when rules let everybody in.
        Ok(caller) if caller.is_anonymous() && is_closed(state) => {
            return Err(login.asked(Unidentified::Missing));
        }
        Ok(caller) => caller,
        // Rules may let them in all the same; the base is where clients learn
        // how to log in.
        Err(Unidentified::Missing) if state.access.welcomes_anonymous() => {
            if matches!(operation, Ok(Operation::Base)) {
                return Err(login.asked(Unidentified::Missing));
            }
            Caller::anonymous()
        }
        Err(why) => {
            if why != Unidentified::Missing {
                facts.audit.failed_login = Some(why.to_string());
            }
            return Err(login.asked(why));
        }
    };
    facts.audit.how = Some(audit::how(&caller, request.headers()));
    if !caller.is_anonymous() {
        facts.user = Some(caller.identity.to_string());
    }
    // What is wrong with a request is told to who may ask.
    let operation = match operation {
        Err(_) if caller.is_anonymous() && state.authenticator.asks() => {
            return Err(login.asked(Unidentified::Missing));
        }
        operation => operation?,
    };
    facts.operation = operation.handler();
    facts.repository = operation.repository().map(ToString::to_string);
    facts.reference = operation.reference();
    let asking = Asking {
        live,
        login: &login,
        caller: Arc::new(caller),
        ground: OnceLock::new(),
    };
    let outcome = dispatch(state, &asking, operation, request).await;
    if let Some((ground, denied)) = asking.ground.into_inner() {
        facts.audit.ground = Some(ground);
        facts.audit.denied = denied;
    }
    outcome
}

/// What asks a client to log in, or to come with a wider token.
struct Login<'a> {
    state: &'a State,
    needed: Vec<Needed>,
    origin: &'a Origin,
    /// Whether the client shows a Bearer token.
    token: bool,
}

impl Login<'_> {
    fn asked(&self, why: Unidentified) -> Problem {
        let url = self.origin.url(&self.state.settings);
        let challenges = self.state.authenticator.challenges(&Asked {
            needed: &self.needed,
            why,
            token: self.token,
            url: url.as_deref(),
            prefix: &self.state.settings.prefix,
        });
        // A line that can be copied, or where to fill in the name.
        let host = self.origin.host.as_deref().unwrap_or("HOST");
        Problem::unidentified(why, challenges, host)
    }
}

/// A request whose caller is known.
struct Asking<'a> {
    live: &'a Arc<ArcSwap<State>>,
    login: &'a Login<'a>,
    caller: Arc<Caller>,
    /// What the first decision rests on, and whether it was a refusal.
    ground: OnceLock<(String, bool)>,
}

impl Asking<'_> {
    /// The proof of a right in a repository.
    fn right<R: Right>(&self, name: &RepositoryName) -> Result<Allowed<R>, Problem> {
        let access = &self.login.state.access;
        access
            .allows(&self.caller, name)
            .inspect(|allowed: &Allowed<R>| {
                let _ = self.ground.set((allowed.ground().to_string(), false));
            })
            .map_err(|denied| self.refused(denied))
    }

    /// The proof of the right to list repositories.
    fn lists(&self) -> Result<Visible, Problem> {
        let access = &self.login.state.access;
        access
            .lists(&self.caller)
            .map_err(|denied| self.refused(denied))
    }

    /// Who might do it with a login is asked for one; a refusal is for who has
    /// shown everything.
    fn refused(&self, denied: Denied) -> Problem {
        let _ = self.ground.set((denied.ground.to_string(), true));
        if self.caller.is_anonymous() && self.login.state.authenticator.asks() {
            return self.login.asked(Unidentified::Missing);
        }
        if denied.scope {
            return self.login.asked(Unidentified::Narrow);
        }
        denied.into()
    }

    /// What becomes of the request when its caller falls while it runs.
    fn standing<R: Right>(&self, allowed: &Allowed<R>) -> Standing {
        Standing::of(self.live, &self.caller, allowed)
    }

    /// The outcome of a request that took data in: a refusal, if its caller
    /// fell meanwhile.
    fn verdict(
        &self,
        standing: &Standing,
        outcome: Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        match standing.over() {
            None => outcome,
            Some(Over::Unidentified) => Err(self.login.asked(Unidentified::Wrong)),
            Some(Over::Denied(denied)) => Err(self.refused(denied.clone())),
        }
    }
}

async fn dispatch(
    state: &State,
    asking: &Asking<'_>,
    operation: Operation,
    request: Request,
) -> Result<Response, Problem> {
    let head = request.method() == Method::HEAD;
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let (name, resource) = match operation {
        // Answered before: its caller shows a password, perhaps in the body.
        Operation::Token => return Err(Problem::nowhere()),
        Operation::Base => return answer::json("application/json", &serde_json::json!({})),
        Operation::Catalog { after, limit } => {
            return catalog::list(state, &asking.lists()?, after.as_deref(), limit).await;
        }
        Operation::Usage {
            repository: Some(name),
            ..
        } => return usage::one(state, &asking.lists()?, &asking.right(&name)?).await,
        Operation::Usage { after, limit, .. } => {
            return usage::list(state, &asking.lists()?, after.as_deref(), limit).await;
        }
        Operation::In(name, resource) => (name, resource),
    };
    let uploader = uploader(&asking.caller.identity, asking.login.origin);
    let owner = uploader.owner().to_owned();
    match resource {
        Resource::Tags { after, limit } => {
            tags::list(state, &asking.right(&name)?, after.as_deref(), limit).await
        }
        Resource::Referrers {
            subject,
            artifact_type,
            after,
            limit,
        } => {
            referrers::list(
                state,
                &asking.right(&name)?,
                &subject,
                artifact_type.as_deref(),
                after.as_ref(),
                limit,
            )
            .await
        }
        Resource::GetManifest(reference) => {
            manifests::get(state, &asking.right(&name)?, &reference, head, headers).await
        }
        Resource::PutManifest { reference, tags } => {
            let allowed = asking.right(&name)?;
            let standing = asking.standing(&allowed);
            let body = standing.receiving(body);
            let put = manifests::put(state, &allowed, &reference, tags, headers, body).await;
            asking.verdict(&standing, put)
        }
        Resource::DeleteManifest(reference) => {
            manifests::delete(state, &asking.right(&name)?, &reference).await
        }
        Resource::GetBlob(digest) => {
            let allowed = asking.right(&name)?;
            let response = blobs::get(state, &allowed, &digest, head, headers).await?;
            Ok(asking.standing(&allowed).sending(response))
        }
        Resource::DeleteBlob(digest) => blobs::delete(state, &asking.right(&name)?, &digest).await,
        Resource::StartUpload(start) => {
            let allowed = asking.right(&name)?;
            let caller = &asking.caller;
            let standing = asking.standing(&allowed);
            let body = standing.receiving(body);
            let started =
                uploads::start(state, &allowed, caller, uploader, start, headers, body).await;
            asking.verdict(&standing, started)
        }
        Resource::UploadStatus(session) => {
            uploads::status(
                state,
                &own_upload(asking, &name, &session, &owner)?,
                &session,
            )
            .await
        }
        Resource::Append(session) => {
            let allowed = own_upload(asking, &name, &session, &owner)?;
            let standing = asking.standing(&allowed);
            let body = standing.receiving(body);
            let appended = uploads::append(state, &allowed, &session, headers, body).await;
            asking.verdict(&standing, appended)
        }
        Resource::Finish(session, digest) => {
            let allowed = own_upload(asking, &name, &session, &owner)?;
            let standing = asking.standing(&allowed);
            let body = standing.receiving(body);
            let finished = uploads::finish(state, &allowed, &session, &digest, headers, body).await;
            asking.verdict(&standing, finished)
        }
        Resource::CancelUpload(session) => {
            uploads::cancel(
                state,
                &own_upload(asking, &name, &session, &owner)?,
                &session,
            )
            .await
        }
    }
}

/// The proof that the caller may push, and that the upload is their own: to
/// everybody else it is unknown.
fn own_upload(
    asking: &Asking<'_>,
    name: &RepositoryName,
    session: &Session,
    owner: &str,
) -> Result<Allowed<Push>, Problem> {
    let allowed = asking.right(name)?;
    match session.id.may_be_of(owner) {
        true => Ok(allowed),
        false => Err(crate::registry::Error::UploadUnknown.into()),
    }
}

/// Whose uploads are counted together: a user's wherever they are, everybody
/// else's by their address.
fn uploader(identity: &Identity, origin: &Origin) -> Uploader {
    match (identity, origin.neighbourhood()) {
        (Identity::Anonymous, Some(address)) => Uploader::Address(address),
        (Identity::Anonymous, None) => Uploader::Unknown,
        (known, _) => Uploader::User(known.to_string()),
    }
}

/// Whether nobody may do anything without a login.
fn is_closed(state: &State) -> bool {
    state.authenticator.asks() && !state.access.welcomes_anonymous()
}

fn shows_token(headers: &HeaderMap) -> bool {
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    shown
        .and_then(|shown| shown.get(.."bearer".len()))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// Two `Authorization` headers are two answers to one question: neither counts.
pub(super) async fn identify(
    state: &State,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<Caller, Unidentified> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Unidentified::Wrong);
    }
    let shown = Shown {
        authorization: first,
        address: origin.neighbourhood(),
    };
    state.authenticator.identify(shown).await
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
