//! Deleting (distribution-spec, "Deleting manifests", "Deleting tags",
//! "Deleting Blobs"), and what goes with it.

use serde_json::json;

use crate::content::{self, ABSENT, IMAGE, INDEX, bytes, sha256};
use crate::referrers::{digests, listed, refer};
use crate::repo::Repo;

// spec: 94, 96
#[test]
fn a_deleted_tag_is_gone_and_the_manifest_stays() {
    let repo = Repo::fresh();
    let digest = repo.tag("one", "content");
    repo.tag("two", "content");
    repo.delete("manifests/one").expect(202);
    repo.get("manifests/one").refused(404, "MANIFEST_UNKNOWN");
    repo.head("manifests/one").expect(404);
    assert_eq!(repo.tags(), ["two"]);
    for reference in ["two", &digest] {
        let head = repo.head(&format!("manifests/{reference}")).expect(200);
        assert_eq!(head.must("docker-content-digest"), digest);
    }
    repo.delete("manifests/one")
        .refused(404, "MANIFEST_UNKNOWN");
}

// spec: 97, 100
#[test]
fn a_deleted_manifest_takes_its_tags_and_its_place_among_referrers() {
    let repo = Repo::fresh();
    let subject = repo.tag("subject", "the subject");
    let manifest = refer(&repo, IMAGE, content::image(&[]), &subject);
    let digest = sha256(&manifest);
    for tag in ["one", "two"] {
        repo.put(tag, IMAGE, &manifest).expect(201);
    }
    let list = || listed(&repo.get(&format!("referrers/{subject}")));
    assert_eq!(digests(&list()), [digest.as_str()]);

    repo.delete(&format!("manifests/{digest}")).expect(202);
    for reference in [digest.as_str(), "one", "two"] {
        let rest = format!("manifests/{reference}");
        repo.get(&rest).refused(404, "MANIFEST_UNKNOWN");
        repo.head(&rest).expect(404);
    }
    assert_eq!(repo.tags(), ["subject"]);
    assert!(list().is_empty());
    repo.delete(&format!("manifests/{digest}"))
        .refused(404, "MANIFEST_UNKNOWN");
}

// spec: 98
#[test]
fn a_delete_in_a_repository_that_does_not_exist_is_404() {
    let repo = Repo::fresh();
    for rest in [
        "manifests/latest",
        &format!("manifests/{ABSENT}"),
        &format!("blobs/{ABSENT}"),
    ] {
        repo.delete(rest).expect(404).code();
    }
    repo.get("tags/list").refused(404, "NAME_UNKNOWN");
}

// spec: 101, 102
#[test]
fn a_deleted_blob_is_gone_at_once() {
    let repo = Repo::fresh();
    let digest = repo.push(b"short life");
    let rest = format!("blobs/{digest}");
    repo.delete(&rest).expect(202);
    repo.head(&rest).expect(404);
    repo.get(&rest).refused(404, "BLOB_UNKNOWN");
    repo.delete(&rest).refused(404, "BLOB_UNKNOWN");
    repo.delete(&format!("blobs/{ABSENT}"))
        .refused(404, "BLOB_UNKNOWN");
    assert_eq!(repo.push(b"short life"), digest);
    repo.get(&rest).expect(200);
}

#[test]
fn what_is_deleted_here_stays_elsewhere() {
    let repo = Repo::fresh();
    let other = repo.beside("other");
    let digest = repo.tag("latest", "shared");
    other.tag("latest", "shared");
    repo.delete(&format!("manifests/{digest}")).expect(202);
    repo.delete(&format!("blobs/{}", sha256(b"shared")))
        .expect(202);
    other.get("manifests/latest").expect(200);
    other
        .get(&format!("blobs/{}", sha256(b"shared")))
        .expect(200);
}

#[test]
fn a_deleted_manifest_can_be_pushed_again() {
    let repo = Repo::fresh();
    let digest = repo.tag("latest", "again");
    repo.delete(&format!("manifests/{digest}")).expect(202);
    assert_eq!(repo.tag("latest", "again"), digest);
    repo.get("manifests/latest").expect(200);
    assert_eq!(repo.tags(), ["latest"]);
}

#[test]
fn a_referrer_outlives_its_subject() {
    let repo = Repo::fresh();
    let subject = repo.tag("subject", "the subject");
    let digest = sha256(&refer(&repo, INDEX, content::index(&[]), &subject));
    repo.delete(&format!("manifests/{subject}")).expect(202);
    repo.get(&format!("manifests/{digest}")).expect(200);
    let answer = repo.get(&format!("referrers/{subject}")).expect(200);
    assert_eq!(digests(&listed(&answer)), [digest.as_str()]);
}

#[test]
fn a_deleted_child_leaves_the_index() {
    let repo = Repo::fresh();
    let child = repo.image("child");
    repo.put("child", IMAGE, &child).expect(201);
    let mut document = content::index(&[(IMAGE, &child)]);
    document["annotations"] = json!({"org.example": "index"});
    let index = bytes(&document);
    repo.put("index", INDEX, &index).expect(201);
    repo.delete(&format!("manifests/{}", sha256(&child)))
        .expect(202);
    assert_eq!(repo.get("manifests/index").expect(200).body, index);
    assert_eq!(repo.tags(), ["index"]);
}
