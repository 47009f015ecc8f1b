//! One request: what every one of them must be before the router sees it, and
//! what is put around it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::HOST;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tower::Service;

use super::Limits;
use super::activity::Activity;
use super::body::{Answer, Received};
use super::framing::Framing;
use crate::http::{Peer, Refusal};
use crate::oci::ErrorCode;

/// What all requests of one connection share.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) limits: Arc<Limits>,
    pub(super) activity: Arc<Activity>,
    pub(super) framing: Arc<Framing>,
}

impl Requests {
    /// Has a request answered by the router, which is told what is wrong with it.
    pub(super) async fn answer(
        mut self,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let mut running = self.activity.begin();
        let refusal = self.refusal(&request);
        let mut request = request.map(|body| Body::new(Received::new(body, &self.limits)));
        request.extensions_mut().insert(self.peer.clone());
        if let Some(refusal) = refusal {
            request.extensions_mut().insert(refusal);
        }
        let response = self.router.call(request).await?;
        running.answered();
        Ok(response.map(|body| Answer::new(body, running)))
    }

    /// What no request may be, on whatever path (RFC 9112 sections 3.2 and 6.3).
    fn refusal(&self, request: &Request<Incoming>) -> Option<Refusal> {
        let http1 = request.version() <= Version::HTTP_11;
        if http1 && self.framing.is_ambiguous() {
            return Some(refuse(
                StatusCode::BAD_REQUEST,
                "the request gives its length twice, by Content-Length and by Transfer-Encoding: send one of them",
            ));
        }
        if request.version() == Version::HTTP_11
            && request.headers().get_all(HOST).iter().count() != 1
        {
            return Some(refuse(
                StatusCode::BAD_REQUEST,
                "an HTTP/1.1 request has exactly one Host header",
            ));
        }
        if request.uri().path().len() > self.limits.head_bytes / 2 {
            return Some(Refusal {
                code: ErrorCode::NameInvalid,
                ..refuse(
                    StatusCode::URI_TOO_LONG,
                    "the path is too long: a repository's name has at most 255 bytes",
                )
            });
        }
        if head_bytes(request) > self.limits.head_bytes {
            return Some(refuse(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request's headers are too large: clear old cookies, shorten the path or the token",
            ));
        }
        None
    }
}

/// About how long the head was on the wire.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    // `: ` and the line's end.
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + headers.sum::<usize>()
}

fn refuse(status: StatusCode, message: &str) -> Refusal {
    Refusal {
        status,
        code: ErrorCode::Unsupported,
        message: message.to_owned(),
        cause: None,
    }
}

/// An errors document (distribution-spec, "Error Codes").
pub(super) fn errors(message: &str) -> String {
    serde_json::json!({
        "errors": [{
            "code": ErrorCode::Unsupported.as_str(),
            "message": message,
            "detail": null,
        }]
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_measured_with_its_target() {
        let request = Request::get("https://reg.test/v2/?n=1")
            .header("x", "12345")
            .body(())
            .unwrap();
        assert_eq!(
            head_bytes(&request),
            "/v2/?n=1".len() + "x: 12345\r\n".len()
        );
    }

    #[test]
    fn messages_are_escaped() {
        let document: serde_json::Value = serde_json::from_str(&errors("a \"b\"\n")).unwrap();
        assert_eq!(document["errors"][0]["message"], "a \"b\"\n");
        assert_eq!(document["errors"][0]["code"], "UNSUPPORTED");
        assert!(document["errors"][0]["detail"].is_null());
    }
}
