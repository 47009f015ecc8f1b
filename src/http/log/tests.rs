//! What the line says, when, and what passes through the layer unchanged.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::{any, get, put};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, USER_AGENT};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tower::ServiceExt as _;
use tracing::Level;

use super::*;
use crate::http::Peer;
use crate::observe::log::testing::Captured;
use crate::observe::log::{Format, Settings};

const METRICS: fn() -> Metrics = || Metrics::new("1.2.3");

fn capture() -> Captured {
    Captured::start(&Settings {
        level: Level::INFO,
        format: Format::Text,
        fields: Vec::new(),
        requests: true,
    })
}

fn layered(router: Router, requests: Requests) -> Router {
    router.layer(from_fn_with_state(requests, log_requests))
}

fn request(method: &str, uri: &str) -> Request {
    let peer = Peer {
        address: Some("10.0.0.7:40000".parse().unwrap()),
        tls: true,
    };
    let builder = Request::builder().method(method).uri(uri);
    builder.extension(peer).body(Body::empty()).unwrap()
}

fn facts() -> Facts {
    Facts {
        user: Some("ada".into()),
        operation: "manifest",
        repository: Some("team/app".into()),
        reference: Some("v1".into()),
        error: None,
        quiet: false,
        ..Facts::default()
    }
}

/// The lines without what differs from run to run.
fn lines(captured: &Captured) -> String {
    let ms = regex_lite::Regex::new(r" ms=[0-9.]+").unwrap();
    let id = regex_lite::Regex::new("request_id=[0-9a-f-]{36}").unwrap();
    let text = captured.text().replace("1970-01-01T00:00:00.000Z ", "");
    let text = ms.replace_all(&text, " ms=MS");
    id.replace_all(&text, "request_id=ID").into_owned()
}

async fn manifest() -> Response {
    let mut response = "twelve bytes".into_response();
    response.extensions_mut().insert(facts());
    response
}

#[tokio::test]
async fn one_line_tells_who_asked_for_what_and_what_became_of_it() {
    let captured = capture();
    let router = Router::new().route("/v2/team/app/manifests/v1", get(manifest));
    let router = layered(router, Requests::new(METRICS(), true));
    let mut request = request("GET", "/v2/team/app/manifests/v1?token=secret");
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, "docker/28.2 \"x\"\tos".parse().unwrap());
    headers.insert(AUTHORIZATION, "Basic c2VjcmV0".parse().unwrap());
    let response = router.oneshot(request).await.unwrap();
    let id = response.headers().get(X_REQUEST_ID).unwrap().clone();
    assert!(response.extensions().get::<Facts>().is_none());
    assert_eq!(captured.text(), "", "the answer has not ended yet");
    response.into_body().collect().await.unwrap();
    assert!(captured.text().contains(id.to_str().unwrap()));
    insta::assert_snapshot!(lines(&captured), @r#"INFO  response completed client=10.0.0.7:40000 user=ada method=GET operation=manifest repository=team/app reference=v1 status=200 bytes=12 received=0 ms=MS request_id=ID user_agent="docker/28.2 \"x\"\tos""#);
}

#[tokio::test]
async fn an_unknown_path_is_shown_bounded_and_escaped_without_its_query() {
    let captured = capture();
    let router = layered(Router::new(), Requests::new(METRICS(), true));
    let path = format!("/%0aINFO\u{e9}{}?password=secret", "x".repeat(1000));
    let response = router.oneshot(request("BREW", &path)).await.unwrap();
    response.into_body().collect().await.unwrap();
    let text = lines(&captured);
    assert!(!text.contains("secret"), "{text}");
    assert!(text.len() < 500, "{text}");
    let text = text.replace(&"x".repeat(247), "X");
    insta::assert_snapshot!(text, @r#"INFO  response completed with error client=10.0.0.7:40000 method=BREW path="/%0aINFOéX…" status=404 bytes=0 received=0 ms=MS request_id=ID"#);
}

#[tokio::test]
async fn a_failure_is_an_error_with_its_cause_even_without_lines() {
    let captured = capture();
    let fails = || async {
        let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
        response.extensions_mut().insert(Facts {
            error: Some("the storage is full: no space left\non device".into()),
            ..facts()
        });
        response
    };
    let requests = Requests::new(METRICS(), false);
    let router = Router::new()
        .route("/v2/", get(fails))
        .route("/", get(manifest));
    let router = layered(router, requests.clone());
    for path in ["/", "/v2/"] {
        let response = router.clone().oneshot(request("GET", path)).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    insta::assert_snapshot!(lines(&captured), @r#"ERROR response completed with error client=10.0.0.7:40000 user=ada method=GET operation=manifest repository=team/app reference=v1 status=503 bytes=0 received=0 ms=MS error="the storage is full: no space left\non device" request_id=ID"#);

    requests.set_lines(true);
    drop(router.oneshot(request("HEAD", "/")).await.unwrap());
    assert_eq!(captured.text().lines().count(), 2);
}

#[tokio::test]
async fn bytes_of_both_directions_are_counted() {
    let captured = capture();
    let metrics = METRICS();
    let echo = |body: Bytes| async move {
        assert_eq!(body.len(), 100_000);
        (StatusCode::CREATED, "ok")
    };
    let router = Router::new().route("/v2/a/blobs/uploads/1", put(echo));
    let router = layered(router, Requests::new(metrics.clone(), true));
    let mut request = request("PUT", "/v2/a/blobs/uploads/1");
    *request.body_mut() = Body::from(vec![0; 100_000]);
    let response = router.oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let text = captured.text();
    assert!(
        text.contains(" status=201 bytes=2 received=100000 "),
        "{text}"
    );
    let text = metrics.text().unwrap();
    for line in [
        r#"registry_http_requests_total{handler="blob_upload_chunk",code="201",method="put"} 1"#,
        r#"registry_http_request_size_bytes_sum{handler="blob_upload_chunk"} 100000.0"#,
        r#"registry_http_in_flight_requests{handler="blob_upload_chunk"} 0"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

/// Some frames of five bytes and then, if wanted, an error.
fn stream(frames: usize, error: bool) -> Body {
    let data = move |n| match n {
        n if n < frames => Ok(Bytes::from_static(b"12345")),
        _ => Err(std::io::Error::other("the disk failed")),
    };
    let last = frames + usize::from(error);
    Body::from_stream(futures_util::stream::iter((0..last).map(data)))
}

#[tokio::test]
async fn an_answer_that_is_cut_short_says_so() {
    let captured = capture();
    let with_length = || async { ([(CONTENT_LENGTH, "15")], stream(3, false)) };
    let router = Router::new()
        .route("/chunked", get(|| async { stream(3, false) }))
        .route("/length", get(with_length))
        .route("/broken", get(|| async { stream(1, true) }));
    let router = layered(router, Requests::new(METRICS(), true));
    for (path, frames) in [
        ("/chunked", 1),
        ("/chunked", 3),
        ("/chunked", 4),
        ("/length", 2),
        // hyper polls no further than the length that it announced.
        ("/length", 3),
        ("/broken", 9),
    ] {
        let response = router.clone().oneshot(request("GET", path)).await.unwrap();
        let mut body = response.into_body();
        for _ in 0..frames {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
        drop(body);
    }
    insta::assert_snapshot!(lines(&captured), @r#"
    INFO  response aborted client=10.0.0.7:40000 method=GET path=/chunked status=200 bytes=5 received=0 ms=MS aborted=true request_id=ID
    INFO  response aborted client=10.0.0.7:40000 method=GET path=/chunked status=200 bytes=15 received=0 ms=MS aborted=true request_id=ID
    INFO  response completed client=10.0.0.7:40000 method=GET path=/chunked status=200 bytes=15 received=0 ms=MS request_id=ID
    INFO  response aborted client=10.0.0.7:40000 method=GET path=/length status=200 bytes=10 received=0 ms=MS aborted=true request_id=ID
    INFO  response completed client=10.0.0.7:40000 method=GET path=/length status=200 bytes=15 received=0 ms=MS request_id=ID
    ERROR response aborted client=10.0.0.7:40000 method=GET path=/broken status=200 bytes=5 received=0 ms=MS aborted=true error="the disk failed" request_id=ID
    "#);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_has_its_line_too() {
    let captured = capture();
    let never = any(|| async { std::future::pending::<()>().await });
    let router = layered(
        Router::new().route("/v2/", never),
        Requests::new(METRICS(), true),
    );
    let answer = router.oneshot(request("GET", "/v2/"));
    let left = tokio::time::timeout(Duration::from_millis(20), answer).await;
    assert!(left.is_err());
    insta::assert_snapshot!(lines(&captured), @"INFO  response aborted client=10.0.0.7:40000 method=GET path=/v2/ status=499 bytes=0 received=0 ms=MS aborted=true request_id=ID");
}

#[tokio::test]
async fn answers_without_a_body_are_complete_unread() {
    let captured = capture();
    let router = Router::new()
        .route("/", get(|| async { stream(3, false) }))
        .route(
            "/none",
            get(|| async { (StatusCode::NO_CONTENT, stream(1, false)) }),
        )
        .route("/empty", get(|| async {}));
    let router = layered(router, Requests::new(METRICS(), true));
    for (method, path) in [("HEAD", "/"), ("GET", "/none"), ("GET", "/empty")] {
        drop(router.clone().oneshot(request(method, path)).await.unwrap());
    }
    let text = captured.text();
    assert_eq!(text.matches("response completed").count(), 3, "{text}");
    assert!(!text.contains("aborted"), "{text}");
}

#[tokio::test]
async fn bodies_pass_through_unchanged() {
    let _captured = capture();
    let data = Bytes::from(vec![7; 1 << 20]);
    let address = data.as_ptr();
    let full = move || async move { Body::from(data) };
    let trailers = || async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("checksum", "1".parse().unwrap());
        let frames = [
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"1"))),
            Ok(Frame::trailers(trailers)),
        ];
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    };
    let router = Router::new()
        .route("/full", get(full))
        .route("/trailers", get(trailers))
        .route("/empty", get(|| async { Body::empty() }));
    let router = layered(router, Requests::new(METRICS(), true));
    let ask = async |path| {
        let response = router.clone().oneshot(request("GET", path)).await;
        response.unwrap().into_body()
    };

    let mut body = ask("/full").await;
    assert_eq!(body.size_hint().exact(), Some(1 << 20));
    assert!(!body.is_end_stream());
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.data_ref().unwrap().as_ptr(), address, "no copy");
    assert!(body.is_end_stream());

    let body = ask("/trailers").await;
    assert_eq!(body.size_hint().exact(), None);
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["checksum"], "1");

    let body = ask("/empty").await;
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.into_data_stream().next().await.is_none());
}

#[tokio::test]
async fn lengths_stay_on_the_wire_and_what_was_sent_is_complete() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let captured = capture();
    let with_length = || async { ([(CONTENT_LENGTH, "15")], stream(3, false)) };
    let router = Router::new()
        .route("/stream", get(with_length))
        .route("/full", get(|| async { "twelve bytes" }));
    let router = layered(router, Requests::new(METRICS(), true));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, router).await });

    for (head, length, body) in [
        ("GET /stream", 15, "123451234512345"),
        ("HEAD /stream", 15, ""),
        ("GET /full", 12, "twelve bytes"),
        ("HEAD /full", 12, ""),
        ("GET /none", 0, ""),
    ] {
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.contains(&format!("content-length: {length}\r\n")),
            "{answer}"
        );
        assert!(answer.contains("x-request-id: "), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
    server.abort();
    let text = captured.text();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(!text.contains("aborted"), "{text}");
}
