//! The composition root: builds every part from the configuration, runs them,
//! and ends them in order. The only file that knows every part.

mod gc;
mod reload;
mod retention;
mod robots;
mod scrub;
pub mod storage;
pub mod upstream;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio_util::task::TaskTracker;

use reload::Reloads;
pub use reload::Source;

use crate::access::{Access, GroupFileError};
use crate::auth::{AuthError, Authenticator, htpasswd};
use crate::config::Config;
use crate::http::audit::Auditing;
use crate::http::log::{Requests, log_requests};
use crate::observe::audit::{Audit, AuditError};
use crate::observe::broken::Broken;
use crate::observe::debug;
use crate::observe::health::Health;
use crate::observe::log::Log;
use crate::observe::metered::Metered;
use crate::observe::metrics::Metrics;
use crate::observe::readiness::Readiness;
use crate::registry::{Purging, Registry};
use crate::server::{Server, ServerError, Shutdown};
use crate::storage::{Settings, Store};
use crate::{http, server};

/// The time between two looks for room while nobody pushes.
const LOOKS_FOR_ROOM: Duration = Duration::from_secs(5);

/// How long background tasks have to end once the servers have drained.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// How long the end waits for the last lines of the audit log.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The registry, ready to run: every address is taken, nothing is answered yet.
pub struct App {
    config: Config,
    state: Arc<ArcSwap<http::State>>,
    requests: Requests,
    main: Server,
    main_router: Router,
    debug: Option<(Server, Router)>,
    store: Arc<dyn Store>,
    metrics: Metrics,
    broken: Broken,
    shutdown: Shutdown,
}

/// Why the registry cannot start; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The place of the images cannot be used.
    #[error(transparent)]
    Storage(#[from] storage::Unusable),
    /// The users cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The groups of users cannot be used.
    #[error(transparent)]
    Groups(#[from] GroupFileError),
    /// There is no audit log as configured.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An address cannot be listened on, or the certificate cannot be used.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl App {
    /// Builds every part. Nothing is served before [`App::run`].
    pub async fn build(config: Config, shutdown: Shutdown) -> Result<Self, StartError> {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let opened = storage::open(&config.storage, config.registry.read_only).await?;
        let store: Arc<dyn Store> = Arc::new(Metered::new(opened.store, opened.driver, &metrics));
        let (authenticator, notices) = Authenticator::open(config.auth.clone(), &store).await?;
        log_notices(&notices);
        let health = Health::start(
            &config.health,
            &store,
            opened.driver,
            &TaskTracker::new(),
            &shutdown.background(),
        );

        let registry = Registry::new(Arc::clone(&store), config.registry.clone());
        if matches!(config.storage, Settings::Files(_)) {
            registry.alone();
        }
        let counted = metrics.clone();
        registry.on_damage(Arc::new(move |_| counted.count_damaged()));
        let room = registry.room().clone();
        metrics.watch_room(room.clone());
        let broken = Broken::default();
        metrics.watch_files(broken.clone());
        let readiness =
            Readiness::new(Arc::clone(&store), room, health.clone(), shutdown.leaving())
                .telling(broken.clone());
        let debug = match &config.debug {
            Some(settings) => {
                let server = Server::bind(server::Settings {
                    listen: server::Listen::Tcp(settings.addr.clone()),
                    tls: None,
                    http2: true,
                    h2c: false,
                    drain: Duration::ZERO,
                });
                Some((
                    server.await?,
                    debug::router(settings, health.clone(), readiness.clone(), metrics.clone()),
                ))
            }
            None => None,
        };
        let main = Server::bind(config.server.clone()).await?;
        let main = main.with_limits(config.limits.clone());
        let requests = Requests::new(metrics.clone(), config.log.requests);
        let audit = Audit::open(&config.audit, metrics.audit())?;
        let registry = registry.with_store_id().await;
        let state = Arc::new(ArcSwap::from_pointee(http::State {
            registry,
            authenticator,
            access: Access::open(config.access.clone())?,
            settings: config.http.clone(),
            auditing: Arc::new(Auditing::new(audit)),
            healthy: Arc::new(move || !health.is_failing()),
            readiness,
        }));
        let main_router = http::router(Arc::clone(&state))
            .layer(from_fn_with_state(requests.clone(), log_requests))
            .layer(from_fn_with_state(Arc::clone(&state), http::tell_origin));
        Ok(Self {
            config,
            state,
            requests,
            main,
            main_router,
            debug,
            store,
            metrics,
            broken,
            shutdown,
        })
    }

    /// How a client on this machine reaches the registry.
    pub fn url(&self) -> String {
        self.main.url()
    }

    /// The address that was taken; `None` on a unix socket.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.main.local_addr()
    }

    /// Free bytes where the images lie, if the system says.
    pub async fn free_space(&self) -> Option<u64> {
        self.store
            .space()
            .await
            .ok()
            .flatten()
            .map(|space| space.free)
    }

    /// Serves until `shutdown` asks to stop, then finishes what runs.
    pub async fn run(self, log: Log, source: Source) {
        let shutdown = self.shutdown;
        tracing::info!("listening on {}", self.main.url());
        spawn_purging(&shutdown, Arc::clone(&self.state));
        let state = Arc::clone(&self.state);
        scrub::spawn(&shutdown, self.config.scrub, state, self.metrics.scrub());
        retention::spawn_pulls(&shutdown, Arc::clone(&self.state));
        let batch = storage::patience(&self.config.storage);
        retention::spawn(&shutdown, Arc::clone(&self.state), batch);
        let shared = !matches!(self.config.storage, Settings::Files(_));
        let (state, counted) = (Arc::clone(&self.state), self.metrics.gc());
        gc::spawn(&shutdown, state, counted, batch, shared);
        usage::spawn(&shutdown, Arc::clone(&self.state), self.metrics);
        robots::spawn(&shutdown, Arc::clone(&self.state));
        spawn_looks_for_room(&shutdown, Arc::clone(&self.state));
        let auditing = Arc::clone(&self.state.load().auditing);
        let reloads = Reloads {
            running: self.config,
            source,
            store: self.store,
            state: self.state,
            requests: self.requests,
            log,
            broken: self.broken,
        };
        reloads.spawn(&shutdown);
        if let Some((server, router)) = self.debug {
            tracing::info!("health and metrics on {}", server.url());
            // Health stays visible until everything else has ended.
            let own = Shutdown::new();
            let end = shutdown.background();
            let ending = own.clone();
            shutdown.spawn("debug listener", async move {
                tokio::join!(server.run(router, own), async {
                    end.cancelled().await;
                    ending.stop();
                });
            });
        }
        let drained = self.main.run(self.main_router, shutdown.clone()).await;
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "requests were cut off: http.draintimeout was over"
            );
        }
        let running = shutdown.finish(LAST_TASKS).await;
        auditing.log().flush(LAST_LINES).await;
        tracing::info!(tasks_left = running, "stopped");
    }
}

/// What the owner of the users should know, each in its line.
fn log_notices(notices: &[htpasswd::Notice]) {
    for notice in notices {
        match notice {
            // As registry:2 does: the only time that the password is told.
            htpasswd::Notice::Created(created) => {
                tracing::warn!(user = %created.user, password = created.password.reveal(), "{notice}");
            }
            _ => tracing::warn!("{notice}"),
        }
    }
}

/// Looks for room even when nobody pushes, so that the log, `/readyz` and the
/// metrics say how it is now.
fn spawn_looks_for_room(shutdown: &Shutdown, state: Arc<ArcSwap<http::State>>) {
    let end = shutdown.background();
    shutdown.spawn("free space", async move {
        loop {
            let registry = state.load().registry.clone();
            // It says by itself what has changed.
            let _ = registry.check_room().await;
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(LOOKS_FOR_ROOM) => {}
            }
        }
    });
}

/// Removes abandoned uploads, as `storage.maintenance.uploadpurging` says.
fn spawn_purging(shutdown: &Shutdown, state: Arc<ArcSwap<http::State>>) {
    let end = shutdown.background();
    shutdown.spawn("upload purging", async move {
        let mut pause = first_pause(state.load().registry.settings().purging.interval);
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let registry = state.load().registry.clone();
            let Purging {
                enabled,
                age,
                interval,
                dry_run,
            } = registry.settings().purging;
            pause = interval.max(Duration::from_secs(1));
            if !enabled || registry.settings().read_only {
                continue;
            }
            match registry.purge_uploads(age, dry_run).await {
                Ok(purged) => {
                    tracing::info!(
                        removed = purged.removed,
                        kept = purged.kept,
                        dry_run,
                        "abandoned uploads"
                    );
                }
                Err(error) => tracing::warn!(%error, "abandoned uploads could not be removed"),
            }
        }
    });
}

/// Somewhere within the first hour, so that replicas don't all begin at once.
fn first_pause(interval: Duration) -> Duration {
    let mut random = [0];
    // Without randomness the pause is just shorter.
    let _ = getrandom::fill(&mut random);
    interval.min(Duration::from_secs(3600)) * u32::from(random[0]) / 256
}

/// Where the users of `wharf serve` without a configuration are.
pub fn embedded_users(data: &Path) -> PathBuf {
    data.join("users.htpasswd")
}
