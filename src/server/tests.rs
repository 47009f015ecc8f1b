//! The server on real sockets with a trivial router.

mod bounds;
mod draining;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

use super::certificates::{self, Issued};
use super::tls::{ClientAuth, Settings as TlsSettings, Version};
use super::*;
use crate::http::{Peer, Refusal};

/// A server that runs.
struct Running {
    address: SocketAddr,
    url: String,
    shutdown: Shutdown,
    server: JoinHandle<Drained>,
    /// A handler of `/wait` has begun.
    begun: Arc<Notify>,
    /// Lets it answer.
    release: Arc<Notify>,
}

fn settings() -> Settings {
    Settings {
        listen: Listen::Tcp("127.0.0.1:0".to_owned()),
        tls: None,
        http2: true,
        h2c: false,
        drain: Duration::from_secs(30),
    }
}

fn tls_settings(issued: &Issued) -> TlsSettings {
    TlsSettings {
        certificate: issued.certificate.clone(),
        key: issued.key.clone(),
        client_cas: Vec::new(),
        client_auth: ClientAuth::Required,
        minimum: Version::Tls12,
        cipher_suites: Vec::new(),
    }
}

/// A directory with certificates for this machine.
fn issued() -> (TempDir, Issued) {
    let directory = TempDir::new().unwrap();
    let names = certificates::default_names(&[]);
    let issued = certificates::ensure(directory.path(), &names).unwrap();
    (directory, issued)
}

async fn start(settings: Settings, limits: Limits) -> Running {
    let server = Server::bind(settings).await.unwrap().with_limits(limits);
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_begin, at_release) = (Arc::clone(&begun), Arc::clone(&release));
    let router = Router::new()
        .route("/", get(|request: Request| async move { who(&request) }))
        .route(
            "/wait",
            get(move || async move {
                at_begin.notify_one();
                at_release.notified().await;
                "waited"
            }),
        )
        .route(
            "/large",
            get(|| async { axum::body::Body::from_stream(endless()) }),
        )
        .route(
            "/upload",
            axum::routing::put(|request: Request| async move {
                match request.into_body().collect().await {
                    Ok(body) => format!("{} bytes", body.to_bytes().len()),
                    Err(error) => format!("error: {}", chain(&error)),
                }
            }),
        )
        .layer(axum::middleware::from_fn(refused_first));
    let shutdown = Shutdown::new();
    Running {
        address: server
            .local_addr()
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
        url: server.url(),
        server: tokio::spawn(server.run(router, shutdown.clone())),
        shutdown,
        begun,
        release,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything that comes back for these bytes until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(bytes).await.unwrap();
        read_all(&mut client).await
    }
}

/// As the real router does it.
async fn refused_first(request: Request, next: axum::middleware::Next) -> Response {
    match request.extensions().get::<Refusal>() {
        Some(refusal) => refusal.clone().into_response(),
        None => next.run(request).await,
    }
}

/// What the peer is, as the router sees it.
fn who(request: &Request) -> String {
    let peer = request.extensions().get::<Peer>().unwrap();
    let address = peer.address.map(|address| address.ip());
    format!("{:?} {address:?} tls={}", request.version(), peer.tls)
}

fn endless() -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> {
    let piece = bytes::Bytes::from(vec![0; 256 * 1024]);
    futures_util::stream::repeat_with(move || Ok(piece.clone()))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => chain(source),
        None => error.to_string(),
    }
}

/// Reads until the end; a reset ends it, too.
async fn read_all(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer whose body ends with `end`.
async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        assert_ne!(client.read_buf(&mut bytes).await.unwrap(), 0);
    }
    String::from_utf8(bytes).unwrap()
}

/// What is logged on this thread while the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Waits until something is logged.
    async fn wait_for(&self, part: &str) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(30);
        while !self.text().contains(part) {
            assert!(
                tokio::time::Instant::now() < patience,
                "`{part}` is not in\n{}",
                self.text()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
