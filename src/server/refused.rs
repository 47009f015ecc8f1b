//! What hyper answers by itself, to bytes that are no request: a bare 400, 414
//! or 431. It is replaced on its way out by what the router says to a
//! [`Refusal`], so that the client reads what is wrong and the log has a line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::io::AsyncWrite;
use tower::ServiceExt as _;

use super::framing::Head;
use crate::http::{Peer, Refusal};
use crate::oci::ErrorCode;

/// The most bytes of an answer of hyper's own.
const BARE: usize = 256;

/// Replaces hyper's own answers on one connection.
pub(super) struct Refused {
    router: Router,
    peer: Peer,
    instead: Option<Instead>,
}

/// What goes out in place of hyper's answer.
enum Instead {
    Making(Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
    Sending { bytes: Vec<u8>, sent: usize },
}

impl Refused {
    pub(super) fn new(router: Router, peer: Peer) -> Self {
        Self {
            router,
            peer,
            instead: None,
        }
    }

    /// Whether an answer is on its way out.
    pub(super) fn is_sending(&self) -> bool {
        self.instead.is_some()
    }

    /// Has an answer made to a head that hyper refuses with `status`.
    pub(super) fn begin(&mut self, status: StatusCode, head: &Head) {
        let making = make(self.router.clone(), self.peer.clone(), status, head);
        self.instead = Some(Instead::Making(making));
    }

    /// Writes it; ready when all of it is written.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.instead {
                None => return Poll::Ready(Ok(())),
                Some(Instead::Making(making)) => {
                    let bytes = ready!(making.as_mut().poll(context));
                    self.instead = Some(Instead::Sending { bytes, sent: 0 });
                }
                Some(Instead::Sending { bytes, sent }) => {
                    let rest = bytes.get(*sent..).unwrap_or_default();
                    if rest.is_empty() {
                        self.instead = None;
                        continue;
                    }
                    match ready!(Pin::new(&mut *stream).poll_write(context, rest)) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(count) => *sent += count,
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }
}

/// The status of an answer that hyper makes by itself: a head alone, without a
/// body and without anything that we put into every answer.
pub(super) fn status(bytes: &[u8]) -> Option<StatusCode> {
    if bytes.len() > BARE || !bytes.starts_with(b"HTTP/1.") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let status = StatusCode::from_bytes(bytes.get(9..12)?).ok()?;
    let is_bare =
        text.contains("\r\ncontent-length: 0\r\n") && !text.contains("docker-distribution");
    (status.is_client_error() && is_bare).then_some(status)
}

fn make(
    router: Router,
    peer: Peer,
    status: StatusCode,
    head: &Head,
) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> {
    let refusal = refusal(status, head);
    let mut words = head.line.split(|byte| *byte == b' ');
    let method = words
        .next()
        .and_then(|word| Method::from_bytes(word).ok())
        .unwrap_or_default();
    let target = words.next().and_then(|word| Uri::try_from(word).ok());
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.clone();
    *request.uri_mut() = target.unwrap_or_default();
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(refusal);
    Box::pin(async move {
        let Ok(response) = router.oneshot(request).await;
        bytes(response, method == Method::HEAD).await
    })
}

fn refusal(status: StatusCode, head: &Head) -> Refusal {
    let (status, code, message) = match status {
        StatusCode::URI_TOO_LONG => (
            status,
            if head.line.contains(&b'?') {
                ErrorCode::Unsupported
            } else {
                ErrorCode::NameInvalid
            },
            "the request's path and query are too long: shorten them",
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if head.is_oversized => (
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::SizeInvalid,
            "the Content-Length is larger than any content",
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            status,
            ErrorCode::Unsupported,
            "the request's headers are too large or too many: clear old cookies, shorten the path or the token",
        ),
        _ => (
            StatusCode::BAD_REQUEST,
            ErrorCode::Unsupported,
            "this is no request of HTTP: its first line or one of its headers is malformed",
        ),
    };
    // A query may hold what nobody should read in a log.
    let line = head.line.split(|byte| *byte == b'?').next();
    let line = line.unwrap_or_default().escape_ascii();
    Refusal {
        status,
        code,
        message: message.to_owned(),
        cause: Some(format!("{message}; it began with \"{line}\"")),
    }
}

/// An answer as it goes over the wire (RFC 9112, section 4).
async fn bytes(response: Response, head_only: bool) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    // It is in memory already.
    let body = body.collect().await.map_or_else(
        |_| axum::body::Bytes::new(),
        http_body_util::Collected::to_bytes,
    );
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).into_bytes();
    write_fields(&mut bytes, &parts.headers);
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let rest = format!("Content-Length: {}\r\nDate: {date}\r\n\r\n", body.len());
    bytes.extend(rest.into_bytes());
    if !head_only {
        bytes.extend(body);
    }
    bytes
}

/// As hyper writes them for every other answer.
fn write_fields(bytes: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        let mut begins = true;
        for byte in name.as_str().bytes() {
            bytes.push(if begins {
                byte.to_ascii_uppercase()
            } else {
                byte
            });
            begins = byte == b'-';
        }
        bytes.extend(b": ");
        bytes.extend(value.as_bytes());
        bytes.extend(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_hypers_own() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n\r\n";
        assert_eq!(status(bare.as_bytes()).map(|it| it.as_u16()), Some(431));
        for other in [
            bare.replace("431", "204"),
            bare.replace("Length: 0", "Length: 7"),
            bare.replace(
                "Date:",
                "Docker-Distribution-Api-Version: registry/2.0\r\nDate:",
            ),
            format!("{bare}more"),
            String::new(),
        ] {
            assert_eq!(status(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_query_is_not_told_to_the_log() {
        let head = Head {
            line: b"GET /v2/?token=secret HTTP/9\x1b".to_vec(),
            is_oversized: false,
        };
        let cause = refusal(StatusCode::BAD_REQUEST, &head).cause.unwrap();
        assert!(cause.ends_with("it began with \"GET /v2/\""), "{cause}");
    }

    #[tokio::test]
    async fn an_answer_is_written_as_hyper_would() {
        let mut response = Response::new(Body::from("{}"));
        let name = http::header::CONTENT_TYPE;
        let value = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(name, value);
        let text = String::from_utf8(bytes(response, false).await).unwrap();
        let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with(" GMT\r\n\r\n{}"), "{text}");
    }
}
