//! One connection from its first byte to its end: which protocol it speaks, the
//! TLS handshake, then HTTP until somebody closes it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::AlertDescription;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Limits;
use super::activity::{Activity, Deadline, Verdict};
use super::framing::Framing;
use super::hints::{Hints, Topic};
use super::linger::Linger;
use super::mistaken::{self, HANDSHAKE};
use super::refused::Refused;
use super::service::Requests;
use super::shutdown::Shutdown;
use super::stream::{Socket, Stream};
use super::tls::Tls;
use super::watched::Watched;
use crate::http::Peer;

/// How much of an HTTP/1 upload is read at once, in bytes. Also bounds a head,
/// which [`Limits::head_bytes`] does sooner.
const READ_BUFFER: usize = 256 * 1024;

/// Bytes of one HTTP/2 upload, and of all on one connection, that a client may
/// send ahead: enough for 150 MB/s at 25 ms.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes of an HTTP/2 frame that we accept, and of an answer that we buffer.
const FRAME: u32 = 128 * 1024;
const SEND_BUFFER: usize = 1024 * 1024;

/// HTTP/2 requests that a client reset before we saw them (CVE-2023-44487), and
/// those that we reset for errors of its own.
const PENDING_RESETS: usize = 20;
const ERROR_RESETS: usize = 256;

/// When a silent HTTP/2 client is asked whether it lives, and how long it has
/// for the answer.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) limits: Arc<Limits>,
    pub(super) tls: Option<Arc<Tls>>,
    /// HTTP/2 by prior knowledge on a plain port.
    pub(super) h2c: bool,
    pub(super) hints: Hints,
    /// Of the listening socket; `None` on a unix socket.
    pub(super) local: Option<SocketAddr>,
    pub(super) shutdown: Shutdown,
    /// Ends connections that have not finished in time.
    pub(super) cut: CancellationToken,
}

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, socket: Socket, from: Option<SocketAddr>) {
    let started = async {
        tokio::select! {
            biased;
            // Whoever has not said anything yet is told to go elsewhere.
            () = shared.shutdown.draining() => None,
            started = start(&shared, socket, from) => started,
        }
    };
    if let Some((stream, protocol)) = started.await {
        speak_http(&shared, stream, protocol, from).await;
    }
}

/// Which versions of HTTP a connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    /// The client's first bytes decide.
    Either,
}

/// Gets a connection to where HTTP begins, or says why not.
async fn start(
    shared: &Shared,
    socket: Socket,
    from: Option<SocketAddr>,
) -> Option<(Stream, Protocol)> {
    match (&shared.tls, first_byte(shared, &socket).await?) {
        (None, Some(HANDSHAKE)) => {
            tls_on_plain(shared, socket, from).await;
            None
        }
        (None, _) => {
            let protocol = match shared.h2c {
                true => Protocol::Either,
                false => Protocol::Http1,
            };
            Some((Stream::Plain(socket), protocol))
        }
        (Some(tls), None | Some(HANDSHAKE)) => handshake(shared, tls, socket, from).await,
        (Some(_), Some(_)) => {
            plain_on_tls(shared, socket, from).await;
            None
        }
    }
}

/// The first byte, left where it is: `Some(None)` if it cannot be looked at
/// (unix sockets, whose clients are configured by hand), `None` if there is none.
async fn first_byte(shared: &Shared, socket: &Socket) -> Option<Option<u8>> {
    let Socket::Tcp(stream) = socket else {
        return Some(None);
    };
    let mut byte = [0];
    let patience = match shared.tls {
        Some(_) => shared.limits.handshake,
        None => shared.limits.head,
    };
    match timeout(patience, stream.peek(&mut byte)).await {
        Ok(Ok(1)) => Some(byte.first().copied()),
        _ => None,
    }
}

async fn tls_on_plain(shared: &Shared, mut socket: Socket, from: Option<SocketAddr>) {
    let answered = timeout(shared.limits.handshake, mistaken::answer_tls(&mut socket));
    let name = answered.await.ok().and_then(Result::ok).flatten();
    if !shared.hint_due(Topic::TlsOnPlain, from) {
        return;
    }
    let (client, port) = (address(from), shared.port());
    let host = name.as_deref().unwrap_or("HOST");
    warn!(
        hint = "tls-on-plain",
        "{client} speaks TLS to the plain-HTTP port {port}: configure http.tls.certificate and http.tls.key here, or on that host add \"{host}:{port}\" to insecure-registries in /etc/docker/daemon.json"
    );
}

async fn plain_on_tls(shared: &Shared, mut socket: Socket, from: Option<SocketAddr>) {
    let own = shared
        .local
        .map_or_else(|| "HOST".to_owned(), |local| local.to_string());
    let answered = timeout(
        shared.limits.handshake,
        mistaken::answer_plain(&mut socket, &own),
    );
    let host = answered.await.ok().and_then(Result::ok).unwrap_or(own);
    if !shared.hint_due(Topic::PlainOnTls, from) {
        return;
    }
    warn!(
        hint = "plain-on-tls",
        "{} speaks plain HTTP to the TLS port {}: it must use https://{host}; for docker, remove \"{host}\" from insecure-registries in /etc/docker/daemon.json and trust our CA",
        address(from),
        shared.port(),
    );
}

async fn handshake(
    shared: &Shared,
    tls: &Tls,
    socket: Socket,
    from: Option<SocketAddr>,
) -> Option<(Stream, Protocol)> {
    let deadline = Instant::now() + shared.limits.handshake;
    let mut asked_for = None;
    let shaken = async {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        asked_for = hello.client_hello().server_name().map(str::to_owned);
        hello.into_stream(Arc::clone(&tls.current().config)).await
    };
    match timeout_at(deadline, shaken).await {
        Ok(Ok(stream)) => {
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            Some((Stream::Tls(Box::new(stream)), protocol))
        }
        Ok(Err(error)) => {
            if is_distrust(&error) && shared.hint_due(Topic::Untrusted, from) {
                untrusted(shared, tls, from, asked_for.as_deref());
            }
            debug!(client = %address(from), %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            debug!(client = %address(from), "TLS handshake took too long");
            None
        }
    }
}

/// Whether the client ended the handshake because of our certificate: Go says
/// `bad certificate`, OpenSSL `unknown ca`, others `certificate unknown`.
fn is_distrust(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
        ))
    )
}

fn untrusted(shared: &Shared, tls: &Tls, from: Option<SocketAddr>, asked_for: Option<&str>) {
    let current = tls.current();
    let (client, port, leaf) = (address(from), shared.port(), &current.leaf);
    let host = asked_for.unwrap_or("HOST");
    let names = leaf.names.join(" ");
    warn!(
        hint = "untrusted",
        fingerprint = %leaf.fingerprint,
        "{client} does not trust our certificate (SHA-256 {}, valid for: {names}): if the name that it uses is among these, put the CA's certificate there as /etc/docker/certs.d/{host}:{port}/ca.crt; other clients: certs/README.md",
        leaf.fingerprint,
    );
}

/// Serves HTTP until the client leaves, a limit is passed or the server stops.
async fn speak_http(shared: &Shared, stream: Stream, protocol: Protocol, from: Option<SocketAddr>) {
    let activity = Activity::new(protocol == Protocol::Http2);
    let framing = Arc::new(Framing::default());
    let peer = Peer {
        address: from,
        tls: matches!(stream, Stream::Tls(_)),
    };
    let refused = Refused::new(shared.router.clone(), peer.clone());
    let requests = Requests {
        router: shared.router.clone(),
        peer,
        limits: Arc::clone(&shared.limits),
        activity: Arc::clone(&activity),
        framing: Arc::clone(&framing),
    };
    let linger = Linger::new(shared.shutdown.clone());
    let may_multiplex = protocol != Protocol::Http1;
    let watched = Watched::new(
        stream,
        Arc::clone(&activity),
        framing,
        refused,
        linger,
        may_multiplex,
    );
    let io = TokioIo::new(watched);
    let builder = builder(protocol, &shared.limits);
    let service = service_fn(move |request| requests.clone().answer(request));
    let mut connection = pin!(builder.serve_connection(io, service));

    let mut draining = pin!(shared.shutdown.draining());
    let mut closing = false;
    // When an idle connection that was asked to close must be closed.
    let mut grace = None;
    let mut timer = pin!(sleep_until(activity.deadline(&shared.limits).at));
    loop {
        let deadline = || match (activity.deadline(&shared.limits), grace) {
            (
                Deadline {
                    at,
                    verdict: Verdict::Idle,
                },
                Some(grace),
            ) => Deadline {
                at: at.max(grace),
                verdict: Verdict::Idle,
            },
            (deadline, _) => deadline,
        };
        // After the connection's own poll: what it did may have brought the
        // deadline nearer.
        let due = poll_fn(|context: &mut Context<'_>| {
            let next = deadline();
            if next.at < timer.deadline() {
                timer.as_mut().reset(next.at);
            }
            timer.as_mut().poll(context)
        });
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(client = %address(from), %error, "connection failed");
                }
                return;
            }
            () = shared.cut.cancelled() => return,
            () = draining.as_mut(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = due => {
                let deadline = deadline();
                if deadline.at > Instant::now() {
                    timer.as_mut().reset(deadline.at);
                    continue;
                }
                match deadline.verdict {
                    Verdict::Fine => {}
                    Verdict::Idle if grace.is_none() => {
                        closing = true;
                        grace = Some(Instant::now() + shared.limits.answer_stall);
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Idle => return,
                    Verdict::Cut(why) => {
                        debug!(client = %address(from), "closed the connection: {why}");
                        return;
                    }
                }
            }
        }
    }
}

fn builder(protocol: Protocol, limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Ours: hyper's would close idle connections, too.
        .header_read_timeout(None)
        // As registry:2 writes them: scripts look for `Docker-Content-Digest`.
        .title_case_headers(true)
        .max_headers(limits.head_fields)
        .max_buf_size(READ_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        // Beyond it the answer has no errors document, so ours comes first.
        .max_header_list_size(u32::try_from(limits.head_bytes * 2).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_ANSWER);
    match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
        Protocol::Either => builder,
    }
}

impl Shared {
    pub(super) fn hint_due(&self, topic: Topic, from: Option<SocketAddr>) -> bool {
        let address = from.map(|from| from.ip());
        self.hints.due(topic, address, std::time::Instant::now())
    }

    fn port(&self) -> String {
        self.local
            .map_or_else(|| "PORT".to_owned(), |local| local.port().to_string())
    }
}

/// Who, in a log line.
fn address(from: Option<SocketAddr>) -> String {
    from.map_or_else(|| "a local client".to_owned(), |from| from.ip().to_string())
}
