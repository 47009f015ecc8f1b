//! What takes effect while the registry runs: `auth` and `access` of the
//! configuration file by themselves, the rest of it on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::time::{MissedTickBehavior, interval};

use super::{log_notices, storage};
use crate::auth::{self, Authenticator};
use crate::config::Config;
use crate::http;
use crate::http::log::Requests;
use crate::observe::broken::Broken;
use crate::observe::log::Log;
use crate::server::Shutdown;
use crate::storage::Store;

/// The time between two looks at the files. A change counts once two looks have
/// found the same, and running requests ask again every second: two seconds in
/// all.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// The largest configuration that is followed, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Where the configuration comes from.
pub struct Source {
    /// The file that is followed; `None` where there is none.
    pub path: Option<PathBuf>,
    /// The configuration as it is now; an error says what is wrong with it.
    pub read: Box<dyn Fn() -> Result<Config, String> + Send>,
}

/// Rereads what has changed.
pub(super) struct Reloads {
    pub(super) running: Config,
    pub(super) source: Source,
    pub(super) store: Arc<dyn Store>,
    pub(super) state: Arc<ArcSwap<http::State>>,
    pub(super) requests: Requests,
    pub(super) log: Log,
    pub(super) broken: Broken,
}

/// One version of a file, or that it can't be read.
type Version = Option<[u8; 32]>;

/// What was seen of the file.
struct Seen {
    /// The version that was read.
    read: Version,
    /// The version of the last look.
    last: Version,
}

impl Reloads {
    /// Follows SIGHUP and the files until the end (the server follows its
    /// certificates by itself).
    pub(super) fn spawn(mut self, shutdown: &Shutdown) {
        let end = shutdown.background();
        let mut reloads = shutdown.reloads();
        shutdown.spawn("reload", async move {
            let mut looks = interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let now = version(self.source.path.as_deref()).await;
            let mut seen = Seen {
                read: now,
                last: now,
            };
            loop {
                tokio::select! {
                    () = end.cancelled() => return,
                    () = reloads.next() => self.reread_all().await,
                    _ = looks.tick() => self.look(&mut seen).await,
                }
            }
        });
    }

    /// SIGHUP: everything that can change while running.
    async fn reread_all(&mut self) {
        self.state.load().auditing.log().reopen();
        match (self.source.read)() {
            Ok(new) => {
                if self.apply(new).await {
                    self.broken.clear("configuration");
                }
                self.log.reload(&self.running.log);
                self.requests.set_lines(self.running.log.requests);
            }
            Err(problems) => self.stays(problems),
        }
    }

    /// Looks at all that is followed.
    async fn look(&mut self, seen: &mut Seen) {
        let now = version(self.source.path.as_deref()).await;
        // A file that is being written is not read half way.
        let settled = now == std::mem::replace(&mut seen.last, now);
        if settled && now != seen.read {
            seen.read = now;
            match (self.source.read)() {
                Ok(new) => self.follow(new).await,
                Err(problems) => self.stays(problems),
            }
        }
        let state = self.state.load_full();
        state.auditing.log().tick();
        // Who asks for the groups looks at their file.
        drop(state.access.members());
        let groups = state.access.problems();
        let groups = (!groups.is_empty()).then(|| groups.join("; "));
        self.note("groups", groups.as_ref());
        let broken = state.authenticator.broken().await;
        self.note("users", broken.get("users"));
        self.note("keys", broken.get("keys"));
    }

    /// Puts `auth` and `access` of a changed file in force.
    async fn follow(&mut self, new: Config) {
        let (auth, access) = (new.auth.clone(), new.access.clone());
        let opens = opens(&self.running, &new);
        let same_rest = Config {
            auth: self.running.auth.clone(),
            access: self.running.access.clone(),
            ..new
        } == self.running;
        if opens {
            tracing::warn!(
                "the configuration no longer asks for logins or has no rules: that opens the registry, so it waits for SIGHUP"
            );
        } else if auth != self.running.auth || access != self.running.access {
            let current = self.state.load_full();
            let authenticator = match auth == self.running.auth {
                true => current.authenticator.clone(),
                false => match Authenticator::open(auth.clone(), &self.store).await {
                    Ok((authenticator, notices)) => {
                        log_notices(&notices);
                        authenticator
                    }
                    Err(error) => return self.stays(error.to_string()),
                },
            };
            let rules = match current.access.reload(access.clone()) {
                Ok(rules) => rules,
                Err(error) => return self.stays(error.to_string()),
            };
            self.state.store(Arc::new(http::State {
                registry: current.registry.clone(),
                authenticator,
                access: rules,
                settings: current.settings.clone(),
                auditing: Arc::clone(&current.auditing),
                healthy: Arc::clone(&current.healthy),
                readiness: current.readiness.clone(),
            }));
            self.running.auth = auth;
            self.running.access = access;
            tracing::info!("auth and access are in force as the configuration has them now");
        }
        self.broken.clear("configuration");
        if !same_rest {
            tracing::warn!(
                "more than auth and access has changed in the configuration: send SIGHUP, or restart, for the rest"
            );
        }
    }

    /// What is wrong with the configuration is said once for each change.
    fn stays(&self, problems: String) {
        tracing::error!("the configuration stays as it was: {problems}");
        self.broken.set("configuration", problems);
    }

    fn note(&self, file: &'static str, why: Option<&String>) {
        match why {
            Some(why) => self.broken.set(file, why.clone()),
            None => self.broken.clear(file),
        }
    }

    /// Replaces what can change while running, and names what cannot; false if
    /// everything stays.
    async fn apply(&mut self, new: Config) -> bool {
        let current = self.state.load_full();
        let running = &self.running;
        let authenticator = if new.auth == running.auth {
            match current.authenticator.reload().await {
                Ok(notices) => log_notices(&notices),
                Err(error) => tracing::error!("the users stay as they were: {error}"),
            }
            current.authenticator.clone()
        } else {
            match Authenticator::open(new.auth.clone(), &self.store).await {
                Ok((authenticator, notices)) => {
                    log_notices(&notices);
                    authenticator
                }
                Err(error) => {
                    self.stays(error.to_string());
                    return false;
                }
            }
        };
        let access = match current.access.reload(new.access.clone()) {
            Ok(access) => access,
            Err(error) => {
                self.stays(error.to_string());
                return false;
            }
        };
        name_restarts(running, &new);
        self.state.store(Arc::new(http::State {
            registry: current.registry.with_settings(new.registry.clone()),
            authenticator,
            access,
            settings: new.http.clone(),
            auditing: Arc::clone(&current.auditing),
            healthy: Arc::clone(&current.healthy),
            readiness: current.readiness.clone(),
        }));
        // What the replaced one has not written down yet; it is tried once.
        let _ = current.authenticator.write_uses(true).await;
        tracing::info!("configuration reread");
        // What takes a restart stays as it runs, so that the next reload names
        // it again.
        self.running = Config {
            storage: running.storage.clone(),
            server: running.server.clone(),
            limits: running.limits.clone(),
            pause: running.pause,
            debug: running.debug.clone(),
            health: running.health.clone(),
            audit: running.audit.clone(),
            scrub: running.scrub,
            ..new
        };
        true
    }
}

/// Names what has changed and takes a restart.
fn name_restarts(running: &Config, new: &Config) {
    for (key, changed) in [
        (
            storage::keys(&running.storage),
            new.storage != running.storage,
        ),
        (
            "http.addr, http.tls, http.http2, http.h2c or http.draintimeout",
            new.server != running.server,
        ),
        (
            "what limits connections (limits.connections, the timeouts, headersize, headers, bodyrate, streams, resets)",
            new.limits != running.limits,
        ),
        ("http.drainpause", new.pause != running.pause),
        ("http.debug", new.debug != running.debug),
        ("health", new.health != running.health),
        ("audit", new.audit != running.audit),
        ("scrub", new.scrub != running.scrub),
    ] {
        if changed {
            tracing::warn!("{key} has changed: that takes a restart");
        }
    }
}

/// Whether less is asked of callers than before: no login at all, or no rules.
/// A file that lost its end looks like that, too.
fn opens(running: &Config, new: &Config) -> bool {
    let none = auth::Settings::default();
    let logins = running.auth != none && new.auth == none;
    logins || running.access.rules.is_some() && new.access.rules.is_none()
}

/// The version that a file has now.
async fn version(path: Option<&Path>) -> Version {
    let path = path?.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let sane = std::fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() <= LARGEST);
        sane.then(|| std::fs::read(&path).ok()).flatten()
    });
    let content = read.await.ok()??;
    Some(Sha256::digest(content).into())
}
