//! Requests that move data for long ask again, every second, whether their
//! caller is still who they were and still may: a removed user's download ends
//! within two seconds, not when the last byte is through.
//!
//! The question is asked before data is handed on, so that nothing passes that
//! was not decided about in the last second. A token that merely expires ends
//! nothing (`Authenticator::stands`): it was good when the request came.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::State;
use crate::access::{Allowed, Denied, Right};
use crate::auth::caller::{Caller, Needed};
use crate::oci::{Actions, RepositoryName};

/// How long a decision counts.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether the caller of one running request still stands. Clones are of the
/// same request.
#[derive(Clone)]
pub(super) struct Standing(Arc<Asked>);

struct Asked {
    live: Arc<ArcSwap<State>>,
    caller: Arc<Caller>,
    repository: RepositoryName,
    /// What the request was let in with.
    actions: Actions,
    over: OnceLock<Over>,
}

/// Why a request may not go on.
#[derive(Debug, Clone)]
pub(super) enum Over {
    /// What proved the caller's identity doesn't count any more.
    Unidentified,
    /// They may not do it any more.
    Denied(Denied),
}

impl Standing {
    /// That of the request that has just been `allowed`, by the state of every
    /// later moment.
    pub(super) fn of<R: Right>(
        live: &Arc<ArcSwap<State>>,
        caller: &Arc<Caller>,
        allowed: &Allowed<R>,
    ) -> Self {
        Self(Arc::new(Asked {
            live: Arc::clone(live),
            caller: Arc::clone(caller),
            repository: allowed.repository().clone(),
            actions: allowed.actions(),
            over: OnceLock::new(),
        }))
    }

    /// What the client sends: it breaks off when the caller falls, and the
    /// handler must not acknowledge anything; see [`Standing::over`].
    pub(super) fn receiving(&self, body: Body) -> Body {
        // Nothing moves.
        if body.is_end_stream() {
            return body;
        }
        Body::new(Watched::new(body, self.clone(), Waits::Awake))
    }

    /// What the client is sent: the connection breaks off when the caller
    /// falls, so that what is there can't be taken for all.
    pub(super) fn sending(&self, response: Response) -> Response {
        response.map(|body| match body.is_end_stream() {
            true => body,
            false => Body::new(Watched::new(body, self.clone(), Waits::Asleep)),
        })
    }

    /// Why the request was broken off, if it was.
    pub(super) fn over(&self) -> Option<&Over> {
        self.0.over.get()
    }

    /// Asks the state of this moment; true if the request may go on.
    async fn ask(self) -> bool {
        match self.0.decide().await {
            Ok(()) => true,
            Err(over) => {
                tracing::info!(
                    user = %self.0.caller.identity,
                    repository = %self.0.repository,
                    "a running request is broken off: {}", over.reason()
                );
                // Only one body of a request is watched.
                let _ = self.0.over.set(over);
                false
            }
        }
    }
}

impl Asked {
    async fn decide(&self) -> Result<(), Over> {
        let state = self.live.load_full();
        let (authenticator, access) = (&state.authenticator, &state.access);
        let unwelcome =
            self.caller.is_anonymous() && authenticator.asks() && !access.welcomes_anonymous();
        if unwelcome || !authenticator.stands(&self.caller).await {
            return Err(Over::Unidentified);
        }
        let decision = access.decide(&self.caller, &self.repository);
        let lost = self
            .actions
            .iter()
            .find(|action| !decision.actions.has(*action));
        match lost {
            None => Ok(()),
            Some(action) => Err(Over::Denied(Denied {
                needed: Needed::within(&self.repository, &[action]),
                who: self.caller.identity.to_string(),
                scope: false,
                ground: decision.ground,
            })),
        }
    }
}

impl Over {
    /// In words, for the log.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Unidentified => "the login does not count any more".to_owned(),
            Self::Denied(denied) => denied.to_string(),
        }
    }
}

/// Whether a body asks by itself while no data comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// A request's: the client may hold it open as long as it likes.
    Awake,
    /// An answer's: it is asked about when the next data is there.
    Asleep,
}

/// A body that ends with an error when the caller falls. It costs one look at
/// the clock for each chunk.
struct Watched {
    body: Body,
    standing: Standing,
    waits: Waits,
    next: Instant,
    asking: Option<BoxFuture<'static, bool>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(body: Body, standing: Standing, waits: Waits) -> Self {
        Self {
            body,
            standing,
            waits,
            next: Instant::now() + AGAIN,
            asking: None,
            timer: None,
        }
    }

    /// Ready once data may pass; false if none may any more.
    fn poll_stands(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.standing.over().is_some() {
            return Poll::Ready(false);
        }
        if self.asking.is_none() && Instant::now() >= self.next {
            self.asking = Some(Box::pin(self.standing.clone().ask()));
        }
        if let Some(asking) = &mut self.asking {
            let stands = ready!(asking.as_mut().poll(context));
            self.asking = None;
            self.next = Instant::now() + AGAIN;
            return Poll::Ready(stands);
        }
        Poll::Ready(true)
    }

    /// No data is there: ready when it is time to ask again.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waits == Waits::Asleep {
            return Poll::Pending;
        }
        let next = self.next;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        loop {
            // Moved only when it fires: most waits are short.
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= next {
                return Poll::Ready(());
            }
            timer.as_mut().reset(next);
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if !ready!(this.poll_stands(context)) {
                let cut = io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "the caller may not do this any more",
                );
                return Poll::Ready(Some(Err(axum::Error::new(cut))));
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => ready!(this.poll_wait(context)),
                ready => return ready,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
