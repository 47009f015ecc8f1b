//! Pulling blobs (distribution-spec, "Pulling blobs"), and who sees them.

use crate::content::{ABSENT, EMPTY_JSON, noise, sha256, sha512};
use crate::repo::Repo;

// spec: 19, 20, 21, 23, 24
#[test]
fn a_blob_comes_back_as_it_was_pushed() {
    let repo = Repo::fresh();
    let content = noise(1, 300_000);
    let digest = repo.push(&content);
    let rest = format!("blobs/{digest}");
    let get = repo.get(&rest).expect(200);
    assert!(get.body == content);
    let head = repo.head(&rest).expect(200);
    for answer in [get, head] {
        assert_eq!(answer.must("docker-content-digest"), digest);
        assert_eq!(answer.length(), content.len());
        assert_eq!(answer.must("content-type"), "application/octet-stream");
        assert_eq!(answer.must("accept-ranges"), "bytes");
        assert_eq!(answer.must("etag"), format!("\"{digest}\""));
        assert_eq!(answer.header("content-encoding"), None);
    }
}

// spec: 20, 21
#[test]
fn a_blob_pushed_by_sha512_without_a_hint_is_answered_with_sha512() {
    let repo = Repo::fresh();
    let content = noise(2, 100_000);
    let digest = sha512(&content);
    let location = repo.start();
    let (first, rest) = content.split_at(60_000);
    let patched = repo.at("PATCH", &location).body(first).send().expect(202);
    let closing = crate::repo::with_query(patched.must("location"), &format!("digest={digest}"));
    let put = repo.at("PUT", &closing).body(rest).send().expect(201);
    assert_eq!(put.must("docker-content-digest"), digest);
    let get = repo.at("GET", put.must("location")).send().expect(200);
    assert_eq!(get.must("docker-content-digest"), digest);
    assert!(get.body == content);
    let head = repo.head(&format!("blobs/{digest}")).expect(200);
    assert_eq!(head.must("docker-content-digest"), digest);
}

// spec: 22
#[test]
fn a_blob_that_is_nowhere_is_404() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    for digest in [ABSENT, &sha512(b"never pushed")] {
        let rest = format!("blobs/{digest}");
        repo.get(&rest).refused(404, "BLOB_UNKNOWN");
        repo.head(&rest).expect(404);
    }
}

// spec: 22
#[test]
fn a_blob_is_seen_only_through_its_repository() {
    let repo = Repo::fresh();
    let content = noise(3, 1000);
    let digest = repo.push(&content);
    let other = repo.beside("other");
    other.push(EMPTY_JSON);
    let below = repo.beside("other/below");
    for elsewhere in [&other, &below] {
        let rest = format!("blobs/{digest}");
        elsewhere.get(&rest).expect(404);
        elsewhere.head(&rest).expect(404);
        elsewhere.delete(&rest).expect(404);
        elsewhere
            .ask("GET", &rest)
            .header("Range", "bytes=0-1")
            .send()
            .expect(404);
    }
    repo.get(&format!("blobs/{digest}")).expect(200);
}

#[test]
fn a_blob_of_zero_bytes_is_a_blob() {
    let repo = Repo::fresh();
    for digest in [sha256(b""), sha512(b"")] {
        repo.push_as(&digest, b"").expect(201);
        let get = repo.get(&format!("blobs/{digest}")).expect(200);
        assert_eq!((get.length(), get.body.len()), (0, 0));
        assert_eq!(repo.head(&format!("blobs/{digest}")).length(), 0);
    }
    let streamed = repo.beside("streamed");
    let closing = crate::repo::with_query(&streamed.start(), &format!("digest={}", sha256(b"")));
    streamed.at("PUT", &closing).chunked("").send().expect(201);
    let single = repo.beside("single");
    single
        .ask("POST", &format!("blobs/uploads/?digest={}", sha256(b"")))
        .body("")
        .send()
        .expect(201);
    single.get(&format!("blobs/{}", sha256(b""))).expect(200);
}

#[test]
fn a_malformed_digest_is_refused_for_reads_too() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let upper = format!("sha256:{}", "A".repeat(64));
    for digest in ["sha256:abc", "SHA256:abc", "latest", "sha256", &upper] {
        repo.get(&format!("blobs/{digest}"))
            .refused(400, "DIGEST_INVALID");
        repo.delete(&format!("blobs/{digest}"))
            .refused(400, "DIGEST_INVALID");
    }
}
