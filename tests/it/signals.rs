//! Signals that end the process: what runs is finished, nothing new begins,
//! and a second one does not wait.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::content::{noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Registry, eventually};
use crate::wire::{Answer, PATIENCE, connect};

/// Bytes of the upload that is running when the signal comes.
const SIZE: usize = 4_000_000;

#[test]
fn sigterm_lets_a_running_upload_finish_and_takes_no_new_connection() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "drained");
    let content = noise(1, SIZE);
    let location = repo.start();
    let mut socket = half_sent(&repo, &location, &content);
    let idle = connect(repo.host(), PATIENCE);

    server.signal(Signal::TERM);
    eventually("no new connections", PATIENCE, || {
        TcpStream::connect(repo.host()).err()
    });
    closed(idle);
    assert!(server.pid().is_some());
    socket.write_all(&content[SIZE / 2..]).unwrap();
    let answer = read(socket).expect("an answer").expect(202);
    let (first, last) = answer.must("range").split_once('-').unwrap();
    assert_eq!((first, last), ("0", (SIZE - 1).to_string().as_str()));
    assert!(server.wait().success(), "an orderly end");

    server.restart();
    assert_eq!(repo.received(&location), SIZE);
    let closing = with_query(&location, &format!("digest={}", sha256(&content)));
    repo.at("PUT", &closing).body("").send().expect(201);
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let mut server = Registry::start();
    let repo = Repo::on(&server, "cut");
    let location = repo.start();
    let socket = half_sent(&repo, &location, &noise(2, SIZE));
    server.signal(Signal::TERM);
    eventually("the first signal noticed", PATIENCE, || {
        server.log().contains("stopping").then_some(())
    });
    let begun = Instant::now();
    server.signal(Signal::TERM);
    server.wait();
    // Well below the 25 s that a running request has.
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(server.log().contains("second signal"), "{}", server.log());
    if let Some(answer) = read(socket) {
        assert_ne!(answer.status, 202, "nothing was finished");
    }
}

#[test]
fn sigint_is_an_orderly_end_too() {
    let mut server = Registry::start();
    server.signal(Signal::INT);
    assert!(server.wait().success());
}

#[test]
fn a_request_that_outlasts_the_drain_time_is_cut() {
    let mut server = Registry::with()
        .env("REGISTRY_HTTP_DRAINTIMEOUT", "200ms")
        .start();
    let repo = Repo::on(&server, "outlasted");
    let location = repo.start();
    let _socket = half_sent(&repo, &location, &noise(3, SIZE));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    server.wait();
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert!(server.log().contains("cut"), "{}", server.log());
}

/// A PATCH whose first half has arrived.
fn half_sent(repo: &Repo, location: &str, content: &[u8]) -> TcpStream {
    let request = repo
        .at("PATCH", location)
        .header("Content-Length", content.len())
        .body(&content[..content.len() / 2]);
    let mut socket = connect(repo.host(), PATIENCE);
    socket.write_all(&request.bytes()).unwrap();
    eventually("bytes of the upload", PATIENCE, || {
        (repo.received(location) > 0).then_some(())
    });
    socket
}

/// The answer on a connection, or `None` if it ends without one.
fn read(mut socket: TcpStream) -> Option<Answer> {
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    Answer::parse(&heard, false).map(|(answer, _)| answer)
}

/// A connection without a request is not waited for.
fn closed(mut socket: TcpStream) {
    let mut byte = [0];
    assert!(matches!(socket.read(&mut byte), Ok(0) | Err(_)));
}
