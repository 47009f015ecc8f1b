//! The server: binds, accepts, and drains when asked to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::connection::{self, Shared};
use super::hints::{Hints, Topic};
use super::listener::Listener;
use super::shutdown::Shutdown;
use super::slots::{Permit, Slots};
use super::stream::Socket;
use super::tls::{Tls, TlsError};
use super::{Limits, Settings};

/// How long accepting rests when the system has no room for a connection.
const REST: Duration = Duration::from_millis(250);

/// How long connections that are cut have to notice.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// A bound server that does not accept yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    tls: Option<Arc<Tls>>,
    h2c: bool,
    drain: Duration,
    limits: Limits,
}

/// Why a server cannot start; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody else has the port.
    #[error(
        "port {port} on {host} is taken: stop the other server or choose another port with --addr or http.addr"
    )]
    Taken {
        /// The port.
        port: u16,
        /// The address, or `every address`.
        host: String,
    },
    /// The port is below 1024 and we are not root.
    #[error(
        "port {port} needs a privilege that this process does not have: choose one above 1023 with --addr or http.addr, or give it CAP_NET_BIND_SERVICE"
    )]
    Forbidden {
        /// The port.
        port: u16,
    },
    /// This is no address of ours.
    #[error(
        "cannot listen on `{address}`: {reason}: give HOST:PORT, or :PORT for every address, with --addr or http.addr"
    )]
    Address {
        /// What was configured.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The unix socket cannot be made.
    #[error(
        "cannot listen on the unix socket {}: {reason}: choose another path with http.addr",
        path.display()
    )]
    UnixSocket {
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not finished when their time was over.
    pub cut: usize,
}

impl Server {
    /// Reads the certificates and takes the address, so that whatever is wrong
    /// is known before anything else starts. Clients that connect from now on
    /// wait for [`run`](Self::run).
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        let tls = match settings.tls {
            None => None,
            Some(tls) => Some(Arc::new(Tls::load(tls, settings.http2)?)),
        };
        Ok(Self {
            listener: Listener::bind(&settings.listen).await?,
            tls,
            h2c: settings.h2c,
            drain: settings.drain,
            limits: Limits::default(),
        })
    }

    /// Other bounds than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The bound address, with the port that was chosen for port 0; `None` on a
    /// unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local()
    }

    /// How a client on this machine reaches the server:
    /// `https://localhost:5000`, `http://10.0.0.1:5000`, `unix:///run/wharf.sock`.
    pub fn url(&self) -> String {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        match (self.local_addr(), self.listener.path()) {
            (Some(local), _) if local.ip().is_unspecified() => {
                format!("{scheme}://localhost:{}", local.port())
            }
            (Some(local), _) => format!("{scheme}://{local}"),
            (None, path) => format!("unix://{}", path.unwrap_or("".as_ref()).display()),
        }
    }

    /// Serves until `shutdown` asks to drain; then closes the listener and idle
    /// connections, and gives running requests their time (`http.draintimeout`).
    pub async fn run(self, router: Router, shutdown: Shutdown) -> Drained {
        let limits = Arc::new(self.limits);
        if let Some(tls) = &self.tls {
            let follow = Arc::clone(tls).follow(limits.certificate_poll, shutdown.clone());
            shutdown.spawn("certificates", follow);
        }
        let shared = Arc::new(Shared {
            // Without state, axum prepares the routes once instead of per request.
            router: router.with_state(()),
            tls: self.tls,
            h2c: self.h2c,
            hints: Hints::default(),
            local: self.listener.local(),
            shutdown: shutdown.clone(),
            cut: CancellationToken::new(),
            limits,
        });
        let connections = TaskTracker::new();
        tokio::select! {
            biased;
            () = shutdown.draining() => {}
            () = accept_all(&self.listener, &shared, &connections) => {}
        }
        drop(self.listener);
        drain(&shared, connections, self.drain).await
    }
}

async fn accept_all(listener: &Listener, shared: &Arc<Shared>, connections: &TaskTracker) {
    let slots = Slots::new(
        shared.limits.affordable_connections(),
        shared.limits.per_address,
    );
    while let Some(permit) = permit(&slots, shared).await {
        match listener.accept().await {
            Ok((socket, from)) => enter(shared, connections, &slots, permit, socket, from),
            Err(error) => rest(&error, shared).await,
        }
    }
}

async fn permit(slots: &Slots, shared: &Shared) -> Option<Permit> {
    if let Some(permit) = slots.free() {
        return Some(permit);
    }
    if shared.hint_due(Topic::Exhausted, None) {
        warn!(
            "as many connections are open as are allowed: new ones wait (the limit of open files, ulimit -n, bounds it too)"
        );
    }
    slots.wait().await
}

fn enter(
    shared: &Arc<Shared>,
    connections: &TaskTracker,
    slots: &Slots,
    permit: Permit,
    socket: Socket,
    from: Option<SocketAddr>,
) {
    let Some(slot) = slots.enter(permit, from.map(|from| from.ip())) else {
        if shared.hint_due(Topic::TooMany, from) {
            let client = from.map_or_else(String::new, |from| from.ip().to_string());
            warn!(%client, "too many connections from one address: further ones are closed");
        }
        return;
    };
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        connection::serve(shared, socket, from).await;
        drop(slot);
    });
}

/// After a failed accept: a connection that was gone again costs nothing, but a
/// lack of files or memory would come back at once.
async fn rest(error: &io::Error, shared: &Shared) {
    let gone = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            // Options cannot be set on a socket whose other end has left.
            | io::ErrorKind::InvalidInput
    );
    if gone {
        debug!(%error, "a connection was gone before it was accepted");
        return;
    }
    if shared.hint_due(Topic::Exhausted, None) {
        warn!(%error, "cannot accept connections: raise the limit of open files (ulimit -n) if that is used up");
    }
    tokio::time::sleep(REST).await;
}

async fn drain(shared: &Shared, connections: TaskTracker, patience: Duration) -> Drained {
    connections.close();
    if !connections.is_empty() {
        info!(
            connections = connections.len(),
            "finishing what runs, for at most {} s",
            patience.as_secs()
        );
    }
    let finished = tokio::select! {
        biased;
        () = connections.wait() => true,
        () = shared.shutdown.stopped() => false,
        () = tokio::time::sleep(patience) => false,
    };
    if finished {
        return Drained { cut: 0 };
    }
    let cut = connections.len();
    warn!(connections = cut, "cutting what has not finished");
    shared.cut.cancel();
    // A handler that blocks its thread cannot be cut; the process ends anyway.
    let _ = tokio::time::timeout(LAST_MOMENT, connections.wait()).await;
    Drained { cut }
}
