//! The wire: paths, headers, bodies and errors of distribution-spec, and
//! nothing of storage.
//!
//! Every request under `/v2/` goes the same way: [`gate`] finds out who asks,
//! [`operation`] parses what is asked into one value, [`crate::access`] turns
//! both into a right, and the handler of that resource, which takes the right
//! as an argument, does it.

mod answer;
pub mod audit;
mod blobs;
mod body;
mod catalog;
mod error;
mod gate;
mod locations;
pub mod log;
mod manifests;
#[cfg(test)]
mod matrix;
mod operation;
mod origin;
mod peer;
mod proxies;
mod query;
mod ranges;
mod referrers;
mod refusal;
mod settings;
mod standing;
mod tags;
mod token;
mod uploads;
mod usage;

use std::fmt::Display;
use std::sync::Arc;

use ::http::header::LINK;
use arc_swap::ArcSwap;
use axum::Router;
use axum::response::Response;

pub use answer::DOCKER_API_VERSION;
pub use origin::{Origin, tell_origin};
pub use peer::{Peer, neighbourhood};
pub use proxies::Proxies;
pub use refusal::Refusal;
pub use settings::{Limits, Settings};

use crate::access::Access;
use crate::auth::Authenticator;
use crate::observe::readiness::Readiness;
use crate::registry::Registry;
use error::Problem;
use locations::Locations;

/// What answering a request needs.
pub struct State {
    /// What a registry does.
    pub registry: Registry,
    /// Who asks.
    pub authenticator: Authenticator,
    /// What they may.
    pub access: Access,
    /// How paths and answers look.
    pub settings: Settings,
    /// Who is told of what was done.
    pub auditing: Arc<audit::Auditing>,
    /// Whether requests are to be answered at all (registry:2's health gate).
    pub healthy: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Whether load balancers should send requests here.
    pub readiness: Readiness,
}

/// Everything that the main port answers, by the state of the moment. One
/// function sees every request: no route can be added beside the gate.
pub fn router(state: Arc<ArcSwap<State>>) -> Router {
    Router::new().fallback(move |request| gate::answer(Arc::clone(&state), request))
}

impl State {
    fn locations(&self) -> Locations<'_> {
        Locations::new(&self.settings, self.registry.store_id())
    }

    /// Says where a list of `n` entries goes on, and why it ends before what
    /// was `asked` for.
    fn continue_after(
        &self,
        response: &mut Response,
        path: impl Display,
        last: &str,
        n: usize,
        asked: Option<usize>,
    ) -> Result<(), Problem> {
        let query = [("last", last), ("n", &n.to_string())];
        let link = self.locations().next(path, &query)?;
        response.headers_mut().insert(LINK, link);
        answer::warn_if_clamped(response, asked, n);
        Ok(())
    }
}
