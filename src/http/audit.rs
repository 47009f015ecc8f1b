//! What the audit log is told of a request: gathered by the gate, written once
//! the outcome is known.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, StatusCode};

use super::answer::DOCKER_CONTENT_DIGEST;
use super::error::Problem;
use super::log::{Facts, RequestId};
use super::{Origin, State};
use crate::auth::caller::{Caller, Identity};
use crate::auth::claimed_user;
use crate::observe::audit::{Audit, Entry, Event, Outcome};
use crate::oci::{Digest, Tag};

/// How long a login counts as the same: as long as a password is remembered.
const SAME_LOGIN: Duration = Duration::from_secs(5 * 60);

/// Logins that are remembered.
const LOGINS: usize = 4096;

/// What the gate finds out for the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// How the caller is known; `None` if they aren't.
    pub how: Option<&'static str>,
    /// Why they could not be identified.
    pub failed_login: Option<String>,
    /// What the decision rests on.
    pub ground: Option<String>,
    /// Whether it was a refusal.
    pub denied: bool,
}

/// Tags that a push has moved, and what they named before: an extension of the
/// answer.
#[derive(Debug, Clone)]
pub(super) struct Moved(pub(super) Vec<(Tag, Digest)>);

/// The audit log and the logins that it knows.
#[derive(Debug, Default)]
pub struct Auditing {
    log: Audit,
    seed: RandomState,
    logins: Mutex<HashMap<u64, Instant>>,
}

/// A request that is audited.
pub(super) struct Telling {
    entry: Entry,
    claimed: Option<String>,
    login: Option<u64>,
}

impl Auditing {
    /// Tells this log.
    pub fn new(log: Audit) -> Self {
        Self {
            log,
            ..Self::default()
        }
    }

    /// The log itself.
    pub fn log(&self) -> &Audit {
        &self.log
    }

    /// Begins with a request; nothing where nothing is audited.
    pub(super) fn begin(&self, request: &Request) -> Option<Telling> {
        if !self.log.is_on() {
            return None;
        }
        let headers = request.headers();
        let address = Origin::told(request).address;
        let shown = headers.get(AUTHORIZATION);
        let agent = headers.get(USER_AGENT);
        let id = request.extensions().get::<RequestId>();
        Some(Telling {
            claimed: shown.and_then(claimed_user),
            login: shown.map(|shown| self.seed.hash_one((shown.as_bytes(), address))),
            entry: Entry {
                event: Event::Login,
                outcome: Outcome::Success,
                user: None,
                how: None,
                address: address.map(|address| address.to_string()),
                method: Entry::bounded(request.method().as_str()),
                operation: "",
                repository: None,
                reference: None,
                digest: None,
                old_digest: None,
                rule: None,
                reason: None,
                request_id: id.map(ToString::to_string),
                user_agent: agent
                    .map(|agent| Entry::bounded(&String::from_utf8_lossy(agent.as_bytes()))),
            },
        })
    }

    /// Whether this is the first time in a while that a credential is shown
    /// from an address.
    fn is_new(&self, login: u64) -> bool {
        let now = Instant::now();
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.get(&login).is_some_and(|until| *until > now) {
            return false;
        }
        if logins.len() >= LOGINS {
            logins.retain(|_, until| *until > now);
        }
        if logins.len() >= LOGINS {
            logins.clear();
        }
        logins.insert(login, now + SAME_LOGIN);
        true
    }
}

impl Telling {
    /// What there is to write about it, in order.
    pub(super) fn entries(
        mut self,
        state: &State,
        facts: &Facts,
        outcome: &Result<Response, Problem>,
    ) -> Vec<Entry> {
        let gathered = &facts.audit;
        if let Some(why) = &gathered.failed_login {
            self.entry.user = self.claimed.as_deref().map(Entry::bounded);
            self.entry.reason = Some(why.clone());
            return vec![self.fails(Event::Login)];
        }
        let mut entries = Vec::new();
        self.entry.user.clone_from(&facts.user);
        self.entry.how = gathered.how;
        if let Some(login) = self.login
            && facts.user.is_some()
            && state.auditing.is_new(login)
        {
            entries.push(self.entry.clone());
        }
        self.entry.operation = facts.operation;
        self.entry.repository.clone_from(&facts.repository);
        self.entry.reference = facts.reference.as_deref().map(Entry::bounded);
        self.entry.rule.clone_from(&gathered.ground);
        match outcome {
            Ok(response) => self.done(response, &mut entries),
            Err(problem) => {
                let refused = problem.status() == StatusCode::FORBIDDEN;
                // Who has shown nothing is only asked to log in.
                let asked = facts.user.is_none() && problem.status() == StatusCode::UNAUTHORIZED;
                if refused || gathered.denied && !asked {
                    self.entry.reason = Some(Entry::bounded(problem.message()));
                    entries.push(self.fails(Event::Denied));
                }
            }
        }
        entries
    }

    /// A push, a delete, or nothing that is audited.
    fn done(mut self, response: &Response, entries: &mut Vec<Entry>) {
        let event = match (self.entry.operation, self.entry.method.as_str()) {
            (_, "DELETE") if response.status() == StatusCode::ACCEPTED => Event::Delete,
            (_, "PUT" | "POST") if response.status() == StatusCode::CREATED => Event::Push,
            _ => return,
        };
        self.entry.digest = digest(response.headers()).or_else(|| {
            let reference = self.entry.reference.clone();
            reference.filter(|reference| reference.parse::<Digest>().is_ok())
        });
        self.entry.event = event;
        entries.push(self.entry.clone());
        if let Some(Moved(tags)) = response.extensions().get() {
            self.entry.event = Event::TagMove;
            for (tag, old) in tags {
                self.entry.reference = Some(tag.to_string());
                self.entry.old_digest = Some(old.to_string());
                entries.push(self.entry.clone());
            }
        }
    }

    fn fails(mut self, event: Event) -> Entry {
        self.entry.event = event;
        self.entry.outcome = Outcome::Failure;
        self.entry
    }
}

/// How a caller is known.
pub(super) fn how(caller: &Caller, headers: &HeaderMap) -> &'static str {
    let shown = headers.get(AUTHORIZATION).map(|shown| shown.as_bytes());
    let bearer = shown.and_then(|shown| shown.get(..7));
    match (&caller.identity, shown) {
        (Identity::Anonymous, _) => "anonymous",
        (Identity::Robot(_), _) => "robot",
        (Identity::Workload { .. }, _) => "workload",
        (Identity::User(_), _) => match bearer {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer ") => "token",
            _ => "password",
        },
    }
}

fn digest(headers: &HeaderMap) -> Option<String> {
    let digest = headers.get(DOCKER_CONTENT_DIGEST)?;
    digest.to_str().ok().map(str::to_owned)
}
