//! A blob in one go (distribution-spec, "Pushing a blob monolithically").

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use crate::content::{ABSENT, noise, sha256, sha512};
use crate::repo::{Repo, with_query};
use crate::wire::{PATIENCE, connect};

// spec: 26, 27, 28, 29
#[test]
fn post_then_put_stores_a_blob_that_can_be_pulled() {
    let repo = Repo::fresh();
    let content = noise(1, 70_000);
    let started = repo.ask("POST", "blobs/uploads/").body("").send();
    let started = started.expect(202);
    let id = started.must("docker-upload-uuid").to_owned();
    let location = started.must("location").to_owned();
    assert!(location.contains(&id), "{started}");
    assert_eq!(started.must("range"), "0-0");
    assert_eq!(started.length(), 0);

    let closing = with_query(&location, &format!("digest={}", sha256(&content)));
    let put = repo.at("PUT", &closing).body(content.as_slice()).send();
    let put = put.expect(201);
    assert_eq!(put.must("docker-content-digest"), sha256(&content));
    let pulled = repo.at("GET", put.must("location")).send().expect(200);
    assert!(pulled.body == content);
}

// spec: 27
#[test]
fn every_session_has_an_id_of_its_own() {
    let repo = Repo::fresh();
    let mut ids: Vec<String> = (0..20).map(|_| repo.start()).collect();
    for location in &ids {
        let id = location.rsplit('/').next().unwrap();
        let id = id.split('?').next().unwrap();
        let uuid = uuid::Uuid::parse_str(id).expect("a UUID");
        // Its own version: the id says whose the session is.
        assert_eq!(uuid.get_version_num(), 8);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn locations_are_relative_so_that_every_proxy_is_passed() {
    let repo = Repo::fresh();
    let started = repo
        .ask("POST", "blobs/uploads/")
        .header("Host", "registry.example:8443")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example")
        .header("Forwarded", "proto=https;host=evil.example")
        .body("")
        .send()
        .expect(202);
    let prefix = repo.path("blobs/uploads/");
    assert!(started.must("location").starts_with(&prefix), "{started}");
}

// spec: 32, 33
#[test]
fn one_post_may_carry_the_whole_blob() {
    let repo = Repo::fresh();
    let content = noise(2, 70_000);
    for digest in [sha256(&content), sha512(&content)] {
        let answer = repo
            .ask("POST", &format!("blobs/uploads/?digest={digest}"))
            .header("Content-Type", "application/octet-stream")
            .body(content.as_slice())
            .send()
            .expect(201);
        assert_eq!(answer.must("docker-content-digest"), digest);
        let pulled = repo.at("GET", answer.must("location")).send().expect(200);
        assert!(pulled.body == content);
    }
    // The same with the colon escaped, as many clients do, and in chunks.
    let escaped = sha256(b"streamed").replace(':', "%3A");
    repo.ask("POST", &format!("blobs/uploads/?digest={escaped}"))
        .chunked("streamed")
        .send()
        .expect(201);
}

// spec: 30, 35
#[test]
fn content_that_has_another_digest_is_refused_and_not_stored() {
    let repo = Repo::fresh();
    let content = noise(3, 5000);
    let actual = sha256(&content);
    for wrong in [ABSENT, &sha512(b"other")] {
        repo.push_as(wrong, &content).refused(400, "DIGEST_INVALID");
        repo.ask("POST", &format!("blobs/uploads/?digest={wrong}"))
            .body(content.as_slice())
            .send()
            .refused(400, "DIGEST_INVALID");
        let location = repo.start();
        let patched = repo.at("PATCH", &location).body(content.as_slice()).send();
        let closing = with_query(patched.must("location"), &format!("digest={wrong}"));
        repo.at("PUT", &closing)
            .body("")
            .send()
            .refused(400, "DIGEST_INVALID");
        repo.get(&format!("blobs/{wrong}")).expect(404);
    }
    repo.get(&format!("blobs/{actual}")).expect(404);
}

// spec: 31
#[test]
fn a_digest_that_is_malformed_or_of_an_unknown_algorithm_is_400() {
    let repo = Repo::fresh();
    let upper = format!("sha256:{}", "A".repeat(64));
    let short = format!("sha512:{}", "a".repeat(64));
    for digest in [
        "sha256:abc",
        "sha256:",
        "md5:5d41402abc4b2a76b9719d911017c592",
        "blake3:abcdef",
        "5d41402abc4b2a76b9719d911017c592",
        "sha256%3A..%2F..%2Fetc",
        "",
        &upper,
        &short,
    ] {
        repo.push_as(digest, b"hello")
            .refused(400, "DIGEST_INVALID");
        repo.ask("POST", &format!("blobs/uploads/?digest={digest}"))
            .body("hello")
            .send()
            .refused(400, "DIGEST_INVALID");
    }
    repo.get(&format!("blobs/{}", sha256(b"hello"))).expect(404);
}

// spec: 34
#[test]
fn a_body_shorter_than_its_length_stores_nothing() {
    let repo = Repo::fresh();
    let digest = sha256(b"hello");
    let closing = with_query(&repo.start(), &format!("digest={digest}"));
    for request in [
        repo.at("PUT", &closing),
        repo.ask("POST", &format!("blobs/uploads/?digest={digest}")),
    ] {
        let request = request.header("Content-Length", 10).body("hello");
        let mut socket = connect(repo.host(), PATIENCE);
        socket.write_all(&request.bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{answer}");
    }
    repo.get(&format!("blobs/{digest}")).expect(404);
}

// spec: 34
#[test]
fn a_body_longer_than_its_length_is_cut_there_and_refused() {
    let repo = Repo::fresh();
    let digest = sha256(b"hello world");
    let closing = with_query(&repo.start(), &format!("digest={digest}"));
    for request in [
        repo.at("PUT", &closing),
        repo.ask("POST", &format!("blobs/uploads/?digest={digest}")),
    ] {
        request
            .header("Content-Length", 5)
            .body("hello world")
            .send()
            .refused(400, "DIGEST_INVALID");
    }
    repo.get(&format!("blobs/{digest}")).expect(404);
    repo.get(&format!("blobs/{}", sha256(b"hello"))).expect(404);
}

#[test]
fn a_push_of_what_is_there_is_fine() {
    let repo = Repo::fresh();
    let digest = repo.push(b"again");
    for _ in 0..3 {
        assert_eq!(repo.push(b"again"), digest);
    }
    assert_eq!(repo.get(&format!("blobs/{digest}")).body, b"again");
}
