//! An issuer's keys as they were fetched last: fetched again when their time is
//! over or a key is asked for that isn't among them, by one request at a time;
//! kept while the issuer cannot be reached.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::discovery::{Discovery, Fetched};
use crate::auth::jwt::keys::{Key, Keys};

/// How long after a fetch the issuer is left alone: forged names of keys must
/// not become requests.
const PAUSE: Duration = Duration::from_secs(30);

/// The same while there are no keys at all: no login can succeed before.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The keys of one issuer.
pub(super) struct Source {
    /// The issuer's name, for the log.
    name: String,
    discovery: Discovery,
    current: ArcSwapOption<Known>,
    asked: Mutex<Asked>,
}

struct Known {
    keys: Keys,
    fetched: Instant,
    fresh: Duration,
}

/// The last fetch.
#[derive(Default)]
struct Asked {
    at: Option<Instant>,
    /// What was logged last, so that it is not logged at each login.
    failure: Option<String>,
}

impl Source {
    pub(super) fn open(name: &str, issuer: &str, root_cas: Option<&Path>) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            discovery: Discovery::new(issuer, root_cas)?,
            current: ArcSwapOption::empty(),
            asked: Mutex::default(),
        })
    }

    /// The key of this name, perhaps after a fetch.
    pub(super) async fn key(&self, id: &str) -> Option<Key> {
        match self.found(id) {
            Some((key, true)) => return Some(key),
            // Stale: somebody may look, everybody else goes on with it.
            Some((key, false)) => match self.asked.try_lock() {
                Ok(mut asked) => self.fetch(&mut asked).await,
                Err(_) => return Some(key),
            },
            None => {
                let mut asked = self.asked.lock().await;
                // Somebody else may have fetched it meanwhile.
                if self.found(id).is_none() {
                    self.fetch(&mut asked).await;
                }
            }
        }
        self.found(id).map(|(key, _)| key)
    }

    /// The key, and whether it is fresh.
    fn found(&self, id: &str) -> Option<(Key, bool)> {
        let known = self.current.load();
        let known = known.as_ref()?;
        let key = known.keys.get(id)?.clone();
        Some((key, known.fetched.elapsed() < known.fresh))
    }

    async fn fetch(&self, asked: &mut Asked) {
        let pause = match self.current.load().is_some() {
            true => PAUSE,
            false => FIRST_PAUSE,
        };
        if asked.at.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        asked.at = Some(Instant::now());
        let fetched = self.discovery.fetch().await;
        // The pause counts from the end: an issuer may take seconds to fail.
        asked.at = Some(Instant::now());
        match fetched {
            Ok(Fetched { keys, fresh }) => {
                tracing::info!(
                    "issuer {}: fetched its keys ({}), good for {} s",
                    self.name,
                    keys.len(),
                    fresh.as_secs()
                );
                asked.failure = None;
                self.current.store(Some(Arc::new(Known {
                    keys,
                    fetched: Instant::now(),
                    fresh,
                })));
            }
            Err(failure) => {
                if asked.failure.as_ref() != Some(&failure) {
                    let known = match self.current.load().is_some() {
                        true => "the keys fetched before stay in force",
                        false => "its tokens are refused until then",
                    };
                    tracing::warn!(
                        "issuer {}: its keys cannot be fetched: {failure}; {known}",
                        self.name
                    );
                    asked.failure = Some(failure);
                }
            }
        }
    }
}
