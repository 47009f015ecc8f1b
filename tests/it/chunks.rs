//! A blob in chunks (distribution-spec, "Pushing a blob in chunks").

use crate::content::{ABSENT, noise, sha256, sha512};
use crate::repo::{Repo, with_query};
use crate::wire::Answer;

/// One PATCH with its `Content-Range`.
fn patch(repo: &Repo, location: &str, start: usize, chunk: &[u8]) -> Answer {
    repo.at("PATCH", location)
        .header("Content-Type", "application/octet-stream")
        .header(
            "Content-Range",
            format!("{start}-{}", start + chunk.len() - 1),
        )
        .body(chunk)
        .send()
}

fn close(repo: &Repo, location: &str, digest: &str) -> Answer {
    let closing = with_query(location, &format!("digest={digest}"));
    repo.at("PUT", &closing).body("").send()
}

// spec: 37, 38, 42
#[test]
fn chunks_in_order_become_the_blob() {
    let repo = Repo::fresh();
    let content = noise(1, 3000);
    for digest in [sha256(&content), sha512(&content)] {
        let started = repo.ask("POST", "blobs/uploads/").body("").send();
        // Any chunk size is taken, so no smallest one is announced.
        assert_eq!(started.header("oci-chunk-min-length"), None);
        let mut location = started.must("location").to_owned();
        for start in (0..3000).step_by(1000) {
            let answer = patch(&repo, &location, start, &content[start..start + 1000]);
            let answer = answer.expect(202);
            assert_eq!(answer.must("range"), format!("0-{}", start + 999));
            assert_eq!(answer.length(), 0);
            location = answer.must("location").to_owned();
        }
        let put = close(&repo, &location, &digest).expect(201);
        let pulled = repo.at("GET", put.must("location")).send().expect(200);
        assert!(pulled.body == content);
    }
}

// spec: 42
#[test]
fn the_last_chunk_may_come_with_the_closing_request() {
    let repo = Repo::fresh();
    let content = noise(2, 2000);
    let digest = sha256(&content);
    let answer = patch(&repo, &repo.start(), 0, &content[..1500]).expect(202);
    let closing = with_query(answer.must("location"), &format!("digest={digest}"));
    let put = repo
        .at("PUT", &closing)
        .header("Content-Range", "1500-1999")
        .body(&content[1500..])
        .send()
        .expect(201);
    let pulled = repo.at("GET", put.must("location")).send().expect(200);
    assert!(pulled.body == content);
}

// spec: 36
#[test]
fn an_announced_algorithm_is_understood_and_an_unknown_one_refused() {
    let repo = Repo::fresh();
    let content = noise(3, 1000);
    for (algorithm, digest) in [("sha256", sha256(&content)), ("sha512", sha512(&content))] {
        let rest = format!("blobs/uploads/?digest-algorithm={algorithm}");
        let started = repo.ask("POST", &rest).body("").send().expect(202);
        let answer = patch(&repo, started.must("location"), 0, &content).expect(202);
        close(&repo, answer.must("location"), &digest).expect(201);
    }
    for algorithm in ["md5", "SHA256", "../../x", "sha256,sha512"] {
        let rest = format!("blobs/uploads/?digest-algorithm={algorithm}");
        repo.ask("POST", &rest)
            .body("")
            .send()
            .refused(400, "DIGEST_INVALID");
    }
}

// spec: 39
#[test]
fn a_content_range_that_is_none_is_refused_and_the_session_stays() {
    let repo = Repo::fresh();
    let location = repo.start();
    for range in [
        "abc",
        "0-",
        "-9",
        "+0-9",
        "0x0-0x9",
        "0-9,10-19",
        "0 - 9",
        "9-0",
        "bytes=0-9",
        "",
        "0-18446744073709551616",
    ] {
        let answer = repo
            .at("PATCH", &location)
            .header("Content-Range", range)
            .body("0123456789")
            .send();
        answer.refused(400, "BLOB_UPLOAD_INVALID");
    }
    assert_eq!(repo.received(&location), 0);
    patch(&repo, &location, 0, b"0123456789").expect(202);
}

// spec: 39
#[test]
fn a_content_range_of_another_length_than_the_body_is_refused() {
    let repo = Repo::fresh();
    let location = repo.start();
    for range in ["0-3", "0-20"] {
        repo.at("PATCH", &location)
            .header("Content-Range", range)
            .body("0123456789")
            .send()
            .refused(400, "SIZE_INVALID");
    }
    let longer = repo
        .at("PATCH", &location)
        .header("Content-Range", "0-3")
        .chunked("0123456789")
        .send();
    longer.refused(400, "SIZE_INVALID");
}

// spec: 40, 44
#[test]
fn a_chunk_out_of_order_is_416_and_leaves_the_session() {
    let repo = Repo::fresh();
    let content = noise(4, 3000);
    let first = repo.start();
    patch(&repo, &first, 1000, &content[1000..2000]).refused(416, "BLOB_UPLOAD_INVALID");
    assert_eq!(repo.received(&first), 0);
    let answer = patch(&repo, &first, 0, &content[..1000]).expect(202);
    let second = answer.must("location").to_owned();
    // Ahead, repeated, overlapping, to the newest and to the first Location.
    for (location, start) in [(&second, 2000), (&second, 0), (&first, 0), (&second, 500)] {
        let refused = patch(&repo, location, start, &content[start..start + 1000]);
        let refused = refused.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(refused.must("range"), "0-999");
        let status = repo.at("GET", location).send().expect(204);
        assert_eq!(status.must("range"), "0-999");
    }
    let answer = patch(&repo, &second, 1000, &content[1000..]).expect(202);
    close(&repo, answer.must("location"), &sha256(&content)).expect(201);
}

// spec: 41
#[test]
fn a_final_chunk_out_of_order_is_416_and_leaves_the_session() {
    let repo = Repo::fresh();
    let content = noise(5, 2000);
    let answer = patch(&repo, &repo.start(), 0, &content[..1000]).expect(202);
    let digest = sha256(&content);
    let closing = with_query(answer.must("location"), &format!("digest={digest}"));
    for start in [0, 999, 1001] {
        let range = format!("{start}-{}", start + 999);
        repo.at("PUT", &closing)
            .header("Content-Range", range)
            .body(&content[1000..])
            .send()
            .refused(416, "BLOB_UPLOAD_INVALID");
        // The suite asks with the digest still in the query.
        let status = repo.at("GET", &closing).send().expect(204);
        assert_eq!(status.must("range"), "0-999");
    }
    repo.at("PUT", &closing)
        .header("Content-Range", "1000-1999")
        .body(&content[1000..])
        .send()
        .expect(201);
}

// spec: 43
#[test]
fn a_closing_request_without_a_digest_is_400_and_leaves_the_session() {
    let repo = Repo::fresh();
    let answer = patch(&repo, &repo.start(), 0, b"hello").expect(202);
    let location = answer.must("location");
    for closing in [
        location.to_owned(),
        with_query(location, "digest="),
        with_query(
            location,
            &format!("digest={}&digest={ABSENT}", sha256(b"hello")),
        ),
    ] {
        repo.at("PUT", &closing)
            .body("")
            .send()
            .refused(400, "DIGEST_INVALID");
    }
    close(&repo, location, &sha256(b"hello")).expect(201);
}

// spec: 48
#[test]
fn a_stream_without_content_range_appends() {
    let repo = Repo::fresh();
    let content = noise(6, 400_000);
    let (first, second) = content.split_at(150_000);
    let location = repo.start();
    let answer = repo.at("PATCH", &location).chunked(first).send();
    let answer = answer.expect(202);
    assert_eq!(answer.must("range"), "0-149999");
    let answer = repo
        .at("PATCH", answer.must("location"))
        .body(second)
        .send()
        .expect(202);
    assert_eq!(answer.must("range"), "0-399999");
    let put = close(&repo, answer.must("location"), &sha256(&content)).expect(201);
    let pulled = repo.at("GET", put.must("location")).send().expect(200);
    assert!(pulled.body == content);
}
