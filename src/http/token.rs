//! `/token`: a token for whoever has logged in, cut down to what they may
//! (distribution's "Token Authentication Specification" and its "OAuth 2.0"
//! companion).

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use super::error::Problem;
use super::gate::identify;
use super::log::Facts;
use super::query::Query;
use super::{Origin, State, answer, body};
use crate::auth::Unidentified;
use crate::auth::caller::{Caller, Scope};
use crate::oci::{Action, Actions, ErrorCode, RepositoryName};

/// The longest form, in bytes: a password may be a workload's ID token.
const MAX_FORM: usize = 64 * 1024;

/// The most parameters, and the most scopes: with names of full length, their
/// token still fits into a header.
const MAX_PARAMETERS: usize = 64;
const MAX_SCOPES: usize = 32;

/// One scope that was asked for.
enum Wanted {
    Repository(RepositoryName, Actions),
    Catalog,
}

/// Answers a request for a token.
pub(super) async fn give(
    state: &State,
    origin: &Origin,
    request: Request,
    facts: &mut Facts,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = match asked(&parts, body).await? {
        Ok(asked) => asked,
        Err(refusal) => return Ok(refusal),
    };
    let caller = match identify(state, &asked.headers, origin).await {
        // Who has only a token gets no other by it: it would never end.
        Ok(caller) if caller.scope.is_some() => {
            return Err(refused(state, origin, Unidentified::Wrong));
        }
        Ok(caller) => caller,
        Err(Unidentified::Missing) if state.access.welcomes_anonymous() => Caller::anonymous(),
        Err(why) => return Err(refused(state, origin, why)),
    };
    if !caller.is_anonymous() {
        facts.user = Some(caller.identity.to_string());
    }
    let scope = cut(state, &caller, wanted(&asked.query)?);
    let issued = state.authenticator.issue(&caller, &scope).await;
    let issued = issued
        .map_err(|error| refused(state, origin, Unidentified::Unavailable).caused_by(error))?
        .ok_or_else(|| Problem::internal("tokens were just switched off"))?;
    let time = Timestamp::try_from(issued.issued_at).map_err(Problem::internal)?;
    let mut response = answer::json(
        "application/json",
        &json!({
            "token": issued.token,
            "access_token": issued.token,
            "expires_in": issued.lifetime.as_secs(),
            "issued_at": format!("{time:.0}"),
        }),
    )?;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A request for a token, whichever way it came.
struct Asked {
    query: Query,
    /// With the credentials of the form, if they stand there.
    headers: HeaderMap,
}

/// Reads the query of a `GET`, or the form of a `POST`; an answer in OAuth's
/// own words where the form is for something that isn't here.
async fn asked(parts: &Parts, body: Body) -> Result<Result<Asked, Response>, Problem> {
    let mut headers = parts.headers.clone();
    if parts.method != Method::POST {
        let query = Query::parse(parts.uri.query().unwrap_or_default(), MAX_PARAMETERS)?;
        return Ok(Ok(Asked { query, headers }));
    }
    let form = body::whole(&parts.headers, body, MAX_FORM).await?;
    let form = std::str::from_utf8(&form).map_err(|_| bad("the form is not UTF-8"))?;
    let query = Query::parse(form, MAX_PARAMETERS)?;
    match query.get("grant_type") {
        Some("password") => {}
        Some(other) => {
            let words = match other {
                "refresh_token" => {
                    "refresh tokens are not given out: log in by user name and password"
                }
                _ => "only `password` is known here",
            };
            return oauth("unsupported_grant_type", words).map(Err);
        }
        None => return oauth("invalid_request", "the form needs `grant_type=password`").map(Err),
    }
    if let (Some(user), Some(password)) = (query.get("username"), query.get("password")) {
        let pair = Zeroizing::new(STANDARD.encode(Zeroizing::new(format!("{user}:{password}"))));
        let basic = Zeroizing::new(format!("Basic {}", *pair));
        let mut basic = HeaderValue::try_from(&*basic).map_err(Problem::internal)?;
        basic.set_sensitive(true);
        headers.insert(AUTHORIZATION, basic);
    }
    Ok(Ok(Asked { query, headers }))
}

/// An error of OAuth (RFC 6749 section 5.2).
fn oauth(error: &str, words: &str) -> Result<Response, Problem> {
    let mut response = answer::json(
        "application/json",
        &json!({ "error": error, "error_description": words }),
    )?;
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The scopes of a request, each in a parameter of its own or several in one;
/// those of unknown kinds are left out.
fn wanted(query: &Query) -> Result<Vec<Wanted>, Problem> {
    let texts = query.all("scope").flat_map(|scopes| scopes.split(' '));
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    if texts.len() > MAX_SCOPES {
        return Err(bad(format!(
            "a token can be for {MAX_SCOPES} scopes at most"
        )));
    }
    Ok(texts.into_iter().filter_map(parse).collect())
}

/// `repository:<name>:<actions>`, with a class behind the kind if it likes, or
/// `registry:catalog:*`.
fn parse(text: &str) -> Option<Wanted> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let words = || actions.split(',').map(str::trim);
    let all = words().any(|word| word == "*");
    match kind.split_once('(').map_or(kind, |(kind, _)| kind) {
        "repository" => {
            let known = words().filter_map(|word| word.parse::<Action>().ok());
            let actions = if all { Actions::ALL } else { known.collect() };
            Some(Wanted::Repository(name.parse().ok()?, actions))
        }
        "registry" if name == "catalog" && all => Some(Wanted::Catalog),
        _ => None,
    }
}

/// What is left of the scopes by what the caller may now.
fn cut(state: &State, caller: &Caller, wanted: Vec<Wanted>) -> Scope {
    let mut scope = Scope::default();
    for wanted in wanted {
        match wanted {
            Wanted::Repository(name, actions) => {
                let may = state.access.decide(caller, &name).actions.and(actions);
                if !may.is_empty() {
                    scope.repositories.push((name, may));
                }
            }
            Wanted::Catalog => scope.catalog = state.access.lists(caller).is_ok(),
        }
    }
    scope
}

/// Here a password is asked for, not a token.
fn refused(state: &State, origin: &Origin, why: Unidentified) -> Problem {
    let challenges = state.authenticator.challenge_for_token();
    let host = origin.host.as_deref().unwrap_or("HOST");
    Problem::unidentified(why, challenges, host)
}

fn bad(words: impl Into<String>) -> Problem {
    Problem::bad_request(ErrorCode::Unsupported, words)
}
