//! Pulling manifests (distribution-spec, "Pulling manifests").

use crate::content::{ABSENT, IMAGE, INDEX, sha256, sha512};
use crate::repo::Repo;

// spec: 10, 11, 12, 13, 15, 16, 17
#[test]
fn a_manifest_comes_back_as_it_was_pushed() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let digest = sha256(&manifest);
    repo.put("latest", IMAGE, &manifest).expect(201);
    for reference in ["latest", &digest] {
        let rest = format!("manifests/{reference}");
        let get = repo.get(&rest).expect(200);
        assert_eq!(get.body, manifest);
        let head = repo.head(&rest).expect(200);
        for answer in [get, head] {
            assert_eq!(answer.must("docker-content-digest"), digest);
            assert_eq!(answer.must("content-type"), IMAGE);
            assert_eq!(answer.length(), manifest.len());
            assert_eq!(answer.must("etag"), format!("\"{digest}\""));
        }
    }
}

// spec: 11, 55
#[test]
fn a_manifest_pushed_by_sha512_is_answered_with_sha512() {
    let repo = Repo::fresh();
    let manifest = repo.image("one");
    let digest = sha512(&manifest);
    let put = repo.put(&digest, IMAGE, &manifest).expect(201);
    assert_eq!(put.must("docker-content-digest"), digest);
    assert!(put.must("location").ends_with(&digest));
    let get = repo.get(&format!("manifests/{digest}")).expect(200);
    assert_eq!(get.must("docker-content-digest"), digest);
    assert_eq!(get.body, manifest);
    let head = repo.head(&format!("manifests/{digest}")).expect(200);
    assert_eq!(head.must("docker-content-digest"), digest);
}

// spec: 14
#[test]
fn a_manifest_that_is_not_in_the_repository_is_404() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    for reference in ["none", ABSENT] {
        let rest = format!("manifests/{reference}");
        repo.get(&rest).refused(404, "MANIFEST_UNKNOWN");
        repo.head(&rest).expect(404);
    }
}

// spec: 14
#[test]
fn a_manifest_of_another_repository_is_404() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "one");
    let other = repo.beside("other");
    other.tag("mine", "two");
    for reference in ["latest", &digest] {
        other
            .get(&format!("manifests/{reference}"))
            .refused(404, "MANIFEST_UNKNOWN");
    }
}

// spec: 18
#[test]
fn a_pull_from_a_repository_that_does_not_exist_is_404() {
    let repo = Repo::fresh();
    for rest in ["manifests/latest", &format!("manifests/{ABSENT}")] {
        let code = repo.get(rest).expect(404).code();
        assert!(matches!(code.as_str(), "NAME_UNKNOWN" | "MANIFEST_UNKNOWN"));
        repo.head(rest).expect(404);
    }
    repo.get(&format!("blobs/{ABSENT}")).expect(404);
    repo.get("tags/list").refused(404, "NAME_UNKNOWN");
}

#[test]
fn a_manifest_is_no_blob_and_a_blob_no_manifest() {
    let repo = Repo::fresh();
    let manifest = repo.tag("latest", "one");
    repo.get(&format!("blobs/{manifest}"))
        .refused(404, "BLOB_UNKNOWN");
    let blob = sha256(b"one");
    repo.get(&format!("manifests/{blob}"))
        .refused(404, "MANIFEST_UNKNOWN");
}

#[test]
fn what_a_client_accepts_does_not_hide_a_manifest() {
    let repo = Repo::fresh();
    repo.tag("latest", "one");
    for accept in ["*/*", "text/html", "application/json;q=0.1", ""] {
        let answer = repo
            .ask("GET", "manifests/latest")
            .header("Accept", accept)
            .send()
            .expect(200);
        assert_eq!(answer.must("content-type"), IMAGE, "{accept}");
    }
    // As the conformance suite asks: two lines.
    let lines = repo
        .ask("GET", "manifests/latest")
        .header("Accept", INDEX)
        .header("Accept", IMAGE)
        .send()
        .expect(200);
    assert_eq!(lines.must("content-type"), IMAGE);
    let gzip = repo
        .ask("GET", "manifests/latest")
        .header("Accept-Encoding", "gzip, zstd")
        .send()
        .expect(200);
    assert_eq!(gzip.header("content-encoding"), None);
}

#[test]
fn a_tag_is_asked_for_again_and_a_digest_is_kept() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "one");
    let tag = repo.get("manifests/latest");
    assert!(tag.must("cache-control").contains("no-cache"), "{tag}");
    let fixed = repo.get(&format!("manifests/{digest}"));
    assert!(fixed.must("cache-control").contains("immutable"), "{fixed}");
}
