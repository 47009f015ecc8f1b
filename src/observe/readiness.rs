//! `/livez` and `/readyz`: whether the process lives, and whether it should be
//! sent requests. Asked by load balancers every few seconds, without login.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::broken::Broken;
use super::health::Health;
use crate::storage::{Room, StorageError, Store};

/// Where the process says that it lives.
pub const LIVEZ: &str = "/livez";
/// Where it says whether it should be sent requests.
pub const READYZ: &str = "/readyz";

/// Pulls and deletes work, so load balancers are not to be told otherwise.
const LITTLE_ROOM: &str =
    "little is left (limits.freespace): new pushes are refused, pulls and deletes go on";

const TIMES: Times = Times {
    fresh: Duration::from_secs(1),
    patience: Duration::from_secs(5),
};

/// Whether requests should be sent here: cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    inner: Arc<Inner>,
    broken: Broken,
}

struct Inner {
    store: Arc<dyn Store>,
    room: Room,
    health: Health,
    leaving: CancellationToken,
    probe: Mutex<Probe>,
    failing: AtomicBool,
    times: Times,
}

struct Times {
    /// How long an outcome counts: a flood of questions is none of the storage's.
    fresh: Duration,
    /// How long the storage may think.
    patience: Duration,
}

#[derive(Default)]
struct Probe {
    last: Option<(Instant, Result<(), String>)>,
    /// Goes on even if whoever asked has gone, or has been told that it takes
    /// too long: asking once more would only add to what hangs.
    running: Option<JoinHandle<Result<(), String>>>,
}

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anybody: only what fails.
    Everybody,
    /// Who reaches the debug listener: why, too.
    Operators,
}

impl Readiness {
    /// Not ready while `store` doesn't work, a check of `health` fails, or after
    /// `leaving` is cancelled. Little `room` is said, but changes nothing: what is
    /// there can be pulled.
    pub fn new(
        store: Arc<dyn Store>,
        room: Room,
        health: Health,
        leaving: CancellationToken,
    ) -> Self {
        Self::with_times(store, room, health, leaving, TIMES)
    }

    fn with_times(
        store: Arc<dyn Store>,
        room: Room,
        health: Health,
        leaving: CancellationToken,
        times: Times,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                room,
                health,
                leaving,
                probe: Mutex::default(),
                failing: AtomicBool::new(false),
                times,
            }),
            broken: Broken::default(),
        }
    }

    /// Tells operators of files that are `broken`, too, which changes nothing:
    /// what was read before stays in force.
    pub fn telling(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// 200 and `{}`, or what there is to say all the same; or 503 and what keeps
    /// it from being ready.
    pub async fn answer(&self, audience: Audience) -> Response {
        let mut reasons = self.reasons(audience).await;
        let status = if reasons.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        if self.inner.room.was_low() {
            reasons.insert("space", LITTLE_ROOM.to_owned());
        }
        if audience == Audience::Operators {
            reasons.extend(self.broken.all());
        }
        let body = serde_json::to_string(&reasons).unwrap_or_default();
        answer(status, body)
    }

    async fn reasons(&self, audience: Audience) -> BTreeMap<&'static str, String> {
        let mut reasons = BTreeMap::new();
        if self.inner.leaving.is_cancelled() {
            reasons.insert("draining", "the server is stopping".to_owned());
            return reasons;
        }
        let failing = self.inner.health.failing();
        if !failing.is_empty() {
            let names: Vec<&str> = failing.iter().map(|check| check.name.as_str()).collect();
            reasons.insert(
                "health",
                match audience {
                    Audience::Everybody => "a health check fails: the log says which".to_owned(),
                    Audience::Operators => format!("failing: {}", names.join(", ")),
                },
            );
        }
        if let Err(error) = self.storage().await {
            reasons.insert(
                "storage",
                match audience {
                    Audience::Everybody => "it does not work: the log says why".to_owned(),
                    Audience::Operators => error,
                },
            );
        }
        reasons
    }

    /// Asks the storage, unless that was done a moment ago.
    async fn storage(&self) -> Result<(), String> {
        let Times { fresh, patience } = self.inner.times;
        let mut probe = self.inner.probe.lock().await;
        if let Some((asked, found)) = &probe.last
            && asked.elapsed() < fresh
        {
            return found.clone();
        }
        let running = probe.running.get_or_insert_with(|| {
            let store = Arc::clone(&self.inner.store);
            tokio::spawn(async move { works(&*store).await })
        });
        let found = match timeout(patience, running).await {
            Ok(ended) => {
                probe.running = None;
                ended.unwrap_or_else(|_| Err("the check ended without an answer".to_owned()))
            }
            Err(_) => Err(format!("no answer within {patience:?}")),
        };
        self.tell(&found);
        probe.last = Some((Instant::now(), found.clone()));
        found
    }

    /// Says so when it changes.
    fn tell(&self, found: &Result<(), String>) {
        let failed = self.inner.failing.swap(found.is_err(), Ordering::Relaxed);
        match found {
            Err(error) if !failed => {
                tracing::warn!(error, "not ready: the storage does not work");
            }
            Ok(()) if failed => tracing::info!("ready again: the storage works"),
            _ => {}
        }
    }
}

/// 200: the process answers.
pub fn alive() -> Response {
    answer(StatusCode::OK, "{}".to_owned())
}

async fn works(store: &dyn Store) -> Result<(), String> {
    match store.probe().await {
        // What is there can still be pulled, and deletes make room.
        Ok(()) | Err(StorageError::Full(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn answer(status: StatusCode, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::observe::fake_store::FakeStore;

    const HOUR: Duration = Duration::from_secs(3600);

    fn ready(
        fake: FakeStore,
        fresh: Duration,
        patience: Duration,
    ) -> (Readiness, CancellationToken) {
        let leaving = CancellationToken::new();
        let store: Arc<dyn Store> = Arc::new(fake);
        let readiness = Readiness::with_times(
            Arc::clone(&store),
            Room::new(store),
            Health::default(),
            leaving.clone(),
            Times { fresh, patience },
        );
        (readiness, leaving)
    }

    async fn ask(readiness: &Readiness, audience: Audience) -> (u16, String) {
        let answer = readiness.answer(audience).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// How often the storage is asked by a hundred questions at once.
    async fn flood(fresh: Duration) -> usize {
        let fake = FakeStore::default();
        let probes = Arc::clone(&fake.probes);
        let (readiness, _leaving) = ready(fake, fresh, HOUR);
        let mut questions = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let readiness = readiness.clone();
            questions.spawn(async move { ask(&readiness, Audience::Everybody).await.0 });
        }
        assert_eq!(questions.join_all().await, [200; 100]);
        probes.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn a_flood_of_questions_is_one_while_the_answer_is_fresh() {
        assert_eq!(flood(HOUR).await, 1);
        assert_eq!(flood(Duration::ZERO).await, 100);
    }

    #[tokio::test]
    async fn a_storage_that_hangs_is_told_in_time_and_asked_once() {
        let fake = FakeStore {
            hangs: true,
            ..FakeStore::default()
        };
        let probes = Arc::clone(&fake.probes);
        let (readiness, _leaving) = ready(fake, Duration::ZERO, Duration::from_millis(20));
        for _ in 0..3 {
            let (status, body) = ask(&readiness, Audience::Operators).await;
            assert_eq!(
                (status, body.as_str()),
                (503, r#"{"storage":"no answer within 20ms"}"#)
            );
        }
        assert_eq!(probes.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn why_is_for_operators_and_passes() {
        let fake = FakeStore::default();
        let broken = Arc::clone(&fake.broken);
        let (readiness, leaving) = ready(fake, Duration::ZERO, HOUR);
        broken.store(true, Ordering::SeqCst);
        let (status, body) = ask(&readiness, Audience::Operators).await;
        assert_eq!(status, 503);
        assert!(body.contains("broken for a test"), "{body}");
        let (status, body) = ask(&readiness, Audience::Everybody).await;
        assert_eq!(
            (status, body.as_str()),
            (503, r#"{"storage":"it does not work: the log says why"}"#)
        );
        broken.store(false, Ordering::SeqCst);
        let ready = ask(&readiness, Audience::Everybody).await;
        assert_eq!(ready, (200, "{}".to_owned()));
        leaving.cancel();
        let (status, body) = ask(&readiness, Audience::Everybody).await;
        assert_eq!(
            (status, body.as_str()),
            (503, r#"{"draining":"the server is stopping"}"#)
        );
    }
}
