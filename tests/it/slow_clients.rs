//! Clients that are slow, silent or gone: each is bounded, and nobody else
//! notices. The group `slow` of `bad-inputs.json`, action by action.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::content::{noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, connect};

/// How long a connection may wait for a whole head (docs/limits.md), and what a
/// busy machine may add.
const HEAD: Duration = Duration::from_secs(15);
const ALLOWANCE: Duration = Duration::from_secs(10);

// bad input: slow-idle-2000
#[test]
fn two_thousand_silent_connections_end_and_nobody_else_notices() {
    wharf::server::raise_open_files();
    let server = Registry::start();
    let repo = Repo::on(&server, "beside");
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..2000)
        .map(|_| connect(repo.host(), HEAD + ALLOWANCE))
        .collect();
    let asked = Instant::now();
    repo.tag("latest", "one");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "others are served"
    );
    for mut socket in silent {
        let mut heard = Vec::new();
        // Ended, with or without a word; not by our own limit.
        if let Err(error) = socket.read_to_end(&mut heard) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let took = begun.elapsed();
    assert!(took < HEAD + ALLOWANCE, "{} s", took.as_secs());
    repo.get("manifests/latest").expect(200);
}

#[test]
fn a_head_that_trickles_in_ends_at_its_limit() {
    let server = Registry::start();
    let begun = Instant::now();
    let mut socket = connect(server.host(), Duration::from_millis(500));
    socket
        .write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let gone = socket.write_all(b"a").is_err();
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => heard.extend(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(_) if gone => break,
            Err(_) => {}
        }
        assert!(begun.elapsed() < HEAD + ALLOWANCE, "still open");
    }
    if let Some((answer, _)) = Answer::parse(&heard, false) {
        assert_eq!(answer.status, 408, "{answer}");
    }
}

// bad input: slow-rst-mid-patch
#[test]
fn an_upload_whose_connection_is_reset_goes_on_and_leaves_nothing_behind() {
    let server = Registry::start();
    let repo = Repo::on(&server, "reset");
    let content = noise(1, 2_000_000);
    let location = repo.start();
    let half = repo
        .at("PATCH", &location)
        .header("Content-Length", content.len())
        .body(&content[..1_000_000]);
    reset_after(&repo, &half.bytes(), || repo.received(&location) > 0);
    let received = eventually("a session that nobody holds", PATIENCE, || {
        let received = repo.received(&location);
        let next = repo
            .at("PATCH", &location)
            .header("Content-Range", format!("{received}-{received}"))
            .body(&content[received..=received])
            .send();
        (next.status == 202).then_some(received + 1)
    });
    assert!(received <= 1_000_001, "{received}");
    let closing = with_query(&location, &format!("digest={}", sha256(&content)));
    let put = repo.at("PUT", &closing).body(&content[received..]).send();
    put.expect(201);
    repo.at("GET", &location)
        .send()
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(uploads(server.data()), 0, "no session is left");
}

// bad input: slow-continue
#[test]
fn who_has_no_login_is_refused_before_the_body_is_asked_for() {
    let server = Registry::with().user("moby", "gordon").start();
    let repo = Repo::on(&server, "expected");
    for (method, rest) in [
        ("PUT", "manifests/latest"),
        ("PUT", "blobs/uploads/none?digest=sha256:00"),
        ("POST", "blobs/uploads/"),
        ("PATCH", "blobs/uploads/none"),
    ] {
        let head = repo
            .ask(method, rest)
            .header("Expect", "100-continue")
            .header("Content-Length", 1_000_000);
        let mut socket = connect(repo.host(), Duration::from_secs(5));
        socket.write_all(&head.bytes()).unwrap();
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard);
        let text = String::from_utf8_lossy(&heard);
        assert!(text.starts_with("HTTP/1.1 401 "), "{method} {rest}: {text}");
        assert!(!text.contains("100 Continue"), "{text}");
    }
}

#[test]
fn who_has_a_login_is_asked_for_the_body() {
    let server = Registry::start();
    let repo = Repo::on(&server, "expected");
    let location = repo.start();
    let head = repo
        .at("PATCH", &location)
        .header("Expect", "100-continue")
        .header("Content-Length", 10);
    let mut socket = connect(repo.host(), PATIENCE);
    socket.write_all(&head.bytes()).unwrap();
    let mut word = [0; 25];
    socket.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"0123456789").unwrap();
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).unwrap();
    let (answer, _) = Answer::parse(&heard, false).unwrap();
    answer.expect(202);
}

/// Sends a request and then resets the connection: the system does that when
/// one is closed with bytes on it that were never read, here an answer to an
/// earlier request.
fn reset_after(repo: &Repo, request: &[u8], arrived: impl Fn() -> bool) {
    let mut socket = connect(repo.host(), PATIENCE);
    let earlier = repo.at("GET", "/v2/").header("Connection", "keep-alive");
    socket.write_all(&earlier.bytes()).unwrap();
    socket.peek(&mut [0]).unwrap();
    socket.write_all(request).unwrap();
    eventually("bytes of the request", PATIENCE, || arrived().then_some(()));
}

/// How many upload sessions and unfinished files are on disk.
fn uploads(directory: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.ends_with("_uploads") {
            count += fs::read_dir(&path).unwrap().count();
        } else if path.is_dir() {
            count += uploads(&path);
        }
    }
    count
}
