//! Upload sessions: their status, their end, and who may go on with them.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use crate::content::{ABSENT, noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Manner, Registry, eventually};
use crate::wire::{PATIENCE, connect};

// spec: 44
#[test]
fn the_status_tells_what_was_received_at_every_location_of_the_session() {
    let repo = Repo::fresh();
    let first = repo.start();
    let status = repo.at("GET", &first).send().expect(204);
    assert_eq!(status.must("range"), "0-0");
    assert!(!status.must("location").is_empty());
    assert!(!status.must("docker-upload-uuid").is_empty());
    let answer = repo.at("PATCH", &first).body("0123456789").send();
    let second = answer.expect(202).must("location").to_owned();
    for location in [&first, &second] {
        let status = repo.at("GET", location).send().expect(204);
        assert_eq!(status.must("range"), "0-9");
        repo.at("HEAD", location).send().expect(204);
    }
    // The location that a status gives leads on.
    let status = repo.at("GET", &first).send();
    let closing = with_query(
        status.must("location"),
        &format!("digest={}", sha256(b"0123456789")),
    );
    repo.at("PUT", &closing).body("").send().expect(201);
}

// spec: 45
#[test]
fn a_session_that_is_unknown_finished_or_cancelled_is_404() {
    let repo = Repo::fresh();
    let finished = repo.start();
    let closing = with_query(&finished, &format!("digest={}", sha256(b"x")));
    repo.at("PUT", &closing).body("x").send().expect(201);
    let cancelled = repo.start();
    repo.at("DELETE", &cancelled).send().expect(204);
    let wrong = repo.start();
    let closing = with_query(&wrong, &format!("digest={ABSENT}"));
    repo.at("PUT", &closing).body("x").send().expect(400);
    let unknown = repo.path("blobs/uploads/00000000-0000-4000-8000-000000000000");
    let malformed = repo.path("blobs/uploads/x");
    for location in [finished, cancelled, wrong, unknown, malformed] {
        let closing = with_query(&location, &format!("digest={}", sha256(b"y")));
        for request in [
            repo.at("PATCH", &location).body("y"),
            repo.at("PUT", &closing).body("y"),
            repo.at("GET", &location),
            repo.at("DELETE", &location),
        ] {
            request.send().refused(404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    repo.get(&format!("blobs/{}", sha256(b"y"))).expect(404);
}

// spec: 45
#[test]
fn a_session_belongs_to_its_repository() {
    let repo = Repo::fresh();
    let other = repo.beside("other");
    other.push(b"something");
    let location = repo.start();
    let id = location.rsplit('/').next().unwrap();
    let elsewhere = other.path(&format!("blobs/uploads/{id}"));
    repo.at("PATCH", &elsewhere)
        .body("x")
        .send()
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
    repo.at("DELETE", &elsewhere)
        .send()
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(repo.received(&location), 0);
}

// spec: 46
#[test]
fn a_cancelled_upload_is_204_and_gone() {
    let repo = Repo::fresh();
    let location = repo.start();
    repo.at("PATCH", &location).body("abc").send().expect(202);
    repo.at("DELETE", &location).send().expect(204);
    repo.at("GET", &location)
        .send()
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
}

// spec: 47
#[test]
fn an_upload_that_nobody_finishes_times_out() {
    let server = Registry::with()
        .env(
            "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING",
            "{enabled: true, age: 1s, interval: 1s, dryrun: false}",
        )
        .start();
    let repo = Repo::on(&server, "left/behind");
    let location = repo.start();
    repo.at("PATCH", &location).body("abc").send().expect(202);
    eventually("the upload's end", Duration::from_secs(60), || {
        let status = repo.at("GET", &location).send();
        (status.status == 404).then(|| status.refused(404, "BLOB_UPLOAD_UNKNOWN"))
    });
    let left = std::fs::read_dir(
        server
            .data()
            .join("docker/registry/v2/repositories/left/behind/_uploads"),
    );
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

#[test]
fn a_client_that_is_still_sending_learns_why_it_was_refused() {
    let repo = Repo::fresh();
    let unknown = repo.path("blobs/uploads/00000000-0000-4000-8000-000000000000");
    let content = noise(9, 32_000_000);
    for request in [
        repo.at("PATCH", &unknown).body(content.as_slice()),
        repo.at("PATCH", &unknown).chunked(content.as_slice()),
        repo.ask("POST", "blobs/uploads/?digest=wrong")
            .body(content.as_slice()),
    ] {
        let answer = request.send();
        assert!(matches!(answer.status, 400 | 404), "{answer}");
        answer.code();
    }
}

#[test]
fn what_a_broken_connection_delivered_can_be_continued() {
    let repo = Repo::fresh();
    let content = noise(8, 24_000_000);
    let location = repo.start();
    let request = repo
        .at("PATCH", &location)
        .header("Content-Length", content.len())
        .body(&content[..22_000_000]);
    let mut socket = connect(repo.host(), PATIENCE);
    socket.write_all(&request.bytes()).unwrap();
    // On an object store they are seen when the request has ended; but so many
    // don't fit between us and the server, so it has some.
    if !Manner::of_this_run().s3 {
        eventually("bytes of the PATCH", PATIENCE, || {
            (repo.received(&location) > 0).then_some(())
        });
    }
    drop(socket);
    // The next writer waits for the broken one, so this is in order.
    let received = eventually("the bytes of the broken PATCH", PATIENCE, || {
        let begun = repo.at("PATCH", &location).body("").send();
        (begun.status == 202).then(|| repo.received(&location))
    });
    assert!((1..=22_000_000).contains(&received), "{received}");
    let closing = with_query(&location, &format!("digest={}", sha256(&content)));
    repo.at("PUT", &closing)
        .header("Content-Range", format!("{received}-{}", content.len() - 1))
        .body(&content[received..])
        .send()
        .expect(201);
}

// spec: 108
#[test]
fn a_second_writer_is_429_and_told_when_to_come_back() {
    let repo = Repo::fresh();
    let location = repo.start();
    let first = repo
        .at("PATCH", &location)
        .header("Content-Length", 10)
        .header("Expect", "100-continue")
        .body("");
    let mut socket = connect(repo.host(), PATIENCE);
    socket.write_all(&first.bytes()).unwrap();
    // The server asks for content only once the session is this request's.
    let mut interim = [0; 12];
    socket.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100");
    socket.write_all(b"01234").unwrap();

    let second = repo.at("PATCH", &location).body("other").send();
    let second = second.refused(429, "TOOMANYREQUESTS");
    let seconds: u32 = second.must("retry-after").parse().expect("seconds");
    assert!(seconds >= 1);

    socket.write_all(b"56789").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(repo.received(&location), 10);
}
